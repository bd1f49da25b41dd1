"""Whether the process itself is in trouble: an event loop that comes late, memory near its ceiling."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from seawall.defense.load.backpressure import Backpressure, Lane
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import seconds, size

_BEAT = 0.02
_WINDOW = 2.0
_MEMORY_EVERY = 25
_NEAR = 0.9
_STATM = Path("/proc/self/statm")

# From which level on a lane is shed; a person who waits is never shed for pressure alone.
SHED_FROM: dict[Lane, int] = {"interactive": 3, "batch": 2, "background": 1}


def resident() -> int:
    """Return the bytes of memory that this process holds; ConfigError where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError) as error:
        raise ConfigError(
            "max_memory: this system does not say what a process holds; leave it None"
        ) from error


class Pressure:
    """`level` 0: well; 1: `max_lag` reached, or nine tenths of `max_memory`; 2: twice `max_lag`, or all of it.

    The lag is the 99th percentile of two seconds, and with so few readings at least the second largest: a lone pause is
    no pressure, two in two seconds are. So the level falls at most two seconds after the cause has gone. `late`: half
    the readings are beyond `target_lag`, which a loop that has time to rest is not, whatever it does at a time.
    """

    def __init__(self, config: Backpressure, memory: Callable[[], int] = resident) -> None:
        self.level = 0
        self.lag = 0.0
        self.late = False
        self.held = 0
        self._target_lag = seconds(config.target_lag)
        self._max_lag = seconds(config.max_lag)
        self._ceiling = None if config.max_memory is None else size(config.max_memory)
        self._memory = memory
        self._late: deque[tuple[float, float]] = deque()
        self._beats = 0
        if self._ceiling is not None:
            self.held = memory()

    def beat(self, now: float, late: float) -> None:
        """Note that the loop came `late` seconds after it should, at monotonic `now`."""
        recent = self._late
        recent.append((now, max(0.0, late)))
        while recent[0][0] <= now - _WINDOW:
            recent.popleft()
        by_size = sorted(late for _, late in recent)
        self.lag = by_size[int(0.99 * (len(by_size) - 1))]
        self.late = by_size[len(by_size) // 2] > self._target_lag
        if self._ceiling is not None and self._beats % _MEMORY_EVERY == 0:
            self.held = self._memory()
        self._beats += 1
        self.level = max(self._from_lag(), self._from_memory())

    def sheds(self, lane: Lane) -> bool:
        """Return whether newcomers of a lane are refused for the time being."""
        return self.level >= SHED_FROM[lane]

    def _from_lag(self) -> int:
        if self.lag < self._max_lag:
            return 0
        return 1 if self.lag < 2 * self._max_lag else 2

    def _from_memory(self) -> int:
        if self._ceiling is None or self.held < _NEAR * self._ceiling:
            return 0
        return 1 if self.held < self._ceiling else 2


class Heartbeat:
    """Tells a `Pressure` fifty times a second how late the running event loop is, from `start` to `stop`."""

    def __init__(self, pressure: Pressure, clock: Clock = SYSTEM_CLOCK) -> None:
        self._pressure = pressure
        self._now = clock.monotonic
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the running loop; once it has begun, does nothing."""
        if self._timer is None:
            self._next(asyncio.get_running_loop())

    def stop(self) -> None:
        """End; what was measured stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(_BEAT, self._beat, loop, self._now() + _BEAT)

    def _beat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = self._now()
        self._pressure.beat(now, now - due)
        self._next(loop)
