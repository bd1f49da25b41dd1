"""Whether the process is in trouble: an event loop that comes late, memory near its ceiling."""

import asyncio
import time

import pytest

from seawall import Backpressure, ConfigError
from seawall.defense.load.pressure import Heartbeat, Pressure, resident

BEAT = 0.02


def beats(pressure: Pressure, late: list[float], since: float = 0.0) -> float:
    """Tell it how late the loop was; return the time after."""
    for index, one in enumerate(late):
        pressure.beat(since + BEAT * index, one)
    return since + BEAT * len(late)


@pytest.mark.parametrize(("late", "level"), [(0.1, 0), (0.2, 1), (0.39, 1), (0.4, 2)])
def test_a_loop_that_is_late_again_and_again_is_pressure(late: float, level: int) -> None:
    """By how late; a batch's work is shed at the second level, a person's at none."""
    pressure = Pressure(Backpressure(max_lag="200ms"))
    beats(pressure, [0.0, late] * 50)
    assert pressure.level == level
    assert pressure.sheds("background") == (level >= 1)
    assert pressure.sheds("batch") == (level >= 2)
    assert not pressure.sheds("interactive")


def test_a_lone_pause_is_none() -> None:
    """A collection of garbage, once; two of them in two seconds are."""
    pressure = Pressure(Backpressure(max_lag="200ms"))
    now = beats(pressure, [0.0] * 50 + [3.0] + [0.0] * 48)
    assert pressure.level == 0
    beats(pressure, [3.0], now)
    assert pressure.level == 2


def test_it_is_over_two_seconds_after_its_cause() -> None:
    """What was seen before is forgotten."""
    pressure = Pressure(Backpressure(max_lag="200ms"))
    now = beats(pressure, [0.5] * 100)
    assert (pressure.level, pressure.late) == (2, True)
    beats(pressure, [0.0] * 100, now)
    assert (pressure.level, pressure.lag, pressure.late) == (0, 0.0, False)


def test_a_loop_that_rests_is_not_late_whatever_it_does_at_a_time() -> None:
    """Long steps now and then leave half the readings punctual; a loop without rest has none."""
    pressure = Pressure(Backpressure(target_lag="3ms", max_lag="1s"))
    now = beats(pressure, [0.0, 0.0, 0.0, 0.05] * 25)
    assert not pressure.late
    beats(pressure, [0.004] * 100, now)
    assert pressure.late


def test_memory_near_its_ceiling_is_pressure() -> None:
    """At nine tenths, and at all of it; looked at twice a second."""
    held = [0]
    pressure = Pressure(Backpressure(max_memory="1GB"), memory=lambda: held[0])
    levels: list[int] = []
    now = 0.0
    for gigabytes in (0.5, 0.91, 1.1, 0.2):
        held[0] = int(gigabytes * 1e9)
        now = beats(pressure, [0.0] * 30, now)
        levels.append(pressure.level)
    assert levels == [0, 1, 2, 0]


def test_this_process_says_what_it_holds() -> None:
    """Bytes, of real memory."""
    assert 10e6 < resident() < 100e9


async def test_a_heartbeat_sees_a_loop_that_was_held_up() -> None:
    """And nothing any more once it was stopped."""
    pressure = Pressure(Backpressure())
    heartbeat = Heartbeat(pressure)
    heartbeat.start()
    heartbeat.start()
    for _ in range(2):
        await asyncio.sleep(0.05)
        time.sleep(0.3)
    async with asyncio.timeout(20):
        while pressure.lag < 0.2:
            await asyncio.sleep(0.02)
    heartbeat.stop()
    seen = pressure.lag
    await asyncio.sleep(0.1)
    assert pressure.lag == seen


@pytest.mark.parametrize(
    "config",
    [
        {"least": 0},
        {"start": 1000},
        {"queue": -1},
        {"tenant_share": 0},
        {"target": "5s"},
        {"max_lag": "0s"},
        {"max_memory": "much"},
    ],
)
def test_what_cannot_hold_is_refused(config: dict[str, object]) -> None:
    """With what was expected."""
    with pytest.raises(ConfigError):
        Backpressure(**config)  # type: ignore[arg-type]
