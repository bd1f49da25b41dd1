"""Budgets as they are spent: set aside, waited for, settled, refused; whatever store counts them."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress

from seawall.defense.limits.budget import Budget, Purse
from seawall.defense.limits.keys import Caller
from seawall.defense.limits.rate import Limit
from seawall.defense.limits.refusal import BudgetExceeded, RateLimited
from seawall.defense.limits.spend import Spend
from seawall.defense.limits.store import CounterStore, Decision
from seawall.defense.limits.taking import Reservation, reserve_all, take_all
from seawall.foundation.clock import Clock
from seawall.foundation.errors import StoreError
from seawall.foundation.units import seconds

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2
_MOST_WARNED = 4_096
# Told of a budget, a caller's tenant, and the share that is spent.
Warned = Callable[[Budget, Caller, float], object]


class Purses:
    """All budgets and other limits on what requests use, as one reservation."""

    def __init__(
        self,
        store: CounterStore,
        budgets: Sequence[Budget],
        limits: Sequence[Limit],
        clock: Clock,
        warned: Warned,
    ) -> None:
        self._store = store
        self._budgets = tuple(budgets)
        self._limits = tuple(limits)
        self._clock = clock
        self._warned = warned
        # Whom a warning went out for already, in which span.
        self._told: OrderedDict[tuple[str, str, float], None] = OrderedDict()

    async def reserve(
        self,
        caller: Caller,
        most: Spend,
        run_id: str,
        *,
        granted: AbstractSet[str] = frozenset(),
        patient: bool = True,
    ) -> Reservation:
        """Set aside the most that a request can use, of every budget and limit; BudgetExceeded or RateLimited.

        Budgets that are `granted` are charged, and refuse nothing. Without patience nobody waits for what others hold.
        """
        waited, pause = 0.0, _FIRST_PAUSE
        while True:
            purses = [
                budget.at(self._clock.time(), run_id, granted=budget.name in granted)
                for budget in self._budgets
            ]
            limits = [*self._limits, *(one for purse in purses for one in (purse.spent, purse.held))]
            reservation = await reserve_all(self._store, limits, caller, most, clock=self._clock)
            decision = reservation.decision
            if reservation.ok:
                await self._warn(purses, caller)
                return reservation
            assert decision is not None
            purse = next((one for one in purses if one.budget.name == decision.name), None)
            if purse is None or decision.degraded or decision.store_full:
                raise RateLimited(decision)
            out = not patient or waited >= seconds(purse.budget.patience)
            if out or not await self._may_free(purse, caller, most):
                raise self._exceeded(purse, decision)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  apart from one another, no secret
            waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE)

    async def _may_free(self, purse: Purse, caller: Caller, most: Spend) -> bool:
        """Whether it would fit, if what others have set aside came back whole."""
        left = await self._left(purse.spent, caller)
        held = purse.held.quota.most - await self._left(purse.held, caller)
        return held > 0 and most.units(purse.budget.of) <= left + held

    async def _left(self, limit: Limit, caller: Caller) -> int:
        decision = await take_all(self._store, [limit], caller, self._clock.monotonic(), 0)
        return 0 if decision is None else decision.remaining

    async def _warn(self, purses: Sequence[Purse], caller: Caller) -> None:
        for purse in purses:
            thresholds = [share for share in purse.budget.warn if not self._was_told(purse, caller, share)]
            if not thresholds:
                continue
            with suppress(StoreError):
                spent = 1 - await self._left(purse.spent, caller) / purse.budget.units
                for share in thresholds:
                    if spent >= share:
                        self._tell(purse, caller, share)
                        self._warned(purse.budget, caller, spent)

    def _was_told(self, purse: Purse, caller: Caller, share: float) -> bool:
        return self._key(purse, caller, share) in self._told

    def _tell(self, purse: Purse, caller: Caller, share: float) -> None:
        self._told[self._key(purse, caller, share)] = None
        while len(self._told) > _MOST_WARNED:
            self._told.popitem(last=False)

    def _key(self, purse: Purse, caller: Caller, share: float) -> tuple[str, str, float]:
        return purse.spent.take(caller, 0).key, f"{purse.ends}", share

    def _exceeded(self, purse: Purse, decision: Decision) -> BudgetExceeded:
        resets = None if purse.ends is None else max(0.0, purse.ends - self._clock.time())
        return BudgetExceeded(decision._replace(retry_after=resets), purse.ends)
