"""When a store that gave no answer is asked again: the circuit breaker of the stores themselves."""

import secrets
from collections.abc import Callable
from typing import Literal

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import StoreError
from seawall.foundation.events import EventBus, StoreChanged
from seawall.foundation.units import Period, seconds

StoreState = Literal["closed", "open", "half_open", "isolated"]
_RANDOM = secrets.SystemRandom().random
# Rests are shortened by up to this share, so that processes which lost a store together do not come back in step.
_JITTER = 0.25


class StoreCircuit:
    """Opens at the first failure, because one that hangs has cost its caller the whole time limit already.

    Open, it refuses for `rest`; then one call tries (half-open) while all others are still refused. A try that fails
    doubles the rest, up to `longest`; one that succeeds closes the circuit, and the next rest is the first again; one
    that is given up by its caller says nothing and costs another rest of the same length. So a store is asked again
    at the latest `longest` after it came back, or a third longer than it was away where that is less. Only calls that
    began since the last change are heard: an error of before says nothing new. `isolated` is an operator's word.

    `events` hear of every change but the tries. Pure but for that; for use from one event loop.
    """

    def __init__(
        self,
        store: str,
        *,
        rest: Period,
        longest: Period,
        events: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
        random: Callable[[], float] = _RANDOM,
    ) -> None:
        self._store = store
        self._first = seconds(rest)
        self._longest = max(self._first, seconds(longest))
        self._events = events or EventBus()
        self._clock = clock
        self._random = random
        self._state: StoreState = "closed"
        self._why = ""
        self._rest = self._first
        self._until = 0.0
        self._period = 0

    @property
    def state(self) -> StoreState:
        """Closed, open, half-open while a call tries it, or isolated."""
        return self._state

    def enter(self) -> int:
        """Ask to make one call; returns what to report it by. StoreError where it must not be made."""
        if self._state == "isolated":
            raise StoreError(f"the shared store is isolated ({self._why}); `reset` ends it")
        if self._state == "half_open" or (self._state == "open" and self._clock.monotonic() < self._until):
            raise StoreError("the shared store gave no answer lately and is left alone for a moment")
        if self._state == "open":
            self._state = "half_open"
            self._period += 1
        return self._period

    def answered(self, call: int) -> None:
        """Report a call that got its answer."""
        if call == self._period and self._state == "half_open":
            self._rest = self._first
            self._change("closed", "answered")

    def failed(self, call: int, why: str) -> None:
        """Report a call that got none."""
        if call != self._period:
            return
        if self._state == "half_open":
            self._rest = min(2 * self._rest, self._longest)
            self._open()
        elif self._state == "closed":
            self._open()
            self._change("open", why)

    def left(self, call: int) -> None:
        """Report a call that ended in any way; does nothing where it was reported on already."""
        if call == self._period and self._state == "half_open":
            self._open()

    def isolate(self, why: str) -> None:
        """Refuse every call until `reset`."""
        self._change("isolated", why)

    def reset(self, why: str) -> None:
        """Close it, from any state, with nothing remembered."""
        self._rest = self._first
        if self._state != "closed":
            self._change("closed", why)

    def _open(self) -> None:
        self._state = "open"
        self._until = self._clock.monotonic() + self._rest * (1 - _JITTER * self._random())

    def _change(self, state: StoreState, why: str) -> None:
        self._state = state
        self._why = why
        self._period += 1
        self._events.publish(StoreChanged(self._store, healthy=state == "closed", why=why))
