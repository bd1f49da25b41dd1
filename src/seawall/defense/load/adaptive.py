"""How many may run at once, learnt from how long they take.

Sources: the gradient of Netflix's concurrency-limits (Gradient2), which descends from TCP Vegas; additive increase and
multiplicative decrease on timeouts as in TCP. Changed for work whose latency varies a hundredfold by nature: logarithms,
a baseline for each kind of work, and no verdict that the noise alone explains.
"""

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Literal

from seawall.defense.load.backpressure import Backpressure
from seawall.foundation.clock import SYSTEM_CLOCK, Clock

Outcome = Literal["success", "timeout", "failure", "ignored"]

_KINDS = 64
_WINDOW = 1.0
_VOTES = 16
_TOLERANCE = log(2.0)
_BUSY = 0.8
_DEEPEST_CUT = 0.7
_TIMEOUT_SHARE = 0.1
_TIMEOUT_CUT = 0.9
_LATE_CUT = 0.7
_FALLS = 0.1
_ACCEPTS = 0.3
_SHORTEST = 1e-4


@dataclass(frozen=True, slots=True)
class LimitSnapshot:
    """The limit now; `slowdown` is how many times the usual latency the last verdict saw, None before any."""

    value: int
    slowdown: float | None
    cuts: int
    kinds: int


class _Kind:
    """One kind of work: its usual latency, and its latest ones, in logarithms of seconds."""

    __slots__ = ("count", "squares", "total", "usual")

    def __init__(self) -> None:
        self.usual: float | None = None
        self.count = 0
        self.total = 0.0
        self.squares = 0.0

    def add(self, taken: float) -> None:
        value = log(max(taken, _SHORTEST))
        self.count += 1
        self.total += value
        self.squares += value * value

    def vote(self) -> tuple[int, float, float]:
        """Return the number of latest ones, their mean, and the sum of squares about it; begin anew."""
        count, mean = self.count, self.total / self.count
        spread = max(0.0, self.squares - count * mean * mean)
        self.count, self.total, self.squares = 0, 0.0, 0.0
        return count, mean, spread


_Votes = list[tuple[_Kind, int, float, float]]


class AdaptiveLimit:
    """A limit on concurrency that follows the latency of what runs under it; `value` is always `least` to `most`.

    Looked at anew at most once a second, when some kind has 16 new latencies of runs that began since the last look, so that
    no verdict is on what an earlier limit let in:

    - The event loop itself is late: three tenths less, whether or not there are latencies. Where what is scarce is this
      process, more runs at once make each of them slower and none of them more.
    - A tenth of the runs timed out: a tenth less.
    - Everything takes more than twice as long as usual, by more than the standard error of the comparison: less, in
      proportion, at most 30 % at a time.
    - But a cut that did not help was at fault: what is slow is slow for another reason. The present becomes usual.
    - Otherwise, where the limit was in use: more, by half until something was cut for the first time (TCP's slow start), then by
      its square root.

    What is usual falls with what is seen; it rises while few run, who are not slow because of each other, and where a cut did
    not help. Under steady load it does not: a limit that crept up with its own latencies would end at `most`.
    Failures and cancelled runs say nothing of latency. Kinds beyond the first 64 share one baseline.
    """

    def __init__(self, config: Backpressure, clock: Clock = SYSTEM_CLOCK) -> None:
        self.value = config.start
        self._least = config.least
        self._most = config.most
        self._exact = float(config.start)
        self._kinds: dict[str, _Kind] = {}
        self._since = clock.monotonic()
        self._finished = 0
        self._timeouts = 0
        self._peak = 0
        self._ready = False
        # The slowdown before a cut and how deep it was: what the next verdict judges the cut by.
        self._tried: tuple[float, float] | None = None
        self._slowdown: float | None = None
        self._cuts = 0

    def add(
        self, kind: str, taken: float, outcome: Outcome, *, running: int, now: float, may_grow: bool = True
    ) -> None:
        """Count a run that took `taken` seconds, while `running` ran, itself included; `now` is monotonic seconds."""
        self._peak = max(self._peak, running)
        if now - taken < self._since:
            return
        if outcome == "success":
            known = self._kinds.get(kind) or self._new(kind)
            known.add(taken)
            self._ready = self._ready or known.count >= _VOTES
        elif outcome == "timeout":
            self._timeouts += 1
        else:
            return
        self._finished += 1
        if now - self._since >= _WINDOW and (self._ready or self._timeouts >= _VOTES):
            self._judge(now, may_grow=may_grow)

    def late(self, now: float) -> None:
        """Hear that the event loop is late, as often as it is said; counts at most once a second."""
        if now - self._since >= _WINDOW:
            self._tried = None
            self._cut(_LATE_CUT)
            self._begin(now)

    def snapshot(self) -> LimitSnapshot:
        """Return the present limit and why it is so."""
        slowdown = None if self._slowdown is None else exp(self._slowdown)
        return LimitSnapshot(self.value, slowdown, self._cuts, len(self._kinds))

    def _new(self, kind: str) -> _Kind:
        if len(self._kinds) >= _KINDS:
            kind = ""
        return self._kinds.setdefault(kind, _Kind())

    def _judge(self, now: float, *, may_grow: bool) -> None:
        busy = self._peak >= _BUSY * self.value
        timeouts = self._timeouts >= _TIMEOUT_SHARE * self._finished
        votes: _Votes = [(kind, *kind.vote()) for kind in self._kinds.values() if kind.count >= _VOTES]
        slowdown, error = _compare(votes)
        if timeouts and self._timeouts:
            self._cut(_TIMEOUT_CUT)
        elif slowdown - error > _TOLERANCE and busy:
            self._slow(slowdown, votes)
        else:
            self._tried = None
            if votes and busy and may_grow:
                self._set(self._exact + (sqrt(self._exact) if self._cuts else self._exact / 2))
        if votes:
            self._slowdown = slowdown
        for kind, _, mean, _ in votes:
            self._learn(kind, mean, 0.0 if busy else _FALLS)
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._since, self._finished, self._timeouts, self._peak, self._ready = now, 0, 0, 0, False

    def _slow(self, slowdown: float, votes: _Votes) -> None:
        if self._tried is not None:
            before, depth = self._tried
            if slowdown > before - depth / 2:
                self._tried = None
                for kind, _, mean, _ in votes:
                    self._learn(kind, mean, _ACCEPTS)
                self._set(self._exact * exp(depth))
                return
        cut = max(_DEEPEST_CUT, exp(_TOLERANCE - slowdown))
        self._tried = (slowdown, -log(cut)) if self.value > self._least else None
        self._cut(cut)

    def _cut(self, by: float) -> None:
        self._cuts += 1
        self._set(self._exact * by)

    def _set(self, exact: float) -> None:
        self._exact = min(max(exact, self._least), self._most)
        self.value = int(self._exact)

    @staticmethod
    def _learn(kind: _Kind, mean: float, rises: float) -> None:
        if kind.usual is None:
            kind.usual = mean
        else:
            kind.usual += (_FALLS if mean < kind.usual else rises) * (mean - kind.usual)


def _compare(votes: _Votes) -> tuple[float, float]:
    """Return how much slower than usual everything is, and the standard error of that, both as logarithms."""
    number, slower, spread = 0, 0.0, 0.0
    for kind, count, mean, squares in votes:
        if kind.usual is not None:
            number += count
            slower += count * (mean - kind.usual)
            spread += squares
    return (slower / number, sqrt(spread) / number) if number else (0.0, 0.0)
