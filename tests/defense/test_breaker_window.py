"""What a circuit breaker remembers of its recent calls, against lists that remember everything."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.defense.resilience.window import LastCalls, TimeWindow, make_window


@dataclass
class Entry:
    """One call as a list keeps it."""

    at: float
    failed: bool
    slow: bool
    mark: Any


@dataclass(frozen=True)
class Turn:
    """Time passes, then a call is counted, one fails late, all is forgotten, or somebody looks."""

    gap: float
    what: str
    failed: bool
    slow: bool
    which: int


TURNS = st.lists(
    st.builds(
        Turn,
        gap=st.sampled_from([0.0, 0.001, 0.05, 0.1, 0.3, 0.9, 1.0, 1.5]),
        what=st.sampled_from(["add", "add", "add", "add", "fail", "fail", "clear", "look"]),
        failed=st.booleans(),
        slow=st.booleans(),
        which=st.integers(0, 200),
    ),
    max_size=60,
)
SPANS = st.sampled_from([1.0, 7.0, 30.0])


@settings(deadline=None)
@given(span=SPANS, turns=TURNS)
def test_the_window_counts_its_last_ten_buckets(span: float, turns: list[Turn]) -> None:
    """Totals equal a count from scratch; nothing younger than nine tenths is missing, nothing older than the span matters."""
    window, now = TimeWindow(span), 1_000.0
    past: list[Entry] = []
    every: list[Entry] = []
    for turn in turns:
        now += turn.gap * span
        match turn.what:
            case "add":
                mark = window.add(now, failed=turn.failed, slow=turn.slow)
                every.append(Entry(now, turn.failed, turn.slow, mark))
                past.append(every[-1])
            case "fail" if every and not (entry := every[turn.which % len(every)]).failed:
                window.forget_until(now)
                window.fail(entry.mark)
                entry.failed = True
            case "clear":
                window.clear()
                past = []
            case _:
                pass
        window.forget_until(now)
        recent = [entry for entry in past if int(entry.at * (10 / span)) > int(now * (10 / span)) - 10]
        assert window.calls == len(recent)
        assert window.failures == sum(entry.failed for entry in recent)
        assert window.slow == sum(entry.slow for entry in recent)
        assert sum(now - entry.at <= 0.899 * span for entry in past) <= window.calls
        assert window.calls <= sum(now - entry.at <= 1.001 * span for entry in past)


@settings(deadline=None)
@given(last=st.integers(1, 8), span=st.one_of(st.none(), SPANS), turns=TURNS)
def test_the_window_counts_its_last_calls(last: int, span: float | None, turns: list[Turn]) -> None:
    """Totals equal a count from scratch, also where calls fail after they were counted, remembered still or not."""
    window, now = LastCalls(last, span), 1_000.0
    past: list[Entry] = []
    every: list[Entry] = []
    for turn in turns:
        now += turn.gap * (span or 1.0)
        match turn.what:
            case "add":
                mark = window.add(now, failed=turn.failed, slow=turn.slow)
                every.append(Entry(now, turn.failed, turn.slow, mark))
                past.append(every[-1])
            case "fail" if every:
                entry = every[turn.which % len(every)]
                window.fail(entry.mark)
                entry.failed = True
            case "clear":
                window.clear()
                past = []
            case _:
                pass
        window.forget_until(now)
        # What one bound has dropped, the other does not bring back.
        past = [entry for entry in past if span is None or entry.at > now - span][-last:]
        assert window.calls == len(past)
        assert window.failures == sum(entry.failed for entry in past)
        assert window.slow == sum(entry.slow for entry in past)


def test_a_call_that_fails_late_counts_in_the_bucket_it_was_counted_in() -> None:
    """Bounded by time alone, what is forgotten can no longer fail."""
    window = TimeWindow(10.0)
    early, late = window.add(100.0, failed=False, slow=True), window.add(109.0, failed=False, slow=True)
    window.fail(early)
    assert (window.calls, window.failures) == (2, 1)
    window.forget_until(110.0)
    window.fail(early)
    window.fail(late)
    assert (window.calls, window.failures, window.slow) == (1, 1, 1)


def test_what_was_cleared_cannot_fail_in_the_place_of_another() -> None:
    """Not even one that was counted in the same instant."""
    for window in (make_window(10.0, None), make_window(None, 5), make_window(10.0, 5)):
        cleared = window.add(100.0, failed=False, slow=True)
        window.clear()
        window.add(100.0, failed=False, slow=False)
        window.fail(cleared)
        assert (window.calls, window.failures, window.slow) == (1, 0, 0)


def test_memory_is_bounded_however_many_calls_are_counted() -> None:
    """By the number of buckets, or by the number of calls."""
    buckets, calls = TimeWindow(10.0), LastCalls(50, 10.0)
    for number in range(10_000):
        for window in (buckets, calls):
            window.add(100.0 + number / 1000, failed=True, slow=False)
    assert (buckets.calls, buckets.failures, len(buckets._calls)) == (10_000, 10_000, 10)
    assert (calls.calls, calls.failures, len(calls._entries)) == (50, 50, 50)
