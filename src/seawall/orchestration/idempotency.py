"""Idempotency keys: a request that is sent again is answered again, not done again.

Source: draft-ietf-httpapi-idempotency-key-header-07. A key belongs to a tenant, subject and route; the request's
fingerprint tells a retry from another request under the same key. What happens to a key is decided here, by values; a
store applies it atomically, before the work begins.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, Protocol

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pseudonyms import subject_names
from seawall.foundation.compliance.retention import expired
from seawall.foundation.errors import ConfigError, SeawallError, StoreError

_LONGEST = 255
_BARE_EXCLUDED = frozenset('",;\\')
_QUOTED = '"'


class BadIdempotencyKey(SeawallError):
    """An `Idempotency-Key` that is not one; its text is safe to show to the caller."""


class ClaimLost(StoreError):
    """The key is no longer this claimant's: its lease ran out and another took over, or it was answered already."""


@dataclass(frozen=True, slots=True)
class KeyName:
    """A key as it is stored: what it names cannot be read from it. `subject` is what its caller is called in records."""

    tenant: str
    digest: str
    subject: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the work of a key and record its answer, until a moment (seconds since the epoch)."""

    name: KeyName
    token: str
    until: float


@dataclass(frozen=True, slots=True)
class Fresh:
    """Do the work, under this run id. `again`: an earlier claimant died, so look first whether the run is there."""

    claim: Claim
    run_id: str
    again: bool


@dataclass(frozen=True, slots=True)
class InFlight:
    """Another request is doing it (409); its lease ends in `retry_after` seconds."""

    run_id: str
    retry_after: float


@dataclass(frozen=True, slots=True)
class Replay:
    """It was done: this was the answer."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    run_id: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key was used for another request (422)."""


Outcome = Fresh | InFlight | Replay | Conflict


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What is stored of a key, without its answer."""

    fingerprint: str
    run_id: str
    token: str
    claims: int
    lease_until: float
    expires_at: float
    answered: bool


def parse_key(header: str) -> str:
    """Read the header's value, a quoted string (RFC 9651), or bare as most clients send it; BadIdempotencyKey otherwise.

    1 to 255 visible ASCII characters; `"a"` and `a` are one key.
    """
    value = header.strip(" \t")
    text = _unquote(value) if value.startswith(_QUOTED) else value
    bare = not value.startswith(_QUOTED)
    visible = all(("!" if bare else " ") <= mark <= "~" for mark in text)
    if not (0 < len(text) <= _LONGEST) or not visible or (bare and _BARE_EXCLUDED & set(text)):
        raise BadIdempotencyKey(
            'Idempotency-Key: expected 1 to 255 visible ASCII characters in double quotes, such as "8e03978e-40d5"'
        )
    return text


def _unquote(value: str) -> str:
    """Return the content of a quoted string; empty, which no key is, where it is not one."""
    characters: list[str] = []
    rest = iter(value[1:])
    for mark in rest:
        if mark == _QUOTED:
            return "" if next(rest, None) is not None else "".join(characters)
        if mark == "\\":
            mark = next(rest, "")  # noqa: PLW2901  what follows the backslash stands for itself
            if mark not in {_QUOTED, "\\"}:
                return ""
        characters.append(mark)
    return ""


class KeyNames:
    """Names keys and fingerprints bodies by HMAC-SHA-256, so that a copy of the database gives neither away.

    The oldest key on the ring is used: rotating the keyring forgets no request, and processes that have the new key
    agree with those that have not; destroying the oldest key makes every idempotency key new.
    """

    __slots__ = ("_keyring",)

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def name(self, tenant: str, subject: str, route: str, key: str) -> KeyName:
        """Name the key of one caller on one route (`POST /v1/agents/reviewer/runs`)."""
        if not (tenant and route and key):
            raise ConfigError(
                "an idempotency key is named by tenant, subject, route and key; none may be empty"
            )
        digest = self._digest("names", tenant, subject, route, key)
        return KeyName(tenant, digest, subject_names(self._keyring, tenant, subject)[0])

    def fingerprint(self, tenant: str, body: bytes, content_type: str = "") -> str:
        """Return what tells a body from every other: of its bytes as sent, so another order of members is another body."""
        return self._digest("fingerprints", tenant, content_type, sha256(body).hexdigest())

    def _digest(self, what: str, tenant: str, *parts: str) -> str:
        key = self._keyring.key(f"idempotency {what}", tenant=tenant, version=self._keyring.versions[0])
        encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
        # Lengths first, so that no two lists of parts read the same.
        message = b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
        return hmac.new(key, message, sha256).hexdigest()


def decide(
    row: KeyRow | None, fingerprint: str, now: float
) -> Literal["new", "again", "busy", "answered", "conflict"]:
    """What a request is that comes with a key of which this is stored.

    Another body is a conflict even while the first is in flight, and after its claimant died: the key is spent.
    """
    if row is None or expired(row.expires_at, now):
        return "new"
    if not hmac.compare_digest(row.fingerprint, fingerprint):
        return "conflict"
    if row.answered:
        return "answered"
    return "busy" if row.lease_until > now else "again"


class IdempotencyStore(Protocol):
    """Keys that several processes share. Every method raises StoreError where the store fails: then do not do the work."""

    async def claim(self, name: KeyName, fingerprint: str, run_id: str) -> Outcome:
        """Ask, before the work, whether it is to be done; where it is, `run_id` is bound to the key in the same write."""
        ...

    async def renew(self, claim: Claim) -> Claim:
        """Keep the key for another lease time while the work goes on; ClaimLost where another has it."""
        ...

    async def complete(
        self, claim: Claim, status: int, headers: Sequence[tuple[str, str]], body: bytes
    ) -> None:
        """Record the answer, before it is sent; ClaimLost where another has the key, StoreError where it is too long."""
        ...

    async def release(self, claim: Claim) -> None:
        """Give the key back where nothing was done, so that a retry may do it. What an earlier claimant began stays bound."""
        ...
