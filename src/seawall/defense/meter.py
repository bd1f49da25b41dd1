"""Limits round a run: what it takes before it begins, before each model request, before each tool call."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from seawall.defense.limits import (
    AtLimit,
    Budget,
    Caller,
    CounterStore,
    Decision,
    Limit,
    Purses,
    RateLimited,
    Reservation,
    Spend,
    take_all,
)
from seawall.foundation.clock import Clock
from seawall.foundation.events import BudgetWarned, EventBus


class Meter:
    """Spends a caller's share; raises RateLimited where there is none left.

    Requests are taken once a run, tool calls once a call. Tokens and dollars are reserved for each model request at
    the most that it can use, and settled at what it did use.
    """

    def __init__(
        self, store: CounterStore, limits: Sequence[Limit | Budget], clock: Clock, events: EventBus
    ) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        rates = [limit for limit in limits if not isinstance(limit, Budget)]
        self._plain = [limit for limit in rates if limit.of in {"requests", "tool_calls"}]
        self._heaviest = min((limit.quota.most for limit in rates if limit.of == "requests"), default=1)
        self._used = [limit for limit in limits if limit.of in {"tokens", "usd"}]
        budgets = [limit for limit in limits if isinstance(limit, Budget)]
        self._at_limit: dict[str, AtLimit] = {budget.name: budget.at_limit for budget in budgets}
        used = [limit for limit in rates if limit.of in {"tokens", "usd"}]
        self._purses = Purses(store, budgets, used, clock, self._warned)

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

    def at_limit(self, budget: str) -> AtLimit:
        """Return what happens where the budget of that name is spent."""
        return self._at_limit[budget]

    async def reserve(
        self,
        caller: Caller,
        most: Spend,
        run_id: str,
        *,
        granted: AbstractSet[str] = frozenset(),
        patient: bool = True,
    ) -> Reservation:
        """Set aside the most that a model request can use. What is not settled stays spent.

        Budgets that are `granted` are charged, and refuse nothing. Without patience nobody waits for what others hold.
        """
        return await self._purses.reserve(caller, most, run_id, granted=granted, patient=patient)

    def _warned(self, budget: Budget, caller: Caller, share: float) -> None:
        self._events.publish(BudgetWarned(budget.name, caller.tenant, share))

    async def _take(self, caller: Caller, spend: Spend) -> Decision | None:
        decision = await take_all(self._store, self._plain, caller, self._clock.monotonic(), spend)
        if decision is not None and not decision.ok:
            raise RateLimited(decision)
        return decision
