"""What the recent calls came to, in constant memory."""

_BUCKETS = 10


class Window:
    """Counts of calls over a sliding span of seconds, in ten buckets: what it counts is between 0.9 and 1
    span old at most.
    """

    __slots__ = ("_calls", "_failures", "_per_second", "_slow", "_tick", "calls", "failures", "slow")

    def __init__(self, span: float) -> None:
        self._per_second = _BUCKETS / span
        self._tick = 0
        self.clear()

    def clear(self) -> None:
        """Forget every call."""
        self.calls = self.failures = self.slow = 0
        self._calls = [0] * _BUCKETS
        self._failures = [0] * _BUCKETS
        self._slow = [0] * _BUCKETS

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one call that ended at `now`, in monotonic seconds."""
        tick = int(now * self._per_second)
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

    def forget_until(self, now: float) -> None:
        """Drop what has grown too old by `now`, so that the totals can be read."""
        tick = int(now * self._per_second)
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
