"""Who is next: a bounded queue in which no tenant's crowd stands before another tenant.

Sources: deficit round robin (Shreedhar and Varghese 1995), in the form that lets a flow overdraw and pay later; overload
told by how long the oldest has stood, as in CoDel (Nichols and Jacobson 2012); last in, first out while it lasts.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

from seawall.defense.load.backpressure import LANES, Backpressure, Lane
from seawall.foundation.units import seconds

Item = TypeVar("Item")

QUANTUM = 1.0
_MOST_CONGESTED = 1024
COST_RANGE = (0.0625, 16.0)
WEIGHTS: dict[Lane, float] = {"interactive": 128.0, "batch": 4.0, "background": 1.0}
_RANK: dict[Lane, int] = {lane: rank for rank, lane in enumerate(LANES)}


class Waiting(Generic[Item]):
    """One that waits since `since`, until it is too late at `until`; both monotonic seconds."""

    __slots__ = ("cost", "flow", "item", "lane", "since", "tenant", "until")

    def __init__(
        self, tenant: str, lane: Lane, cost: float, item: Item, *, since: float, until: float
    ) -> None:
        self.tenant = tenant
        self.lane: Lane = lane
        self.cost = min(max(cost, COST_RANGE[0]), COST_RANGE[1])
        self.item = item
        self.since = since
        self.until = until
        # Where it stands; None once it stands nowhere.
        self.flow: _Flow[Item] | None = None


class _Flow(Generic[Item]):
    """What one tenant has waiting in one lane, by arrival; `calm` is when its oldest was last younger than the target, or
    will be.
    """

    __slots__ = ("balance", "calm", "lane", "tenant", "waiting")

    def __init__(self, tenant: str, lane: "_Lane[Item]") -> None:
        self.tenant = tenant
        self.lane = lane
        self.waiting: OrderedDict[Waiting[Item], None] = OrderedDict()
        self.balance = 0.0
        self.calm = 0.0

    def newest_first(self, now: float) -> bool:
        """Return whether what waits has been too old for too long; something must be waiting."""
        oldest = next(iter(self.waiting)).since
        if now - oldest < self.lane.target:
            self.calm = oldest + self.lane.target
        if now - self.calm < self.lane.interval:
            return False
        self.lane.congest(self.tenant, now)
        return True


class _Lane(Generic[Item]):
    """The flows of one lane, in the order of their turns, and sorted by how many each has waiting."""

    __slots__ = (
        "_by_count",
        "balance",
        "congested",
        "flows",
        "interval",
        "most",
        "most_of_one",
        "size",
        "target",
        "top",
        "turns",
        "wait",
        "weight",
    )

    def __init__(self, name: Lane, config: Backpressure) -> None:
        self.wait = config.max_wait(name)
        patience = self.wait / config.max_wait("interactive")
        self.target = patience * seconds(config.target)
        self.interval = patience * seconds(config.interval)
        self.weight = WEIGHTS[name]
        rank = _RANK[name]
        self.most = config.queue >> (2 * rank)
        self.most_of_one = max(1, config.tenant_queue >> (2 * rank))
        self.balance = 0.0
        self.size = 0
        self.top = 0
        self.flows: dict[str, _Flow[Item]] = {}
        # Until when a tenant's crowd counts as one, also while for a moment nothing of it waits.
        self.congested: dict[str, float] = {}
        self.turns: deque[_Flow[Item]] = deque()
        self._by_count: list[dict[_Flow[Item], None]] = [{}]

    def flow(self, tenant: str) -> _Flow[Item]:
        """Return a tenant's flow; a new one has the last turn."""
        flow = self.flows.get(tenant)
        if flow is None:
            flow = self.flows[tenant] = _Flow(tenant, self)
            self.turns.append(flow)
        return flow

    def congest(self, tenant: str, now: float) -> None:
        """Hold a tenant to short waits for an interval more."""
        self.congested[tenant] = now + self.interval
        if len(self.congested) > _MOST_CONGESTED:
            self.congested = {name: until for name, until in self.congested.items() if until > now}

    def waiting_of(self, tenant: str) -> int:
        """Return how many of a tenant wait here."""
        flow = self.flows.get(tenant)
        return 0 if flow is None else len(flow.waiting)

    def greediest(self) -> _Flow[Item]:
        """Return a flow with the most waiting; there must be one."""
        return next(iter(self._by_count[self.top]))

    def added(self, flow: _Flow[Item]) -> None:
        """Keep count of one more; the number of a flow changes by one, so the largest does too."""
        count = len(flow.waiting)
        self.size += 1
        if count > 1:
            del self._by_count[count - 1][flow]
        if count == len(self._by_count):
            self._by_count.append({})
        self._by_count[count][flow] = None
        self.top = max(self.top, count)

    def removed(self, flow: _Flow[Item]) -> None:
        """Keep count of one less."""
        count = len(flow.waiting)
        self.size -= 1
        del self._by_count[count + 1][flow]
        if count:
            self._by_count[count][flow] = None
        if not self._by_count[self.top]:
            self.top -= 1
        if not self.size:
            self.flows.clear()
            self.turns.clear()

    def next_flow(self) -> _Flow[Item]:
        """Return the flow whose turn it is; something must be waiting.

        A flow that is in debt keeps its place in the round, though nothing of it may wait, until it has paid.
        """
        turns = self.turns
        while True:
            flow = turns[0]
            if flow.waiting and flow.balance > 0:
                return flow
            if not flow.waiting and flow.balance >= 0:
                turns.popleft()
                del self.flows[flow.tenant]
            else:
                turns.rotate(-1)
            turns[0].balance += QUANTUM


