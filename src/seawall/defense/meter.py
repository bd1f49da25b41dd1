"""Limits round a run: what it takes before it begins, before each model request, before each tool call."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from seawall.defense.limits import (
    Caller,
    CounterStore,
    Decision,
    Limit,
    RateLimited,
    Reservation,
    Spend,
    reserve_all,
    take_all,
)
from seawall.foundation.clock import Clock


class Meter:
    """Spends a caller's share; raises RateLimited where there is none left.

    Requests are taken once a run, tool calls once a call. Tokens and dollars are reserved for each model request at
    the most that it can use, and settled at what it did use.
    """

    def __init__(self, store: CounterStore, limits: Sequence[Limit], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._plain = [limit for limit in limits if limit.of in {"requests", "tool_calls"}]
        self._heaviest = min((limit.quota.most for limit in limits if limit.of == "requests"), default=1)
        self._used = [limit for limit in limits if limit.of in {"tokens", "usd"}]

    @property
    def degraded(self) -> bool:
        """Whether a shared count is away, and this process counts by itself."""
        return self._store.degraded

    @property
    def counts_use(self) -> bool:
        """Whether tokens or dollars are limited: only then is an estimate worth its while."""
        return bool(self._used)

    @property
    def counts_dollars(self) -> bool:
        """Whether dollars are limited."""
        return any(limit.of == "usd" for limit in self._used)

    async def admit(self, caller: Caller, weight: int) -> None:
        """Take one request, which weighs more for a caller that is not trusted, but never more than may be spent."""
        await self._take(caller, Spend(requests=min(weight, self._heaviest)))

    async def tool_call(self, caller: Caller) -> None:
        """Take one tool call."""
        await self._take(caller, Spend(requests=0, tool_calls=1))

    @asynccontextmanager
    async def reserved(self, caller: Caller, most: Spend) -> AsyncGenerator[Reservation]:
        """Set aside the most that a model request can use. What the block does not settle stays spent."""
        reservation = await reserve_all(self._store, self._used, caller, most, clock=self._clock)
        if not reservation.ok and reservation.decision is not None:
            raise RateLimited(reservation.decision)
        yield reservation

    async def _take(self, caller: Caller, spend: Spend) -> Decision | None:
        decision = await take_all(self._store, self._plain, caller, self._clock.monotonic(), spend)
        if decision is not None and not decision.ok:
            raise RateLimited(decision)
        return decision
