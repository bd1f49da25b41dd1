"""Where trust is kept, and the store of one process."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from seawall.defense.abuse.book import Book
from seawall.defense.abuse.policy import Abuse, milliseconds, whole
from seawall.defense.abuse.standing import (
    NOT_OPERATORS,
    TRUSTED_STANDING,
    Standing,
    announce,
    standing_of,
    worse_of,
)
from seawall.defense.abuse.steps import BAN, LONGEST_OVERRIDE, PARDON
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import ConfigError
from seawall.foundation.events import EventBus
from seawall.foundation.principal import Principal
from seawall.foundation.units import Period

_MOST_HITS = 1_000
_BAND = 8
_MOST_BANDS = 16
_LEAST_SECRET = 16
_MOST_TENANTS = 500


@dataclass(frozen=True, slots=True)
class Tenant:
    """A whole tenant, where an operator means it and not one subject."""

    name: str

    def __post_init__(self) -> None:
        """Refuse the tenant that nobody is."""
        if not self.name:
            raise ConfigError("Tenant('') names nobody; write the tenant's name, such as Tenant('acme')")


class TrustStore(Protocol):
    """Keeps the trust in callers. A refusal is a `Standing`, never an exception.

    Every change of step is published once as `TrustChanged`, by the process whose call made or first saw it. What
    only time changes is seen at the caller's next `look` or `spend`, and not at all if it never comes back.
    """

    @property
    def degraded(self) -> bool:
        """Whether trust is kept without the store that is shared, for readiness and metrics."""
        ...

    async def look(self, principal: Principal) -> Standing:
        """Say where a caller stands, before anything is done for it; spends nothing."""
        ...

    async def spend(self, principal: Principal, hits: int = 1, fingerprint: bytes | None = None) -> Standing:
        """Charge a caller for a guard's verdict, and say where it stands now.

        `fingerprint` is what `fingerprint()` made of the refused passage.
        """
        ...

    async def pardon(self, who: Principal | Tenant, for_: Period = "1h", *, by: str = "operator") -> Standing:
        """Wipe what is owed and hold nothing against `who` for a time of at most 30 days. It speaks for its scope
        alone: the subject of a banned tenant stays refused.
        """
        ...

    async def ban(self, who: Principal | Tenant, for_: Period, *, by: str = "operator") -> Standing:
        """Refuse `who` for a time of at most 30 days, whatever the arithmetic says; what is owed stays."""
        ...

    async def status(self, who: Principal | Tenant) -> Standing:
        """Say where a subject alone, or a tenant alone, stands; for operators. It changes nothing."""
        ...


class Digests:
    """Names callers by blake2b under a secret: nothing that is stored or published can be traced without it."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _LEAST_SECRET:
            raise ConfigError(
                f"the secret that hides callers' names has {len(secret)} bytes; give at least {_LEAST_SECRET}, "
                "such as secrets.token_bytes(32)"
            )
        # A copy of a keyed state costs less than keying anew, and this is on every request's path.
        self._copy: Callable[[], blake2b] = blake2b(key=secret[:64], digest_size=16, person=b"trust").copy
        self._tenants: dict[str, bytes] = {}

    def of(self, tenant: str, subject: str = "") -> bytes:
        """Name a subject of a tenant, or the tenant itself (no subject's name is empty)."""
        state = self._copy()
        # The length keeps ("a", "bc") and ("ab", "c") apart; a name may hold half a surrogate pair.
        state.update(f"{len(tenant)}:{tenant}{subject}".encode("utf-8", "surrogatepass"))
        return state.digest()

    def of_tenant(self, tenant: str) -> bytes:
        """Name a tenant, remembering a few hundred: tenants come again and again, and their names are no secret."""
        known = self._tenants.get(tenant)
        if known is None:
            if len(self._tenants) >= _MOST_TENANTS:
                self._tenants.clear()
            known = self._tenants[tenant] = self.of(tenant)
        return known

    def of_bands(self, tenant: bytes, fingerprint: bytes | None) -> list[bytes]:
        """Name the bands of a fingerprint within one tenant."""
        names: list[bytes] = []
        for number, at in enumerate(range(0, len(fingerprint or b""), _BAND)):
            state = self._copy()
            state.update(tenant + bytes([number]) + (fingerprint or b"")[at : at + _BAND])
            names.append(state.digest())
        return names


