"""The way in under load: as many as may, everybody told once, no place lost whoever leaves when."""

import asyncio
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall import Backpressure
from seawall.defense.load import AdmissionControl, Pass, Shed, Ticket
from seawall.testing import FakeClock


def control(places: int = 2, clock: FakeClock | None = None, **more: Any) -> AdmissionControl:
    """Make one with a limit that stays."""
    more = {"queue": 4, "tenant_share": 1.0, **more}
    config = Backpressure(least=places, start=places, most=places, **more)
    return AdmissionControl(config, clock or FakeClock())


async def settle() -> None:
    """Let every task that can go on, go on."""
    for _ in range(4):
        await asyncio.sleep(0)


def held(of: AdmissionControl, number: int, tenant: str = "a") -> list[Pass]:
    """Take places that there must be."""
    passes = [of.try_enter(Ticket(tenant)) for _ in range(number)]
    assert all(isinstance(one, Pass) for one in passes)
    return [one for one in passes if isinstance(one, Pass)]


async def test_a_place_is_handed_on_to_whoever_waits() -> None:
    """By arrival; leaving twice gives nothing twice."""
    way_in = control(1)
    first = held(way_in, 1)[0]
    waiting = [asyncio.create_task(way_in.enter(Ticket("a"))) for _ in range(2)]
    await settle()
    assert way_in.stats().queued["interactive"] == 2
    first.leave()
    first.leave()
    await settle()
    assert [one.done() for one in waiting] == [True, False]
    assert way_in.stats().running == 1
    granted = waiting[0].result()
    assert isinstance(granted, Pass)
    with granted:
        pass
    assert isinstance(await waiting[1], Pass)


async def test_what_finds_no_room_is_told_when_to_come_back() -> None:
    """Estimated by what runs took, and how many are before it."""
    clock = FakeClock()
    way_in = control(1, clock, queue=2, interactive_wait="60s")
    for _ in range(20):
        one = held(way_in, 1)[0]
        clock.advance(2.0)
        one.leave()
    held(way_in, 1)
    waiting = [asyncio.create_task(way_in.enter(Ticket("a"))) for _ in range(2)]
    await settle()
    shed = way_in.try_enter(Ticket("a"))
    assert isinstance(shed, Shed)
    assert (shed.reason, shed.retry_after) == ("full", pytest.approx(6.0))
    for one in waiting:
        one.cancel()
    await settle()
    assert way_in.stats().queued["interactive"] == 0


async def test_a_caller_that_could_not_be_served_in_time_is_told_at_once() -> None:
    """Its deadline is nearer than its turn; one that is past already is told the same."""
    clock = FakeClock()
    way_in = control(1, clock, interactive_wait="60s")
    one = held(way_in, 1)[0]
    clock.advance(2.0)
    one.leave()
    held(way_in, 1)
    now = clock.monotonic()
    for deadline in (now + 1.0, now - 1.0):
        shed = way_in.try_enter(Ticket("a", deadline=deadline))
        assert isinstance(shed, Shed)
        assert shed.reason == "deadline"
    assert way_in.try_enter(Ticket("a", deadline=now + 10.0)) is None


async def test_a_wait_ends_with_its_lane_or_its_deadline() -> None:
    """On a real clock: whichever comes first says which it was; nothing waits any more."""
    config = Backpressure(
        least=1, start=1, most=1, interactive_wait="100ms", target="50ms", batch_wait="200ms", queue=4
    )
    way_in = AdmissionControl(config)
    place = way_in.try_enter(Ticket("a"))
    assert isinstance(place, Pass)
    now = asyncio.get_running_loop().time()
    told = await asyncio.gather(
        way_in.enter(Ticket("a")), way_in.enter(Ticket("b", lane="batch", deadline=now + 0.05))
    )
    assert [one.reason for one in told if isinstance(one, Shed)] == ["timeout", "deadline"]
    assert all(one.queue_seconds > 0 for one in told)
    assert sum(way_in.stats().queued.values()) == 0


async def test_draining_sends_away_whoever_waits_and_lets_what_runs_go_on() -> None:
    """Nothing new is taken."""
    way_in = control(1)
    running = held(way_in, 1)[0]
    waiting = asyncio.create_task(way_in.enter(Ticket("a")))
    await settle()
    way_in.drain()
    told = await waiting
    assert isinstance(told, Shed)
    assert told.reason == "draining"
    assert way_in.crowded
    newcomer = way_in.try_enter(Ticket("a"))
    assert isinstance(newcomer, Shed)
    running.leave()
    assert way_in.stats().running == 0


