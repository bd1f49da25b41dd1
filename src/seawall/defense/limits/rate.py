"""How much a caller may ask for, as data."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

from seawall.defense.limits.gcra import Quota
from seawall.defense.limits.store import Take
from seawall.foundation.errors import ConfigError
from seawall.foundation.principal import Principal
from seawall.foundation.units import Period, seconds

KeyFunction = Callable[[Principal], str]
Key = Literal["subject", "tenant", "everyone"] | KeyFunction


def _by_tenant(principal: Principal) -> str:
    return principal.tenant


def _by_subject(principal: Principal) -> str:
    # The length keeps ("a", "bc") and ("ab", "c") apart: one tenant's subjects never share another's bucket.
    return f"{len(principal.tenant)}:{principal.tenant}{principal.subject}"


def _by_nothing(_: Principal) -> str:
    return ""


_KEYS: dict[str, KeyFunction] = {"subject": _by_subject, "tenant": _by_tenant, "everyone": _by_nothing}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`limit` units in each `per`, counted apart for each `key`; `burst` units (default: `limit`) may come at
    once.

    In any window of length t, no more than `burst + limit * t / per` units pass. With the default burst the
    first full period can therefore see up to twice the limit: give a small `burst` where the other side
    counts strictly.

    `key` is `"subject"` (each subject of each tenant), `"tenant"`, `"everyone"` (one bucket), or a named
    function of the `Principal`, whose answer is the whole key: put the tenant into it if tenants must not
    share. `name` appears in refusals, metrics and headers; the default says the limit and holds no caller.
    Two limits with the same name, numbers and kind of key share their counters. ConfigError if it cannot
    hold.
    """

    limit: int
    per: Period
    _: KW_ONLY
    key: Key = "subject"
    burst: int | None = None
    name: str = ""
    quota: Quota = field(init=False, repr=False)
    _space: str = field(init=False, repr=False, compare=False)
    _key_of: KeyFunction = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot hold, and work out once what every take needs."""
        _whole("limit", self.limit)
        burst = self.limit if self.burst is None else self.burst
        _whole("burst", burst)
        kind = _kind(self.key)
        object.__setattr__(self, "quota", Quota.of(self.limit, seconds(self.per), burst))
        object.__setattr__(self, "name", self.name or f"{self.limit} per {self.per} by {kind}")
        object.__setattr__(self, "_key_of", self.key if callable(self.key) else _KEYS[self.key])
        space = f"{self.quota.interval}/{self.quota.burst}/{len(kind)}:{kind}{len(self.name)}:{self.name}"
        object.__setattr__(self, "_space", f"{space}|")

    def take(self, principal: Principal, cost: int = 1) -> Take:
        """Say what a request of `cost` units would spend; a store decides. ConfigError if a key function
        gives no text.
        """
        return Take(self._space + self._key_of(principal), self.quota, self.name, cost)

    def describe(self) -> dict[str, object]:
        """Return the limit as plain data: no caller, nothing secret."""
        return {
            "name": self.name,
            "limit": self.limit,
            "per": str(self.per),
            "burst": self.quota.burst,
            "key": _kind(self.key),
        }


def _whole(field_name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(
            f"RateLimit({field_name}={value!r}): expected a whole number of at least 1, such as 60"
        )


def _kind(key: object) -> str:
    if isinstance(key, str) and key in _KEYS:
        return key
    name = getattr(key, "__qualname__", "")
    if not callable(key) or not name or "<lambda>" in name:
        expected = "'subject', 'tenant', 'everyone' or a named function of the principal"
        raise ConfigError(
            f"RateLimit(key={key!r}): expected {expected}, so that the limit can be printed and compared"
        )
    return str(name)