class MemoryTrust:
    """Trust of one process, for use from one event loop; gone when the process is.

    At most `max_keys` callers are held. Full, it forgets whoever would be trusted again soonest, `crowded` counts
    how often; bans go last.
    """

    def __init__(
        self,
        policy: Abuse,
        *,
        events: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
        max_keys: int = 100_000,
    ) -> None:
        whole("MemoryTrust(max_keys=", max_keys, 2, 100_000_000)
        self.policy = policy
        self._events = events or EventBus()
        self._monotonic = clock.monotonic
        self._book = Book(policy, max_keys)
        self._accounts = self._book.accounts
        self._digest = Digests(secrets.token_bytes(32))
        self._name = self._digest.of

    def __len__(self) -> int:
        """Accounts held."""
        return len(self._accounts)

    @property
    def degraded(self) -> bool:
        """Never: there is no store that could be away."""
        return False

    @property
    def crowded(self) -> int:
        """How often somebody was forgotten for want of room; anything but 0 asks for a larger `max_keys`."""
        return self._book.crowded

    async def look(self, principal: Principal) -> Standing:
        """Say where a caller stands."""
        if not self._accounts:
            return TRUSTED_STANDING
        tenant = principal.tenant
        subject, whole_tenant = self._name(tenant, principal.subject), self._digest.of_tenant(tenant)
        now = self._now()
        if self._book.quiet(subject, whole_tenant, now):
            return TRUSTED_STANDING
        found = self._book.look(subject, whole_tenant, now)
        announce(found, now, self.policy, self._events, tenant, "time")
        return worse_of(standing_of(found[0], now, self.policy), standing_of(found[1], now, self.policy))

    async def spend(self, principal: Principal, hits: int = 1, fingerprint: bytes | None = None) -> Standing:
        """Charge a caller for a guard's verdict."""
        check_spend(hits, fingerprint)
        now, tenant = self._now(), principal.tenant
        subject, whole_tenant = self._name(tenant, principal.subject), self._digest.of_tenant(tenant)
        bands = self._digest.of_bands(whole_tenant, fingerprint)
        found = self._book.spend(subject, whole_tenant, bands, hits, now)
        announce(found, now, self.policy, self._events, tenant, "guards")
        return worse_of(standing_of(found[0], now, self.policy), standing_of(found[1], now, self.policy))

    async def pardon(self, who: Principal | Tenant, for_: Period = "1h", *, by: str = "operator") -> Standing:
        """Hold nothing against `who` for a time."""
        return self._force(who, PARDON, override_length(for_, by), by)

    async def ban(self, who: Principal | Tenant, for_: Period, *, by: str = "operator") -> Standing:
        """Refuse `who` for a time."""
        return self._force(who, BAN, override_length(for_, by), by)

    async def status(self, who: Principal | Tenant) -> Standing:
        """Say where a subject alone, or a tenant alone, stands."""
        now, (tenant, subject) = self._now(), names(who)
        found = self._book.peek(not subject, self._name(tenant, subject))
        return standing_of(found, now, self.policy)

    def _force(self, who: Principal | Tenant, order: int, lasts: int, by: str) -> Standing:
        now, (tenant, subject) = self._now(), names(who)
        found = self._book.force(not subject, self._name(tenant, subject), order, lasts, now)
        announce(found, now, self.policy, self._events, tenant, by)
        return standing_of(found[0], now, self.policy)

    def _now(self) -> int:
        return int(self._monotonic() * 1000)


def names(who: Principal | Tenant) -> tuple[str, str]:
    """Split `who` into tenant and subject; a whole tenant's subject is empty."""
    return (who.name, "") if isinstance(who, Tenant) else (who.tenant, who.subject)


def check_spend(hits: int, fingerprint: bytes | None) -> None:
    """Refuse what would be no charge, or no fingerprint."""
    whole("spend(hits=", hits, 1, _MOST_HITS)
    length = len(fingerprint or b"")
    if length % _BAND or length > _BAND * _MOST_BANDS:
        raise ConfigError(f"spend(fingerprint of {length} bytes): pass what fingerprint() returned")


def override_length(for_: Period, by: str) -> int:
    """Turn how long an operator's word shall hold into milliseconds; ConfigError above 30 days."""
    lasts = milliseconds(for_)
    if lasts > LONGEST_OVERRIDE:
        raise ConfigError(f"an override for {for_!s} is longer than 30 days; say it again when that is over")
    if not by or by in NOT_OPERATORS:
        raise ConfigError(f"by={by!r} must name the operator, such as 'on-call'; {NOT_OPERATORS} are taken")
    return lasts
