"""JSON Web Tokens of one identity provider (RFC 7519), verified as RFC 8725 advises."""

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard, cast

import jwt
from jwt.exceptions import InvalidAlgorithmError, InvalidSignatureError, PyJWTError

from seawall.edge.auth.issuer_keys import ALGORITHMS, IssuerKeys, SigningKey
from seawall.edge.auth.refused import AuthRefused
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import ConfigError
from seawall.foundation.principal import Principal
from seawall.foundation.units import Period, seconds

_LONGEST_TOKEN = 8192
_LONGEST_NAME = 256
_MOST_CACHED = 10_000
_MOST_WAITING = 256
_PATIENCE = 2.0
# Up to here a double counts single seconds, and more.
_LAST_INSTANT = 2.0**53
# Looked through, not hashed: what a header gives as its algorithm may be anything.
_ALGORITHMS = tuple(ALGORITHMS.values())
# An ID token or a logout token is signed with the same keys, and is no leave to do anything here (RFC 8725, 3.11).
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_MALFORMED = AuthRefused("malformed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """Which tokens are taken, and which of their claims say who it is.

    `audience` is this service's name with the issuer. Clocks may differ by `leeway`. The scope claim is a list, or text with
    spaces; the others are text, and a token without them is refused.
    """

    issuer: str
    audience: str
    tenant_claim: str = "tenant"
    subject_claim: str = "sub"
    scope_claim: str = "scope"
    leeway: Period = "30s"
    slack: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse rules under which anybody's tokens would do."""
        if not self.issuer or not self.audience:
            raise ConfigError(
                "tokens need an issuer and an audience: without them, tokens made for others would be taken here"
            )
        object.__setattr__(self, "slack", seconds(self.leeway))


class Verified(NamedTuple):
    """Whom a token speaks for, until when (seconds since the epoch), and a name for counting it by."""

    principal: Principal
    credential: str
    until: float


@dataclass(frozen=True, slots=True)
class KeyAwaited:
    """A token whose key is being fetched; `Tokens.settle` waits for it."""

    token: str = field(repr=False)
    fetch: "asyncio.Task[None]" = field(repr=False)


def judge(claims: dict[str, Any], rules: TokenRules, now: float) -> Verified | AuthRefused:
    """Judge the claims of a token whose signature holds; `now` in seconds since the epoch."""
    if claims.get("iss") != rules.issuer:
        return AuthRefused("issuer")
    audience: object = claims.get("aud")
    meant = cast("list[object]", audience) if isinstance(audience, list) else [audience]
    if rules.audience not in meant:
        return AuthRefused("audience")
    expires = _instant(claims, "exp", None)
    if expires is None:
        return _MALFORMED
    if expires + rules.slack <= now:
        return AuthRefused("expired")
    for claim in ("nbf", "iat"):
        begins = _instant(claims, claim, now)
        if begins is None:
            return _MALFORMED
        if begins > now + rules.slack:
            return AuthRefused("not_yet")
    tenant, subject = claims.get(rules.tenant_claim), claims.get(rules.subject_claim)
    scopes = _scopes(claims.get(rules.scope_claim, ""))
    if not _is_name(tenant) or not _is_name(subject) or scopes is None:
        return _MALFORMED
    of = f"token:{len(tenant)}:{tenant}{subject}"
    return Verified(Principal(tenant, subject, scopes), of, expires + rules.slack)


class Tokens:
    """Verifies tokens, and remembers up to 10,000 that it verified until they expire or the issuer's keys change.

    `verify` does no I/O and has no await. Only where a token names a key that is not here does it hand back a `KeyAwaited`.
    """

    def __init__(self, rules: TokenRules, keys: IssuerKeys, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._rules = rules
        self._keys = keys
        self._clock = clock
        self._known: dict[bytes, Verified] = {}
        self._generation = keys.generation
        self._waiting = 0
        self._jws = jwt.PyJWS(algorithms=list(_ALGORITHMS))

    def verify(self, token: str) -> Verified | AuthRefused | KeyAwaited:
        """Say whom a token speaks for, or why it is not taken."""
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            return _MALFORMED
        if self._generation != self._keys.generation:
            # What was signed by a key that the issuer took back holds no longer.
            self._known.clear()
            self._generation = self._keys.generation
        name = hashlib.sha256(token.encode()).digest()
        known = self._known.get(name)
        if known is None or self._clock.monotonic() > self._keys.good_until:
            return self._verify(token, name)
        if known.until > self._clock.time():
            return known
        del self._known[name]
        return AuthRefused("expired")

    async def settle(self, awaited: KeyAwaited) -> Verified | AuthRefused:
        """Wait for a key, 2 s at most and with 255 others at most, and verify its token."""
        if self._waiting >= _MOST_WAITING:
            return AuthRefused("key_unavailable")
        self._waiting += 1
        try:
            # Not cancelled with one of those who wait for it.
            await asyncio.wait([awaited.fetch], timeout=_PATIENCE)
        finally:
            self._waiting -= 1
        outcome = self.verify(awaited.token)
        return AuthRefused("key_unavailable") if isinstance(outcome, KeyAwaited) else outcome

    def _verify(self, token: str, name: bytes) -> Verified | AuthRefused | KeyAwaited:
        header = _header(token)
        if isinstance(header, AuthRefused):
            return header
        key = self._keys.get(str(header.get("kid", "")))
        if key is None:
            fetch = self._keys.ask()
            if fetch is not None:
                return KeyAwaited(token, fetch)
            return AuthRefused("key_unavailable" if self._keys.why else "unknown")
        claims = self._claims(token, key)
        outcome = (
            claims if isinstance(claims, AuthRefused) else judge(claims, self._rules, self._clock.time())
        )
        if isinstance(outcome, Verified):
            if len(self._known) >= _MOST_CACHED:
                del self._known[next(iter(self._known))]
            self._known[name] = outcome
        return outcome

    def _claims(self, token: str, key: SigningKey) -> dict[str, Any] | AuthRefused:
        try:
            # The key's algorithm, whatever the token's header says.
            content = self._jws.decode(token, key.jwk, algorithms=[key.algorithm])
            claims = _json(content)
        except InvalidAlgorithmError:
            return AuthRefused("algorithm")
        except InvalidSignatureError:
            return AuthRefused("signature")
        except (PyJWTError, ValueError, RecursionError):
            return _MALFORMED
        return cast("dict[str, Any]", claims) if isinstance(claims, dict) else _MALFORMED


def _header(token: str) -> dict[str, Any] | AuthRefused:
    """Read a token's header, which nobody vouches for yet: only its algorithm, type and key id are looked at."""
    parts = token.split(".")
    if len(parts) != 3:
        return _MALFORMED
    try:
        told = _json(base64.b64decode(parts[0] + "=" * (-len(parts[0]) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        return _MALFORMED
    if not isinstance(told, dict):
        return _MALFORMED
    header = cast("dict[str, Any]", told)
    kind: object = header.get("typ", "JWT")
    if not {"crit", "b64"}.isdisjoint(header) or not isinstance(kind, str) or kind.lower() not in _TYPES:
        return _MALFORMED
    if header.get("alg") not in _ALGORITHMS:
        return AuthRefused("algorithm")
    return header if isinstance(header.get("kid", ""), str) else _MALFORMED


def _json(content: bytes) -> object:
    return json.loads(content, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _instant(claims: dict[str, Any], name: str, absent: float | None) -> float | None:
    """Return a time in seconds since the epoch, or None for what is no time."""
    value: object = claims.get(name, absent)
    # Neither true nor false, which Python takes for numbers, nor more digits than a double holds.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST_INSTANT:
        return None
    return value


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable() and value != " "


def _scopes(told: object) -> frozenset[str] | None:
    listed: object = told.split() if isinstance(told, str) else told
    if not isinstance(listed, list):
        return None
    scopes = cast("list[object]", listed)
    return frozenset(scope for scope in scopes if _is_name(scope)) if all(map(_is_name, scopes)) else None
