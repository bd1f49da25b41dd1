"""Several limits at once, for good or as a reservation."""

from collections.abc import Sequence

from seawall.defense.limits.rate import Limit
from seawall.defense.limits.spend import NOTHING, Spend
from seawall.defense.limits.store import CounterStore, Decision
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.principal import Principal


async def take_all(
    store: CounterStore, limits: Sequence[Limit], caller: Principal, now: float, cost: int | Spend = 1
) -> Decision | None:
    """Spend from every limit or from none, each what `cost` holds of its unit; None where that is no limit's.

    A whole number is so many requests. A limit on what `cost` holds none of is not asked; a cost of 0 looks at
    every limit and spends nothing. Raises what the store raises, and ConfigError for a caller that has no key.
    """
    if isinstance(cost, Spend):
        requests = [limit.take(caller, units) for limit in limits if (units := cost.units(limit.of))]
    elif cost:
        requests = [limit.take(caller, cost) for limit in limits if limit.of == "requests"]
    else:
        requests = [limit.take(caller, 0) for limit in limits]
    return await store.take(requests, now) if requests else None


class Reservation:
    """What was set aside for a piece of work, if `ok`; made by `reserve_all`. Settle or release it once.

    Where nobody does, say because the process died, it stays spent and is earned back with time.
    """

    def __init__(
        self,
        store: CounterStore,
        limits: Sequence[Limit],
        decision: Decision | None,
        clock: Clock,
        estimate: Spend,
    ) -> None:
        self.decision = decision
        self._estimate = estimate
        self._store = store
        self._limits = limits
        self._clock = clock

    @property
    def ok(self) -> bool:
        """Whether the work may start."""
        return self.decision is None or self.decision.ok

    async def settle(self, used: Spend) -> bool:
        """Say what the work really used: the rest is given back, what it used beyond is charged.

        Only the first settlement changes anything. False where the store could not note it: what was reserved
        stays spent unless it is tried again.
        """
        receipt = None if self.decision is None else self.decision.receipt
        if receipt is None:
            return True
        amounts = [limit.settled(used) for limit in self._limits]
        return await self._store.settle(receipt, amounts, self._clock.monotonic())

    async def keep(self) -> bool:
        """Count all that was set aside as used: nobody will say how much it was."""
        return await self.settle(self._estimate)

    async def release(self) -> bool:
        """Give back everything: the work was not done."""
        return await self.settle(NOTHING)


async def reserve_all(
    store: CounterStore,
    limits: Sequence[Limit],
    caller: Principal,
    estimate: Spend,
    *,
    clock: Clock = SYSTEM_CLOCK,
) -> Reservation:
    """Set aside `estimate` of every limit, or nothing of any; estimate high, the rest comes back on settling.

    A limit on what the estimate holds none of lets the work start, and is charged what it used on settling. Raises
    what the store raises, and ConfigError for a caller that has no key.
    """
    requests = [limit.take(caller, limit.reserved(estimate)) for limit in limits]
    decision = await store.reserve(requests, clock.monotonic()) if requests else None
    return Reservation(store, tuple(limits), decision, clock, estimate)
