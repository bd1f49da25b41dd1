"""The limit that learns, on simulated services: up where there is room, down where more makes all slower, steady in noise."""

import heapq
import math
import random
from collections.abc import Callable

import pytest

from seawall import Backpressure
from seawall.defense.load import AdaptiveLimit
from seawall.testing import FakeClock

CONFIG = Backpressure(least=4, start=16, most=256)


def simulate(
    limit: AdaptiveLimit,
    clock: FakeClock,
    latency: Callable[[int, float], float],
    *,
    seconds: float,
    asking: int = 10_000,
) -> list[int]:
    """Run a service whose `asking` callers always want more; return the limit at the end of each second."""
    begun = now = clock.monotonic()
    running: list[tuple[float, float]] = []
    seen: list[int] = []
    while now < begun + seconds:
        while len(running) < min(limit.value, asking):
            heapq.heappush(running, (now + latency(len(running) + 1, now - begun), now))
        end, since = heapq.heappop(running)
        clock.advance(end - now)
        now = end
        limit.add("k", now - since, "success", running=len(running) + 1, now=now)
        seen += [limit.value] * (int(now - begun) - len(seen))
    return seen


def noisy(seed: int, spread: float) -> Callable[[], float]:
    """Give factors whose logarithms are normal."""
    chance = random.Random(seed)
    return lambda: math.exp(chance.gauss(0.0, spread))


def test_where_there_is_room_the_limit_rises() -> None:
    """Latency does not depend on how many run: as many as may."""
    clock = FakeClock()
    limit = AdaptiveLimit(CONFIG, clock)
    assert simulate(limit, clock, lambda _n, _t: 0.2, seconds=30)[-1] == 256


def test_a_limit_that_is_not_used_does_not_rise() -> None:
    """Eight callers say nothing of what two hundred would do."""
    clock = FakeClock()
    limit = AdaptiveLimit(CONFIG, clock)
    assert simulate(limit, clock, lambda _n, _t: 0.2, seconds=30, asking=8)[-1] == 16


@pytest.mark.parametrize("places", [8, 20])
def test_where_more_makes_all_slower_it_stays_near_what_there_is(places: int) -> None:
    """A server with so many places, each beyond them waits: not far above that after a while, and not below."""
    clock = FakeClock()
    limit = AdaptiveLimit(CONFIG, clock)
    # What it takes when nobody waits is known from quieter times.
    simulate(limit, clock, lambda _n, _t: 0.1, seconds=10, asking=4)
    seen = simulate(limit, clock, lambda n, _t: 0.1 * max(1.0, n / places), seconds=120)
    late = seen[60:]
    assert max(late) <= 4 * places
    assert min(late) >= places // 2


def test_a_hundredfold_spread_by_nature_is_no_slowness() -> None:
    """Answers of models take from a second to a hundred: the limit rises all the same."""
    clock, factor = FakeClock(), noisy(1, 1.2)
    limit = AdaptiveLimit(CONFIG, clock)
    seen = simulate(limit, clock, lambda _n, _t: 1.0 * factor(), seconds=200)
    assert seen[-1] >= 128


def test_what_is_slow_for_another_reason_is_not_made_worse() -> None:
    """A provider five times as slow from one moment on, however few ask: the limit does not fall to the least and stay."""
    clock = FakeClock()
    limit = AdaptiveLimit(CONFIG, clock)
    seen = simulate(limit, clock, lambda _n, t: 0.2 if t < 30 else 1.0, seconds=200)
    assert seen[25] == 256
    assert seen[-1] >= 128


def test_timeouts_cut_it() -> None:
    """A tenth of the runs that came to nothing in time: less, and never less than the least."""
    clock = FakeClock()
    limit = AdaptiveLimit(CONFIG, clock)
    for _ in range(40):
        for number in range(40):
            clock.advance(0.05)
            outcome = "timeout" if number % 4 == 0 else "success"
            limit.add("k", 0.01, outcome, running=limit.value, now=clock.monotonic())
    assert limit.value == 4


def test_a_late_event_loop_cuts_it_once_a_second() -> None:
    """However often it is said."""
    clock = FakeClock()
    limit = AdaptiveLimit(Backpressure(least=4, start=100, most=256), clock)
    for _ in range(30):
        clock.advance(0.1)
        limit.late(clock.monotonic())
    assert limit.value == 34


def test_runs_of_an_earlier_limit_are_not_held_against_a_later_one() -> None:
    """After a cut only what began since counts, so that one slow second is not punished for as long as it drains."""
    clock = FakeClock()
    limit = AdaptiveLimit(Backpressure(least=4, start=100, most=256), clock)
    clock.advance(2.0)
    limit.late(clock.monotonic())
    cut = limit.value
    for _ in range(200):
        clock.advance(0.01)
        limit.add("k", 60.0, "success", running=100, now=clock.monotonic())
    assert (limit.value, limit.snapshot().kinds) == (cut, 0)


def test_failures_say_nothing_of_latency() -> None:
    """A provider that refuses at once is no fast provider."""
    clock = FakeClock()
    limit = AdaptiveLimit(CONFIG, clock)
    for _ in range(500):
        clock.advance(0.02)
        limit.add("k", 0.001, "failure", running=16, now=clock.monotonic())
        limit.add("k", 0.001, "ignored", running=16, now=clock.monotonic())
    assert (limit.value, limit.snapshot().slowdown) == (16, None)


def test_kinds_are_bounded() -> None:
    """However many paths are asked for."""
    clock = FakeClock()
    limit = AdaptiveLimit(CONFIG, clock)
    for number in range(1000):
        clock.advance(0.001)
        limit.add(f"kind {number}", 0.0001, "success", running=1, now=clock.monotonic())
    assert limit.snapshot().kinds <= 65
