"""Time as a parameter: whatever needs the time is given a clock, so that a test can turn it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: one that only runs forward, one that a person would recognise."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never runs back."""
        ...

    def time(self) -> float:
        """Seconds since the epoch, UTC; may jump when the machine's clock is set."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never runs back."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()


SYSTEM_CLOCK = SystemClock()
