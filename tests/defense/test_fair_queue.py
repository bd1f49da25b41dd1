"""Who is next: bounded whatever comes, fair between tenants, in lanes by weight, and never anything lost or given twice."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from seawall import Backpressure
from seawall.defense.load.backpressure import LANES, Lane
from seawall.defense.load.fair_queue import FairQueue, Waiting

TENANTS = ("a", "b", "c")


def queue(**config: Any) -> FairQueue[int]:
    """Make one."""
    return FairQueue(Backpressure(**config))


def one(
    tenant: str,
    number: int = 0,
    *,
    lane: Lane = "interactive",
    cost: float = 1.0,
    since: float = 0.0,
    until: float = 1e9,
) -> Waiting[int]:
    """Make one that waits."""
    return Waiting(tenant, lane, cost, number, since=since, until=until)


def fill(into: FairQueue[int], tenant: str, number: int, **how: Any) -> None:
    """Let several wait."""
    for index in range(number):
        assert into.put(one(tenant, index, **how)) is None


def served(of: FairQueue[int], number: int, now: float = 0.0) -> list[Waiting[int]]:
    """Take out several."""
    found = [of.take(now)[0] for _ in range(number)]
    return [waiting for waiting in found if waiting is not None]


class Crowd(RuleBasedStateMachine):
    """Tenants that come, leave and are served in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.config = Backpressure(queue=12, tenant_share=0.5)
        self.queue: FairQueue[int] = FairQueue(self.config)
        self.waiting: list[Waiting[int]] = []
        self.number = 0
        self.now = 0.0

    @rule(
        tenant=st.sampled_from(TENANTS),
        lane=st.sampled_from(LANES),
        cost=st.sampled_from((0.0, 1.0, 3.0, 99.0)),
        lasts=st.sampled_from((0.5, 5.0, 1e9)),
    )
    def comes(self, tenant: str, lane: Lane, cost: float, lasts: float) -> None:
        """Where there is room for it; one that has less right goes for it."""
        if self.queue.refuses(tenant, lane):
            return
        self.number += 1
        newcomer = one(tenant, self.number, lane=lane, cost=cost, since=self.now, until=self.now + lasts)
        evicted = self.queue.put(newcomer)
        self.waiting.append(newcomer)
        if evicted is None:
            return
        self.waiting.remove(evicted)
        below = LANES.index(evicted.lane) > LANES.index(lane)
        assert below or (evicted.lane == lane and evicted.tenant != tenant)
        if not below:
            left = self.flow(evicted.tenant, lane)
            assert left >= self.flow(tenant, lane)

    @rule(index=st.integers(0, 100))
    def leaves(self, index: int) -> None:
        """By itself; once only."""
        if self.waiting:
            gone = self.waiting.pop(index % len(self.waiting))
            assert self.queue.remove(gone)
            assert not self.queue.remove(gone)

    @rule()
    def is_served(self) -> None:
        """One that is not too late; those who are come out on the way."""
        found, late = self.queue.take(self.now)
        for waiting in late:
            assert waiting.until <= self.now
            self.waiting.remove(waiting)
        if found is None:
            assert not self.waiting
        else:
            assert found.until > self.now
            self.waiting.remove(found)

    @rule(by=st.sampled_from((0.1, 0.7, 3.0)))
    def time_goes_by(self, by: float) -> None:
        """Some of them become too late."""
        self.now += by

    def flow(self, tenant: str, lane: Lane) -> int:
        return sum(one.tenant == tenant and one.lane == lane for one in self.waiting)

    @invariant()
    def nobody_is_lost_and_every_bound_holds(self) -> None:
        """In all, of one tenant, in a lane."""
        assert self.queue.size == len(self.waiting) <= self.config.queue
        for tenant in TENANTS:
            assert sum(one.tenant == tenant for one in self.waiting) <= self.config.tenant_queue
        for rank, lane in enumerate(LANES):
            number = sum(one.lane == lane for one in self.waiting)
            assert self.queue.waiting(lane) == number <= self.config.queue >> (2 * rank)
            for tenant in TENANTS:
                assert 0 <= self.queue.ahead(tenant, lane) <= self.queue.size


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


@given(st.lists(st.integers(1, 60), min_size=2, max_size=5))
def test_a_crowd_does_not_stand_before_another_tenant(sizes: list[int]) -> None:
    """While several wait, none gets more than one turn ahead of another, however many it brought."""
    waiting = queue(queue=400, tenant_share=1.0)
    for number, size in enumerate(sizes):
        fill(waiting, str(number), size)
    while waiting.size:
        found = served(waiting, 1)[0]
        served_now = Counter({found.tenant: 1})
        backlogged = min(sizes)
        while sum(served_now.values()) < backlogged * len(sizes) and waiting.size:
            served_now[served(waiting, 1)[0].tenant] += 1
        assert max(served_now.values()) - min(served_now[str(n)] for n in range(len(sizes))) <= 1
        return