class FairQueue(Generic[Item]):
    """At most `queue` wait, `tenant_queue` of one tenant; each operation takes constant time, spread over the work served.

    A lane may fill a quarter of what the one above it may, so that what is urgent finds room before anything has to go for it.
    Lanes take turns by weight (128, 4 and 1) and within a lane tenants take equal turns, both counted in cost, so that
    nobody starves. A tenant's own come by arrival; its newest first while its oldest has stood longer than `target` for a
    whole `interval`, because the old ones are lost either way. From then on no more are let in than start within half the
    target, until nobody was turned away for an interval: a queue that never empties serves nobody sooner. Costs are held between 1/16 and 16; 1 is an ordinary run.
    """

    def __init__(self, config: Backpressure) -> None:
        self._total = config.queue
        self._per_tenant = config.tenant_queue
        self._lanes: tuple[_Lane[Item], ...] = tuple(_Lane[Item](lane, config) for lane in LANES)
        self._tenants: dict[str, int] = {}
        self._turn = 0
        self.size = 0

    def waiting(self, lane: Lane) -> int:
        """Return how many wait in a lane."""
        return self._lanes[_RANK[lane]].size

    def refuses(self, tenant: str, lane: Lane) -> bool:
        """Return whether a newcomer finds no room, not even that of one who has less right to it."""
        rank = _RANK[lane]
        return self._crowded(tenant, rank) and self._worse(tenant, rank) is None

    def longest_wait(self, tenant: str, lane: Lane, now: float) -> float:
        """Return for how many seconds a newcomer may have to wait."""
        place = self._lanes[_RANK[lane]]
        flow = place.flows.get(tenant)
        if flow is not None and flow.waiting:
            flow.newest_first(now)
        return place.target / 2 if now < place.congested.get(tenant, 0.0) else place.wait

    def turned_away(self, tenant: str, lane: Lane, now: float) -> None:
        """Hear that a newcomer would have had to wait too long: what is congested stays so for an interval more."""
        place = self._lanes[_RANK[lane]]
        if now < place.congested.get(tenant, 0.0):
            place.congest(tenant, now)

    def ahead(self, tenant: str, lane: Lane) -> int:
        """Estimate how many start before a newcomer would."""
        place = self._lanes[_RANK[lane]]
        own = place.waiting_of(tenant)
        others = len(place.flows) - (tenant in place.flows)
        in_lane = min(place.size, own + others * (own + 1))
        weights = sum(other.weight for other in self._lanes if other.size or other is place)
        return min(self.size, int(in_lane * weights / place.weight))

    def put(self, newcomer: Waiting[Item]) -> Waiting[Item] | None:
        """Let one wait; return who must go for it. It must not be one that `refuses`."""
        tenant, rank = newcomer.tenant, _RANK[newcomer.lane]
        evicted: Waiting[Item] | None = None
        if self._crowded(tenant, rank):
            worse = self._worse(tenant, rank)
            if worse is None:
                raise ValueError("put: no room; ask `refuses` before")
            evicted = next(reversed(worse.waiting))
            self.remove(evicted)
        lane = self._lanes[rank]
        flow = lane.flow(tenant)
        if not flow.waiting:
            flow.calm = newcomer.since + lane.target
        newcomer.flow = flow
        flow.waiting[newcomer] = None
        lane.added(flow)
        self.size += 1
        self._tenants[tenant] = self._tenants.get(tenant, 0) + 1
        return evicted

    def remove(self, gone: Waiting[Item]) -> bool:
        """Take out one that waits; False where it no longer does."""
        flow, gone.flow = gone.flow, None
        if flow is None:
            return False
        del flow.waiting[gone]
        flow.lane.removed(flow)
        self.size -= 1
        left = self._tenants[gone.tenant] - 1
        if left:
            self._tenants[gone.tenant] = left
        else:
            del self._tenants[gone.tenant]
        return True

    def take(self, now: float) -> tuple[Waiting[Item] | None, list[Waiting[Item]]]:
        """Take out the next, and all that proved to be too late on the way to it; those are not charged for."""
        late: list[Waiting[Item]] = []
        while self.size:
            lane = self._next_lane()
            flow = lane.next_flow()
            found = next(reversed(flow.waiting)) if flow.newest_first(now) else next(iter(flow.waiting))
            self.remove(found)
            if found.until <= now:
                late.append(found)
                continue
            lane.balance -= found.cost
            flow.balance -= found.cost
            return found, late
        return None, late

    def clear(self) -> list[Waiting[Item]]:
        """Take out everything, in no order that matters."""
        everything = [one for lane in self._lanes for flow in lane.turns for one in flow.waiting]
        for one in everything:
            self.remove(one)
        return everything

    def _next_lane(self) -> _Lane[Item]:
        while True:
            lane = self._lanes[self._turn]
            if lane.size and lane.balance > 0:
                return lane
            if not lane.size:
                lane.balance = min(lane.balance, 0.0)
            self._turn = (self._turn + 1) % len(self._lanes)
            following = self._lanes[self._turn]
            following.balance += following.weight

    def _crowded(self, tenant: str, rank: int) -> bool:
        lane = self._lanes[rank]
        return (
            self.size >= self._total
            or lane.size >= lane.most
            or self._tenants.get(tenant, 0) >= self._per_tenant
            or lane.waiting_of(tenant) >= lane.most_of_one
        )

    def _worse(self, tenant: str, rank: int) -> _Flow[Item] | None:
        """Return the flow whose newest has less right to wait than a newcomer."""
        lane = self._lanes[rank]
        lane_full, own_full = lane.size >= lane.most, self._tenants.get(tenant, 0) >= self._per_tenant
        if lane.waiting_of(tenant) >= lane.most_of_one or (lane_full and own_full):
            return None
        if own_full:
            below = (lower.flows.get(tenant) for lower in reversed(self._lanes[rank + 1 :]))
            return next((flow for flow in below if flow is not None and flow.waiting), None)
        if not lane_full:
            for lower in reversed(self._lanes[rank + 1 :]):
                if lower.size:
                    return lower.greediest()
        # Only where the exchange leaves the two of them more equal than before.
        return lane.greediest() if lane.top > lane.waiting_of(tenant) + 1 else None
