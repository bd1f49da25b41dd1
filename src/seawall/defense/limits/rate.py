"""How much a caller may ask for, as data."""

from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from seawall.defense.limits.gcra import Quota
from seawall.defense.limits.keys import Key, key_kind, key_of
from seawall.defense.limits.spend import UNITS, Amount, Spend, Unit, limit_units
from seawall.defense.limits.store import Take
from seawall.defense.limits.window import Window
from seawall.foundation.errors import ConfigError
from seawall.foundation.principal import Principal
from seawall.foundation.units import Period, seconds


@dataclass(frozen=True, slots=True)
class Limit:
    """What every limit has: `limit` units of `of` in each `per`, counted apart for each `key`.

    `of` is what is counted: `"requests"`, `"tokens"`, `"tool_calls"` (whole numbers) or `"usd"` (a number of
    dollars as text, Decimal or whole number, counted in micro-dollars).

    `key` is `"subject"` (each subject of each tenant), `"tenant"`, `"api_key"`, `"ip"` (a version 6 address counts
    with its /64), `"agent"`, `"everyone"` (one bucket), or a named function of the `Caller`, whose answer is the
    whole key: put the tenant into it if tenants must not share. A caller that has no such key (no address known,
    the function answers "") is not let through uncounted: `take` raises ConfigError.

    `name` appears in refusals, metrics and headers; the default says the limit and holds no caller. Two limits with
    the same name, numbers and kind of key share their counters. ConfigError if it cannot hold.
    """

    limit: Amount
    per: Period
    _: KW_ONLY
    key: Key = "subject"
    of: Unit = "requests"
    name: str = ""
    quota: Quota | Window = field(init=False, repr=False)
    _space: str = field(init=False, repr=False, compare=False)
    _key_of: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot hold, and work out once what every take needs."""
        if self.of not in UNITS:
            raise ConfigError(f"of={self.of!r}: expected one of {', '.join(UNITS)}")
        kind, rule = key_kind(self.key), self._rule()
        object.__setattr__(self, "quota", rule)
        object.__setattr__(self, "name", self.name or self._default_name(kind))
        object.__setattr__(self, "_key_of", key_of(self.key))
        object.__setattr__(
            self, "_space", f"{self._numbers()}/{len(kind)}:{kind}{len(self.name)}:{self.name}|"
        )

    def take(self, caller: Principal, cost: int = 1) -> Take:
        """Say what work of `cost` units would spend; a store decides. ConfigError if the caller has no such key."""
        return Take(self._space + self._key_of(caller), self.quota, self.name, cost, self.of)

    def reserved(self, most: Spend) -> int:
        """Return how many units are set aside for a piece of work that may use `most`."""
        return most.units(self.of)

    def settled(self, used: Spend) -> int:
        """Return how many units a piece of work used that it was reserved for."""
        return used.units(self.of)

    def _rule(self) -> Quota | Window:
        raise NotImplementedError

    def _numbers(self) -> str:
        raise NotImplementedError

    def _default_name(self, kind: str) -> str:
        raise NotImplementedError

    def _amount(self) -> str:
        return f"{self.limit}" if self.of == "requests" else f"{self.limit} {self.of}"

    def _described(self) -> dict[str, object]:
        limit = self.limit if isinstance(self.limit, int) else str(self.limit)
        return {
            "name": self.name,
            "limit": limit,
            "of": self.of,
            "per": str(self.per),
            "key": key_kind(self.key),
        }


@dataclass(frozen=True, slots=True)
class RateLimit(Limit):
    """`limit` units in each `per`, counted apart for each `key`; `burst` units (default: `limit`) may come at
    once.

    In any window of length t, no more than `burst + limit * t / per` units pass. With the default burst the
    first full period can therefore see up to twice the limit: give a small `burst`, or a `SlidingWindow`, where the
    other side counts strictly. The rest is as for every `Limit`.
    """

    burst: Amount | None = field(default=None, kw_only=True)

    def describe(self) -> dict[str, object]:
        """Return the limit as plain data: no caller, nothing secret. `burst` is in whole units."""
        return {**self._described(), "burst": self.quota.most}

    def _rule(self) -> Quota:
        limit = limit_units("RateLimit(limit)", self.limit, self.of)
        burst = limit if self.burst is None else limit_units("RateLimit(burst)", self.burst, self.of)
        return Quota.of(limit, seconds(self.per), burst)

    def _numbers(self) -> str:
        assert isinstance(self.quota, Quota)
        return f"{self.quota.interval}/{self.quota.burst}"

    def _default_name(self, kind: str) -> str:
        return f"{self._amount()} per {self.per} by {kind}"


@dataclass(frozen=True, slots=True)
class SlidingWindow(Limit):
    """At most `limit` units in any window of length `per`, wherever it begins, counted apart for each `key`.

    Strict: for where the other side counts strictly. Units count for `per` and at most one slice, `per / slices`,
    more; so a caller that always asks gets at least `slices / (slices + 1)` of the limit. A key in use costs up to
    `slices + 1` pairs of numbers, where a RateLimit costs one. The rest is as for every `Limit`.
    """

    slices: int = field(default=20, kw_only=True)

    def describe(self) -> dict[str, object]:
        """Return the limit as plain data: no caller, nothing secret."""
        return {**self._described(), "slices": self.slices}

    def _rule(self) -> Window:
        return Window.of(
            limit_units("SlidingWindow(limit)", self.limit, self.of), seconds(self.per), self.slices
        )

    def _numbers(self) -> str:
        assert isinstance(self.quota, Window)
        return f"{self.quota.limit}/{self.quota.width}x{self.slices}"

    def _default_name(self, kind: str) -> str:
        return f"{self._amount()} in any {self.per} by {kind}"