def test_turns_are_counted_in_cost() -> None:
    """Work that costs four times as much is done a quarter as often."""
    waiting = queue(queue=200, tenant_share=1.0)
    fill(waiting, "dear", 80, cost=4.0)
    fill(waiting, "cheap", 80)
    said = Counter(found.tenant for found in served(waiting, 50))
    assert said["cheap"] == 40


def test_lanes_take_turns_by_weight() -> None:
    """What is urgent nearly always, and nobody starves."""
    waiting = queue(queue=8192, tenant_share=1.0)
    fill(waiting, "a", 1500)
    fill(waiting, "b", 500, lane="batch")
    fill(waiting, "c", 250, lane="background")
    said = Counter(found.lane for found in served(waiting, 1330))
    assert said == {"interactive": 1280, "batch": 40, "background": 10}


def test_who_has_less_right_goes_for_who_has_more() -> None:
    """The newest of the greediest in the lowest lane; then the greediest in one's own; never to make it less equal."""
    waiting = queue(queue=32, tenant_share=1.0)
    fill(waiting, "a", 1, lane="background")
    fill(waiting, "b", 1, lane="background")
    fill(waiting, "a", 30)
    evicted = [waiting.put(one("c", number)) for number in range(2)]
    assert {gone.lane for gone in evicted if gone} == {"background"}
    gone = waiting.put(one("c"))
    assert gone is not None
    assert (gone.tenant, gone.item) == ("a", 29)
    # Until there are as many of each: another exchange would only turn it round.
    for _ in range(13):
        assert waiting.put(one("c")) is not None
    assert waiting.refuses("c", "interactive")
    assert waiting.refuses("a", "batch")


def test_a_lane_keeps_room_for_the_one_above() -> None:
    """Background work fills a sixteenth of the queue, batch a quarter, and what is urgent finds the rest."""
    waiting = queue(queue=32, tenant_share=1.0)
    fill(waiting, "a", 2, lane="background")
    assert waiting.refuses("b", "background") is False
    assert waiting.refuses("a", "background")
    fill(waiting, "a", 8, lane="batch")
    assert waiting.refuses("a", "batch")
    fill(waiting, "a", 22)
    assert waiting.size == 32


def test_under_lasting_overload_the_newest_goes_first() -> None:
    """Not at once: only when the oldest has stood longer than the target for a whole interval; and no longer than that."""
    waiting = queue(target="500ms", interval="1s", tenant_share=1.0)
    for number in range(10):
        waiting.put(one("a", number, since=0.1 * number))
    assert served(waiting, 1, now=1.2)[0].item == 0
    assert [found.item for found in served(waiting, 2, now=1.7)] == [9, 8]
    served(waiting, 6, now=1.7)
    waiting.put(one("a", 20, since=1.8))
    assert served(waiting, 1, now=1.8)[0].item in {1, 20}
    fill(waiting, "a", 2, since=2.0)
    assert served(waiting, 1, now=2.0)[0].since <= 2.0


def test_what_is_congested_lets_in_only_what_starts_soon() -> None:
    """Half the target, for as long as somebody was turned away within the last interval."""
    waiting = queue(target="500ms", interval="1s", interactive_wait="3s", tenant_share=1.0)
    fill(waiting, "a", 5, since=0.0)
    assert waiting.longest_wait("a", "interactive", 0.1) == 3.0
    assert waiting.longest_wait("a", "interactive", 1.6) == 0.25
    assert waiting.longest_wait("b", "interactive", 1.6) == 3.0
    served(waiting, 4, now=1.6)
    for now in (2.0, 2.9, 3.8):
        waiting.turned_away("a", "interactive", now)
        assert waiting.longest_wait("a", "interactive", now + 0.9) == 0.25
    served(waiting, 1, now=3.8)
    fill(waiting, "a", 1, since=5.0)
    assert waiting.longest_wait("a", "interactive", 5.0) == 3.0


def test_everything_can_be_taken_out_at_once() -> None:
    """What is left is an empty queue that works."""
    waiting = queue()
    fill(waiting, "a", 3)
    fill(waiting, "b", 2, lane="batch")
    assert len(waiting.clear()) == 5
    assert (waiting.size, waiting.take(0.0)) == (0, (None, []))
    fill(waiting, "a", 1)
    assert served(waiting, 1)[0].tenant == "a"