async def test_pressure_sheds_the_lowest_lane_first() -> None:
    """And leaves the others, though there is room."""
    way_in = control(2)
    way_in.pressure.level = 1
    shed = way_in.try_enter(Ticket("a", lane="background"))
    assert isinstance(shed, Shed)
    assert (shed.reason, shed.retry_after >= 1.0) == ("pressure", True)
    assert isinstance(way_in.try_enter(Ticket("a", lane="batch")), Pass)
    way_in.pressure.level = 2
    assert isinstance(way_in.try_enter(Ticket("a", lane="batch")), Shed)
    assert isinstance(way_in.try_enter(Ticket("a")), Pass)


async def test_a_flood_does_not_take_a_quiet_tenants_share() -> None:
    """Ten thousand of one, a few of another: the few are all served, one turn apart."""
    way_in = control(1, queue=256, tenant_share=0.5, interactive_wait="60s")
    place = held(way_in, 1, "flood")[0]
    flood = [asyncio.create_task(way_in.enter(Ticket("flood"))) for _ in range(10_000)]
    await settle()
    quiet = [asyncio.create_task(way_in.enter(Ticket("quiet"))) for _ in range(10)]
    await settle()
    place.leave()
    order: list[str] = []
    taken: set[asyncio.Task[Pass | Shed]] = set()
    while len(order) < 40:
        await settle()
        for one in [*flood, *quiet]:
            if one.done() and one not in taken:
                taken.add(one)
                if isinstance(granted := one.result(), Pass):
                    order.append("quiet" if one in quiet else "flood")
                    granted.leave()
    assert Counter(order[:20])["quiet"] >= 9
    assert way_in.stats().shed["full"] == 10_000 - 128
    for one in flood:
        one.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    await settle()
    stats = way_in.stats()
    assert sum(stats.queued.values()) == 0


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "cancel", "leave", "run"]), st.integers(0, 9)), max_size=40
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_no_place_is_lost_whoever_leaves_when(steps: list[tuple[str, int]]) -> None:
    """Callers ask, give up and finish in any order, in the same turn of the loop or not: in the end every place is free."""

    async def play() -> None:
        way_in = control(2, queue=3)
        asking: list[asyncio.Task[Pass | Shed]] = []
        passes: list[Pass] = []
        for step, index in steps:
            if step == "ask":
                asking.append(asyncio.create_task(way_in.enter(Ticket("ab"[index % 2]))))
            elif step == "cancel" and asking:
                asking[index % len(asking)].cancel()
            elif step == "leave" and passes:
                passes.pop(index % len(passes)).leave()
            elif step == "run":
                await settle()
            done = [one for one in asking if one.done()]
            asking = [one for one in asking if not one.done()]
            told = [one.result() for one in done if not one.cancelled()]
            passes += [one for one in told if isinstance(one, Pass)]
            assert way_in.stats().running <= 2
        for one in asking:
            one.cancel()
        left = await asyncio.gather(*asking, return_exceptions=True)
        passes += [one for one in left if isinstance(one, Pass)]
        for one in passes:
            one.leave()
        await settle()
        stats = way_in.stats()
        assert (stats.running, sum(stats.queued.values())) == (0, 0)
        assert all(isinstance(way_in.try_enter(Ticket("z")), Pass) for _ in range(2))
        assert way_in.try_enter(Ticket("z")) is None

    asyncio.run(play())


async def test_how_long_to_wait_is_always_a_number() -> None:
    """Before anything was measured too."""
    way_in = control(1, queue=0)
    held(way_in, 1)
    shed = way_in.try_enter(Ticket("a"))
    assert isinstance(shed, Shed)
    assert math.isfinite(shed.retry_after)
    assert shed.retry_after > 0


async def test_an_error_says_what_came_of_a_run() -> None:
    """A timeout counts as one; whatever else failed says nothing of how long work takes."""
    way_in = control(1)
    with pytest.raises(TimeoutError), held(way_in, 1)[0]:
        raise TimeoutError
    with pytest.raises(KeyError), held(way_in, 1)[0]:
        raise KeyError
    assert way_in.stats().running == 0
