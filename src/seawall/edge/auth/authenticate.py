"""Who is calling: an API key or a token in a request's headers, turned into a caller or a refusal."""

import hmac
from collections.abc import Iterable

from seawall.defense.limits import Caller
from seawall.edge.auth.jwt import KeyAwaited, Tokens, Verified
from seawall.edge.auth.key_store import KeyStore
from seawall.edge.auth.keys import PREFIX, ApiKey
from seawall.edge.auth.refused import AuthRefused
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.events import EventBus, LoginFailed

_AUTHORIZATION = b"authorization"
_API_KEY = b"x-api-key"
_LENGTHS = frozenset({len(_AUTHORIZATION), len(_API_KEY)})


class Authenticator:
    """Takes API keys of `keys` and, where given, tokens of an identity provider.

    A request has to carry one credential: `Authorization: Bearer ...`, or an API key as `X-API-Key`. More than one, of
    whatever kind, are refused, because whoever stands between might have looked at the other. Each refusal is published as
    `LoginFailed`.
    """

    def __init__(
        self,
        keys: KeyStore,
        keyring: Keyring,
        *,
        tokens: Tokens | None = None,
        events: EventBus | None = None,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._events = events or EventBus()
        self._addresses = keyring.key("addresses")

    def authenticate(
        self, headers: Iterable[tuple[bytes, bytes]], ip: str
    ) -> "Caller | AuthRefused | Pending":
        """Say who sent these headers from this address; a `Pending` where a token's key must be fetched first.

        No I/O, no await. Needs a running event loop where there are tokens.
        """
        outcome = self._read(headers)
        if isinstance(outcome, ApiKey):
            return Caller(outcome.tenant, outcome.subject, outcome.scopes, ip=ip, api_key=outcome.id)
        if isinstance(outcome, KeyAwaited):
            return Pending(self, outcome, ip)
        return self._caller(outcome, ip)

    def _read(self, headers: Iterable[tuple[bytes, bytes]]) -> ApiKey | Verified | AuthRefused | KeyAwaited:
        credential = None
        is_key = False
        for name, value in headers:
            # Most headers are told apart by their length alone.
            if len(name) not in _LENGTHS or (name := name.lower()) not in {_AUTHORIZATION, _API_KEY}:
                continue
            if credential is not None:
                return AuthRefused("malformed")
            credential = value
            is_key = name == _API_KEY
        if credential is None:
            return AuthRefused("missing")
        token = credential.strip(b" \t").decode("latin-1")
        if not is_key:
            scheme, _, token = token.partition(" ")
            if scheme.lower() != "bearer":
                return AuthRefused("malformed")
            token = token.lstrip(" ")
        if token.startswith(PREFIX):
            return self._keys.verify(token)
        if is_key or self._tokens is None:
            return AuthRefused("malformed")
        return self._tokens.verify(token)

    async def settle(self, awaited: KeyAwaited, ip: str) -> Caller | AuthRefused:
        """Wait for a token's key, 2 s at most, and say whose it is."""
        if self._tokens is None:
            return AuthRefused("malformed")
        return self._caller(await self._tokens.settle(awaited), ip)

    def _caller(self, outcome: Verified | AuthRefused, ip: str) -> Caller | AuthRefused:
        if isinstance(outcome, Verified):
            return Caller.of(outcome.principal, ip=ip, api_key=outcome.credential)
        address = hmac.digest(self._addresses, ip.encode(), "sha256")[:8].hex()
        self._events.publish(LoginFailed(outcome.reason, address, outcome.key_id))
        return outcome


class Pending:
    """An outcome that a key must be fetched for."""

    __slots__ = ("_authenticator", "_awaited", "_ip")

    def __init__(self, authenticator: Authenticator, awaited: KeyAwaited, ip: str) -> None:
        self._authenticator = authenticator
        self._awaited = awaited
        self._ip = ip

    async def settle(self) -> Caller | AuthRefused:
        """Wait for it, 2 s at most; who is cancelled meanwhile takes nothing from the others."""
        return await self._authenticator.settle(self._awaited, self._ip)
