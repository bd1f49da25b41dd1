"""What the recent calls came to, in constant memory."""

from collections import deque
from typing import Any, Protocol

_BUCKETS = 10


class Window(Protocol):
    """Counts of the recent calls; `add` returns a mark, by which a call already counted can fail later."""

    calls: int
    failures: int
    slow: int

    def clear(self) -> None:
        """Forget every call."""
        ...

    def add(self, now: float, *, failed: bool, slow: bool) -> Any:
        """Count one call at `now`, in monotonic seconds; return its mark."""
        ...

    def fail(self, mark: Any) -> None:
        """Count the marked call as failed too, if it is still remembered."""
        ...

    def forget_until(self, now: float) -> None:
        """Drop what has grown too old by `now`, so that the totals can be read."""
        ...


def make_window(span: float | None, last: int | None) -> Window:
    """Make the window over `span` seconds, the `last` calls, or both; None is no bound."""
    if last is not None:
        return LastCalls(last, span)
    assert span is not None, "a window needs a bound"
    return TimeWindow(span)


class LastCalls:
    """The latest `last` calls, one by one; where a `span` in seconds is given, none that is older."""

    __slots__ = ("_entries", "_last", "_span", "calls", "failures", "slow")

    def __init__(self, last: int, span: float | None) -> None:
        self._last = last
        self._span = span
        self._entries: deque[list[Any]] = deque()
        self.clear()

    def clear(self) -> None:
        """Forget every call."""
        for entry in self._entries:
            entry[0] = None
        self._entries.clear()
        self.calls = self.failures = self.slow = 0

    def add(self, now: float, *, failed: bool, slow: bool) -> list[Any]:
        """Count one call."""
        if self._span is not None:
            self.forget_until(now)
        if self.calls == self._last:
            self._drop()
        entry = [now, failed, slow]
        self._entries.append(entry)
        self.calls += 1
        self.failures += failed
        self.slow += slow
        return entry

    def fail(self, mark: list[Any]) -> None:
        """Count a call as failed too, if it is still remembered."""
        if mark[0] is not None and not mark[1]:
            mark[1] = True
            self.failures += 1

    def forget_until(self, now: float) -> None:
        """Drop what is as old as the span."""
        if self._span is not None:
            oldest = now - self._span
            while self._entries and self._entries[0][0] <= oldest:
                self._drop()

    def _drop(self) -> None:
        entry = self._entries.popleft()
        self.calls -= 1
        self.failures -= entry[1]
        self.slow -= entry[2]
        entry[0] = None


class TimeWindow:
    """All calls of a sliding span of seconds, in ten buckets: what it counts is between 0.9 and 1 span old at most."""

    __slots__ = (
        "_calls",
        "_failures",
        "_per_second",
        "_shift",
        "_slow",
        "_tick",
        "calls",
        "failures",
        "slow",
    )

    def __init__(self, span: float) -> None:
        self._per_second = _BUCKETS / span
        self._shift = self._tick = 0
        self.clear()

    def clear(self) -> None:
        """Forget every call."""
        # One turn of the buckets further, so that no earlier mark is one of a bucket to come.
        self._shift += _BUCKETS
        self._tick += _BUCKETS
        self.calls = self.failures = self.slow = 0
        self._calls = [0] * _BUCKETS
        self._failures = [0] * _BUCKETS
        self._slow = [0] * _BUCKETS

    def add(self, now: float, *, failed: bool, slow: bool) -> int:
        """Count one call."""
        tick = int(now * self._per_second) + self._shift
        if tick > self._tick:
            self._roll(tick)
        bucket = tick % _BUCKETS
        self.calls += 1
        self._calls[bucket] += 1
        if failed:
            self.failures += 1
            self._failures[bucket] += 1
        if slow:
            self.slow += 1
            self._slow[bucket] += 1
        return tick

    def fail(self, mark: int) -> None:
        """Count a call as failed too, if its bucket is still remembered."""
        if mark > self._tick - _BUCKETS and self._calls[mark % _BUCKETS]:
            self.failures += 1
            self._failures[mark % _BUCKETS] += 1

    def forget_until(self, now: float) -> None:
        """Drop the buckets that are as old as the span."""
        tick = int(now * self._per_second) + self._shift
        if tick > self._tick:
            self._roll(tick)

    def _roll(self, tick: int) -> None:
        for late in range(max(self._tick, tick - _BUCKETS) + 1, tick + 1):
            bucket = late % _BUCKETS
            self.calls -= self._calls[bucket]
            self.failures -= self._failures[bucket]
            self.slow -= self._slow[bucket]
            self._calls[bucket] = self._failures[bucket] = self._slow[bucket] = 0
        self._tick = tick
