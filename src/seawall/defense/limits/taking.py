"""Several limits at once."""

from collections.abc import Sequence

from seawall.defense.limits.rate import RateLimit
from seawall.defense.limits.store import CounterStore, Decision
from seawall.foundation.principal import Principal


async def take_all(
    store: CounterStore, limits: Sequence[RateLimit], principal: Principal, now: float, cost: int = 1
) -> Decision | None:
    """Spend `cost` units of every limit or of none; None where there are no limits. Raises what the store
    raises.
    """
    if not limits:
        return None
    return await store.take([limit.take(principal, cost) for limit in limits], now)
