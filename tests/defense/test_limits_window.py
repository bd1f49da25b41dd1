"""The strict sliding window, against a naive log of everything that happened."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.defense.limits import Log, MemoryStore, SlidingWindow, Window, take_all
from seawall.foundation.errors import ConfigError
from seawall.foundation.principal import Principal
from seawall.testing import FakeClock

ANN = Principal("acme", "ann@example.org")
ARRIVALS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 5)), min_size=1, max_size=80)


def replay(window: Window, arrivals: list[tuple[int, int]], *, begin: int) -> list[tuple[int, int, bool]]:
    """Ask for each (gap, cost) in turn; the bound on memory is checked on the way."""
    log: Log | None = None
    now, seen = begin, list[tuple[int, int, bool]]()
    for gap, cost in arrivals:
        now += gap
        verdict, after = window.judge(log, now, cost)
        if verdict.ok and cost:
            log = after
            assert len(log.slots) <= window.slices + 1
        seen.append((now, cost, verdict.ok))
    return seen


@settings(deadline=None)
@given(limit=st.integers(1, 12), width=st.integers(1, 90), slices=st.integers(1, 9), arrivals=ARRIVALS)
def test_no_window_of_the_period_ever_holds_more_than_the_limit(
    limit: int, width: int, slices: int, arrivals: list[tuple[int, int]]
) -> None:
    """Whatever is asked and when, each window of the whole period, both ends counted, stays within the limit."""
    seen = replay(Window(limit, width, slices), arrivals, begin=1_000_003)
    for end, _, _ in seen:
        inside = [cost for at, cost, ok in seen if ok and end - width * slices <= at <= end]
        assert sum(inside) <= limit


@settings(deadline=None)
@given(limit=st.integers(1, 12), width=st.integers(1, 90), slices=st.integers(1, 9), arrivals=ARRIVALS)
def test_a_window_refuses_only_what_one_slice_more_would_hold(
    limit: int, width: int, slices: int, arrivals: list[tuple[int, int]]
) -> None:
    """Whatever fits into the period and one slice more is admitted: that is all the caution there is."""
    seen = replay(Window(limit, width, slices), arrivals, begin=1_000_003)
    for index, (now, cost, ok) in enumerate(seen):
        recent = [c for at, c, admitted in seen[:index] if admitted and now - at < width * (slices + 1)]
        if sum(recent) + cost <= limit:
            assert ok


@pytest.mark.parametrize("slices", [1, 5, 20])
def test_a_caller_that_always_asks_gets_the_stated_part(slices: int) -> None:
    """Over many periods, a caller that asks all the time is given at least slices / (slices + 1) of the limit."""
    window = Window.of(100, 10.0, slices)
    step = window.width // 10
    log, given_units, periods = None, 0, 20
    for now in range(0, periods * window.width * (slices + 1), step):
        verdict, after = window.judge(log, now, 1)
        if verdict.ok:
            log, given_units = after, given_units + 1
    asked = min(100, 10 * (slices + 1))
    assert given_units >= periods * asked


@settings(deadline=None)
@given(limit=st.integers(1, 12), arrivals=ARRIVALS, cost=st.integers(1, 12))
def test_the_wait_is_exact(limit: int, arrivals: list[tuple[int, int]], cost: int) -> None:
    """A refused caller is admitted after its wait and not a nanosecond sooner; never is said only of the impossible."""
    window, log, now = Window(limit, 50, 4), None, 1_000_000
    for gap, units in arrivals:
        now += gap
        verdict, after = window.judge(log, now, units)
        log = after if verdict.ok and units else log
    verdict, _ = window.judge(log, now, cost)
    assert (verdict.retry_after is None) == (cost > limit)
    if verdict.retry_after:
        assert not window.judge(log, now + verdict.retry_after - 1, cost)[0].ok
        assert window.judge(log, now + verdict.retry_after, cost)[0].ok
    assert window.judge(log, now + verdict.reset_after, 0)[0].remaining == limit


def test_time_running_back_forgets_nothing() -> None:
    """A clock that jumps back an hour keeps what was spent, and what is spent then counts from the later time."""
    window = Window.of(2, 60.0, 6)
    log = window.judge(None, 7_200_000_000_000, 1)[1]
    log = window.judge(log, 3_600_000_000_000, 1)[1]
    assert not window.judge(log, 3_600_000_000_000, 1)[0].ok
    assert not window.judge(log, 7_230_000_000_000, 1)[0].ok


async def test_a_sliding_window_holds_where_a_bucket_would_let_twice_the_limit_through() -> None:
    """Half the limit is spent, a little waited, and the other half and no more is to be had."""
    store, clock = MemoryStore(), FakeClock()
    limits = [SlidingWindow(10, "10s")]
    oks: list[bool] = []
    for count in (5, 10):
        for _ in range(count):
            decision = await take_all(store, limits, ANN, clock.monotonic())
            assert decision is not None
            oks.append(decision.ok)
        clock.advance("9s")
    assert oks == [True] * 10 + [False] * 5


def test_a_window_says_what_it_is() -> None:
    """Name and description hold the numbers; slices out of range and slices too thin are refused."""
    window = SlidingWindow(5, "1m", key="tenant", of="tokens", slices=6)
    assert window.describe() == {
        "name": "5 tokens in any 1m by tenant",
        "limit": 5,
        "of": "tokens",
        "per": "1m",
        "key": "tenant",
        "slices": 6,
    }
    for slices, per in ((0, "1m"), (101, "1m"), (100, timedelta_of_microseconds(50))):
        with pytest.raises(ConfigError, match="slices"):
            SlidingWindow(1, per, slices=slices)


def timedelta_of_microseconds(count: int) -> str:
    """Write a very short period."""
    return f"{count / 1000:.3f}ms"
