"""A clock that stands still until a test turns it."""

from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds


class FakeClock:
    """Both readings of `Clock`, moved by hand; advancing wakes nobody, so timers of the event loop are not affected.

    >>> clock = FakeClock()
    >>> before = clock.monotonic()
    >>> clock.advance("90s")
    >>> clock.monotonic() - before
    90.0
    """

    def __init__(self, *, monotonic: float = 1_000.0, time: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._time = time

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never runs back."""
        return self._monotonic

    def time(self) -> float:
        """Seconds since the epoch, UTC."""
        return self._time

    def advance(self, by: float | Period) -> None:
        """Move both readings forward by seconds or a duration such as `"30s"`; ConfigError for going back."""
        amount = float(by) if isinstance(by, int | float) else seconds(by)
        if not amount >= 0:
            raise ConfigError(
                f"advance({by!r}) would turn the clock back; use set_time() to jump the wall clock alone"
            )
        self._monotonic += amount
        self._time += amount

    def set_time(self, time: float) -> None:
        """Jump the wall clock alone, either way, as an operator or a time server does."""
        self._time = time
