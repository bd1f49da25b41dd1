"""Budgets: so much money or so many tokens a day, month or for good, never overspent, and used to the end.

What a request can cost at most is set aside before it is made, and the rest given back after. So several at once cannot
overspend together. Where what is set aside by others stands in the way, and may come back, a request waits a little instead of
being refused: else half a budget could be out of reach.
"""

from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, get_args

from seawall.defense.limits.keys import Key, key_kind
from seawall.defense.limits.rate import Limit
from seawall.defense.limits.spend import Amount, Spend, Unit, limit_units
from seawall.defense.limits.window import Window
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds

Span = Literal["run", "1d", "1w", "1M", "total"]
AtLimit = Literal["refuse", "degrade", "ask"]
_DAY_NS = 86_400 * 10**9
# Longer than the span that is counted, so that nothing is forgotten within it: the span's name is in the key.
_WIDTHS = {"run": 1, "1d": 1, "1w": 7, "1M": 31, "total": 3_660}
# What a process set aside that died comes back to no budget, but stands in nobody's way for longer than this.
_HELD_NS = 600 * 10**9
# More than anybody sets aside; in dollars, the most that a limit counts.
_MOST_HELD = {"usd": 10**9, "tokens": 10**15}


@dataclass(frozen=True, slots=True)
class Budget:
    """`usd` or `tokens` in each `per`, counted apart for each `key`: a run, a day, a week, a month (UTC), or in total.

    Give several for a hierarchy: a request has to fit into each. `warn` are shares at which a BudgetWarned event is published.
    `at_limit`: `refuse`, `degrade` to whichever of the policy's models the rest is enough for, or `ask` the approver. `patience` is how long a
    request waits for what others have set aside. ConfigError for what cannot be counted.

    >>> Budget(usd="5.00", per="1d", key="tenant").name
    '$5.00 per 1d by tenant'
    """

    usd: Amount | None = None
    _: KW_ONLY
    tokens: int | None = None
    per: Span = "1d"
    key: Key = "tenant"
    name: str = ""
    warn: tuple[float, ...] = (0.8,)
    at_limit: AtLimit = "refuse"
    patience: Period = "2s"

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        if (self.usd is None) == (self.tokens is None):
            raise ConfigError("Budget: give usd or tokens, one of the two, such as Budget(usd='5.00')")
        if self.per not in _WIDTHS:
            raise ConfigError(f"Budget(per={self.per!r}): expected one of {', '.join(_WIDTHS)}")
        if self.at_limit not in get_args(AtLimit):
            raise ConfigError(f"Budget(at_limit={self.at_limit!r}): expected 'refuse', 'degrade' or 'ask'")
        if not all(0 < share < 1 for share in self.warn):
            raise ConfigError(f"Budget(warn={self.warn!r}): expected shares between 0 and 1, such as (0.8,)")
        seconds(self.patience)
        limit_units("Budget", self.amount, self.of)
        kind = key_kind(self.key)
        said = f"${self.usd}" if self.tokens is None else f"{self.tokens} tokens"
        object.__setattr__(self, "name", self.name or f"{said} per {self.per} by {kind}")

    @property
    def of(self) -> Unit:
        """What is counted."""
        return "usd" if self.tokens is None else "tokens"

    @property
    def amount(self) -> Amount:
        """How much of it."""
        return self.usd if self.usd is not None else self.tokens or 0

    @property
    def units(self) -> int:
        """The same in whole units: tokens, or micro-dollars."""
        return limit_units("Budget", self.amount, self.of)

    def at(self, now: float, run_id: str = "", *, granted: bool = False) -> "Purse":
        """Return what counts it at a moment (seconds since the epoch), for one run where it is a run's; a granted one refuses nothing."""
        span, ends = span_of(self.per, now)
        of_run = f"{span}{run_id}" if self.per == "run" else span
        width = _WIDTHS[self.per] * _DAY_NS
        spent = _Spent(
            self.amount,
            "1d",
            key=self.key,
            of=self.of,
            name=self.name,
            span=of_run,
            width=width,
            granted=granted,
        )
        held = _Held(
            _MOST_HELD[self.of],
            "1d",
            key=self.key,
            of=self.of,
            name=f"{self.name} (held)",
            span=of_run,
            width=_HELD_NS,
        )
        return Purse(self, spent, held, ends)

    def describe(self) -> dict[str, object]:
        """Return the budget as plain data."""
        return {
            "name": self.name,
            "limit": str(self.amount),
            "of": self.of,
            "per": self.per,
            "key": key_kind(self.key),
            "warn": list(self.warn),
            "at_limit": self.at_limit,
        }


@dataclass(frozen=True, slots=True)
class _Spent(Limit):
    """What is spent or set aside of one budget in one span."""

    span: str = field(default="", kw_only=True)
    width: int = field(default=_DAY_NS, kw_only=True)
    granted: bool = field(default=False, kw_only=True)

    def reserved(self, most: Spend) -> int:
        """What was granted beyond it is charged once it is known, and refused never."""
        return 0 if self.granted else most.units(self.of)

    def _rule(self) -> Window:
        return Window(limit_units("Budget", self.limit, self.of), self.width, 1)

    def _numbers(self) -> str:
        return f"budget/{self.span}/{self.limit}"

    def _default_name(self, kind: str) -> str:
        return f"{self.limit} by {kind}"


@dataclass(frozen=True, slots=True)
class _Held(_Spent):
    """What of it is only set aside: as much as was estimated, and nothing once that is settled."""

    def _numbers(self) -> str:
        return f"held/{self.span}"

    def settled(self, used: Spend) -> int:
        """Nothing is set aside any more."""
        return 0


class Purse(NamedTuple):
    """A budget at a moment: what counts what is spent and held, and when it begins anew (None: never)."""

    budget: Budget
    spent: Limit
    held: Limit
    ends: float | None


def span_of(per: Span, now: float) -> tuple[str, float | None]:
    """Return the name of the span that a moment lies in, and when that ends, seconds since the epoch."""
    if per in {"run", "total"}:
        return per, None
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if per == "1d":
        begin, end = today, today + timedelta(days=1)
    elif per == "1w":
        begin = today - timedelta(days=today.weekday())
        end = begin + timedelta(days=7)
    else:
        begin = today.replace(day=1)
        end = (begin + timedelta(days=32)).replace(day=1)
    return f"{per} {begin:%Y-%m-%d}", end.timestamp()
