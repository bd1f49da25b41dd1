"""What a guard that costs money may spend: calls, tokens and dollars, for everybody and for each scope."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Protocol

from seawall.defense.guards import Spent
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds


class Allowed(Protocol):
    """Leave to spend what was reserved."""

    async def settle(self, spent: Spent, /) -> None:
        """Say what it came to; what is unknown stays as reserved. Never called for a call that was cut off."""
        ...


class Allowance(Protocol):
    """Whoever says whether a call may be made: a `Budget` of this process, or a shared store behind the same call."""

    async def reserve(self, scope: str, most: Spent, /) -> Allowed | None:
        """Set aside the most that one call can cost, in one atomic step; None where there is not that much left."""
        ...


@dataclass(frozen=True, slots=True)
class _Amounts:
    calls: float = 0.0
    tokens: float = 0.0
    usd: float = 0.0

    def plus(self, other: "_Amounts", times: float = 1.0) -> "_Amounts":
        """Add; nothing falls below zero."""
        return _Amounts(
            max(0.0, self.calls + times * other.calls),
            max(0.0, self.tokens + times * other.tokens),
            max(0.0, self.usd + times * other.usd),
        )

    def within(self, most: "_Amounts") -> bool:
        """Compare each."""
        return self.calls <= most.calls and self.tokens <= most.tokens and self.usd <= most.usd


_NOTHING = _Amounts()


class _Level:
    """How full one bucket is: spending fills it, and it drains as fast as it may be filled."""

    __slots__ = ("_at", "_most", "_per", "used")

    def __init__(self, most: _Amounts, per: float, now: float) -> None:
        self._most = most
        self._per = per
        self._at = now
        self.used = _NOTHING

    def drain(self, now: float) -> None:
        """Let time pass."""
        self.used = self.used.plus(self._most, -max(0.0, now - self._at) / self._per)
        self._at = max(self._at, now)

    def has_room(self, amounts: _Amounts) -> bool:
        """Say whether so much more fits."""
        return self.used.plus(amounts).within(self._most)


class Budget:
    """At most `calls`, `tokens` and `usd` in each `per`, and `share` of each for one scope; in this process.

    Each is a leaky bucket: in a time of t, at most once the amount and t / `per` times it more. Before a call the
    most it can cost is set aside, so that no number of calls at once passes the limit; what it did not use
    comes back. `usd` None counts no dollars, and needs no price of the model. A scope's share keeps one
    tenant's doubtful texts from using up everybody's. For use from one event loop. ConfigError if it cannot
    hold.
    """

    def __init__(
        self,
        *,
        calls: int = 600,
        tokens: int = 2_000_000,
        usd: Decimal | str | None = None,
        per: Period = "1h",
        share: float = 0.25,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if calls < 1 or tokens < 1:
            raise ConfigError(f"Budget(calls={calls}, tokens={tokens}): expected at least 1 of each")
        if not 0 < share <= 1:
            raise ConfigError(f"Budget(share={share!r}): expected a share above 0 and up to 1, such as 0.25")
        self.counts_dollars = usd is not None
        self._per = seconds(per)
        self._most = _Amounts(calls, tokens, _dollars(usd))
        self._share = _NOTHING.plus(self._most, share)
        self._now = clock.monotonic
        self._all = _Level(self._most, self._per, self._now())
        self._scopes: dict[str, _Level] = {}
        self.refused = 0

    async def reserve(self, scope: str, most: Spent, /) -> Allowed | None:
        """Set aside; nothing is awaited between looking and spending, so it is atomic."""
        now = self._now()
        own = self._level(scope, now)
        self._all.drain(now)
        own.drain(now)
        tokens = most.input_tokens + most.output_tokens
        wanted = _Amounts(1, tokens, float(most.usd or 0) if self.counts_dollars else 0.0)
        unpriced = self.counts_dollars and most.usd is None
        if unpriced or not (self._all.has_room(wanted) and own.has_room(wanted)):
            self.refused += 1
            return None
        levels = (self._all, own)
        for level in levels:
            level.used = level.used.plus(wanted)
        return _Reserved(levels, wanted)

    def _level(self, scope: str, now: float) -> _Level:
        level = self._scopes.get(scope)
        if level is None:
            # A scope in use has a call that is not drained yet, and of those there are at most twice `calls`.
            if len(self._scopes) > 2 * self._most.calls:
                for other in self._scopes.values():
                    other.drain(now)
                self._scopes = {name: one for name, one in self._scopes.items() if one.used != _NOTHING}
            level = self._scopes[scope] = _Level(self._share, self._per, now)
        return level


class _Reserved:
    """What was set aside in every bucket."""

    def __init__(self, levels: tuple[_Level, ...], wanted: _Amounts) -> None:
        self._levels = levels
        self._wanted = wanted

    async def settle(self, spent: Spent, /) -> None:
        """Give back what was not used; the call itself was made."""
        tokens = spent.input_tokens + spent.output_tokens
        spare = _Amounts(
            0,
            self._wanted.tokens - tokens if tokens else 0,
            0 if spent.usd is None or not self._wanted.usd else self._wanted.usd - float(spent.usd),
        )
        for level in self._levels:
            level.used = level.used.plus(spare, -1)
        self._levels = ()


def _dollars(usd: Decimal | str | None) -> float:
    if usd is None:
        return 0.0
    try:
        amount = Decimal(usd)
    except InvalidOperation:
        amount = Decimal(0)
    if not amount > 0:
        raise ConfigError(f"Budget(usd={usd!r}): expected dollars above nothing as text, such as '5.00'")
    return float(amount)
