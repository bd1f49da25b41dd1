"""A strict sliding window as a pure function: never more than the limit in any window, wherever it begins.

Time is cut into slices, `slices` of them to a period. What was admitted in slice k is counted as long as the
present slice is at most `k + slices`, which is the whole period and at most one slice more. So the count is
never short of what any window of that length holds; it may be long by what one slice holds: a caller that always
asks gets at least `slices / (slices + 1)` of the limit. A window costs at most `slices + 1` pairs of numbers,
whatever passes through it.
"""

from dataclasses import dataclass
from typing import NamedTuple

from seawall.defense.limits.gcra import Verdict
from seawall.foundation.errors import ConfigError

_NS = 1_000_000_000
_FINEST_SLICE = 1_000
_MOST_SLICES = 100


class Log(NamedTuple):
    """What is stored: pairs of a slice's number and the units admitted in it, oldest first; nothing of it counts
    from `ends` on.
    """

    ends: int
    slots: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` units in any `slices * width` nanoseconds."""

    limit: int
    width: int
    slices: int

    @classmethod
    def of(cls, limit: int, period: float, slices: int) -> "Window":
        """Cut `period` seconds into `slices`; the width is rounded up to a nanosecond. ConfigError for a slice
        under a microsecond.
        """
        if not 1 <= slices <= _MOST_SLICES:
            raise ConfigError(f"slices={slices} must be from 1 to {_MOST_SLICES}, such as 20")
        width = -(-round(period * _NS) // slices)
        if width < _FINEST_SLICE:
            raise ConfigError(
                f"{slices} slices of {period:g} s are less than a microsecond each; use fewer slices or a longer period"
            )
        return cls(limit, width, slices)

    @property
    def most(self) -> int:
        """Units that may be spent at once, ever."""
        return self.limit

    def share(self, count: int) -> "Window":
        """Return what one of `count` equal parts may spend: rounded down, to 0 where the limit is less."""
        return Window(self.limit // count, self.width, self.slices)

    def judge(self, log: Log | None, now: int, cost: int) -> tuple[Verdict, Log]:
        """Judge `cost` units at `now`, and return the log to store if they are admitted.

        A cost of 0 looks without spending; a cost above the limit is refused for ever. If time runs back all that
        was admitted goes on counting.
        """
        current = now // self.width
        live = self._live(log, current)
        used = sum(units for _, units in live)
        if cost and used + cost > self.limit:
            wait = None if cost > self.limit else self._free_at(live, used + cost - self.limit) - now
            ends = self._ends(live, now)
            return Verdict(False, ends, max(0, self.limit - used), wait, ends - now), Log(ends, live)
        if cost:
            live = self._add(live, current, cost)
        ends = self._ends(live, now)
        return Verdict(True, ends, max(0, self.limit - used - cost), 0, ends - now), Log(ends, live)

    def settle(self, log: Log | None, mark: Log, now: int, spare: int) -> Log | None:
        """Give back `spare` units of the take that left the log at `mark`, or charge them now if negative.

        What no longer counts is not given back; a charge is taken whatever it leads to.
        """
        if log is None and spare >= 0:
            return None
        live = self._live(log, now // self.width)
        if spare < 0:
            live = self._add(live, now // self.width, -spare)
        elif mark.slots:
            number = mark.slots[-1][0]
            lowered = ((slot, max(0, units - spare) if slot == number else units) for slot, units in live)
            live = tuple(pair for pair in lowered if pair[1])
        return Log(self._ends(live, now), live)

    def _live(self, log: Log | None, current: int) -> tuple[tuple[int, int], ...]:
        if log is None:
            return ()
        oldest = current - self.slices
        slots = log.slots
        return slots if not slots or slots[0][0] >= oldest else tuple(s for s in slots if s[0] >= oldest)

    def _add(
        self, live: tuple[tuple[int, int], ...], current: int, units: int
    ) -> tuple[tuple[int, int], ...]:
        if live and live[-1][0] >= current:
            slot, held = live[-1]
            return (*live[:-1], (slot, held + units))
        return (*live, (current, units))

    def _ends(self, live: tuple[tuple[int, int], ...], now: int) -> int:
        return (live[-1][0] + self.slices + 1) * self.width if live else now

    def _free_at(self, live: tuple[tuple[int, int], ...], excess: int) -> int:
        for slot, units in live:
            excess -= units
            if excess <= 0:
                return (slot + self.slices + 1) * self.width
        raise AssertionError("a cost within the limit fits into an empty window")
