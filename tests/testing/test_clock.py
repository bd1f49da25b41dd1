"""The clock that tests turn."""

import pytest

from seawall.foundation.clock import Clock
from seawall.foundation.errors import ConfigError
from seawall.testing import FakeClock


def test_both_readings_move_together_and_only_by_hand() -> None:
    """Advancing by seconds or a duration moves both; reading moves neither."""
    clock = FakeClock(monotonic=5.0, time=100.0)
    reading: Clock = clock
    clock.advance(2)
    clock.advance("1m")
    assert (reading.monotonic(), reading.time()) == (67.0, 162.0)
    assert (reading.monotonic(), reading.time()) == (67.0, 162.0)


def test_only_the_wall_clock_can_jump() -> None:
    """The monotonic reading cannot be turned back, whatever the wall clock does."""
    clock = FakeClock(monotonic=5.0)
    clock.set_time(1.0)
    assert (clock.monotonic(), clock.time()) == (5.0, 1.0)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="back"):
            clock.advance(wrong)
