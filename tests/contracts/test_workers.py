"""Worker processes: limits that hold, deaths that stay alone, nothing left behind."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from seawall_contracts.workers import OutOfTime, WorkerDied, Workers


@pytest.fixture
def workers() -> Iterator[Workers]:
    """One worker with a limit of a second a call."""
    made = Workers(1, limit_seconds=1)
    yield made
    made.close()


def double(number: int) -> int:
    return 2 * number


def pid() -> int:
    return os.getpid()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(flag: str) -> str:
    if not Path(flag).exists():
        Path(flag).touch()
        die()
    return "done"


def spin() -> None:
    while True:
        pass


def spin_stubbornly() -> None:
    """As a parser that takes every error for a fault of the document and goes on."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with suppress(Exception):
            spin()


def fail() -> None:
    raise ValueError("said by the function")


async def test_results_and_errors_come_back(workers: Workers) -> None:
    """A result is returned, an error raised, and the worker goes on."""
    assert await workers.run(double, 21) == 42
    with pytest.raises(ValueError, match="said by the function"):
        await workers.run(fail)
    assert await workers.run(pid) != os.getpid()


@pytest.mark.parametrize("call", [spin, spin_stubbornly])
async def test_call_past_its_limit_is_interrupted(workers: Workers, call: Callable[[], None]) -> None:
    """A call that would never end is OutOfTime, and its worker takes the next call."""
    with pytest.raises(OutOfTime, match="limit"):
        await workers.run(call)
    assert await workers.run(double, 2) == 4


async def test_death_is_tried_again_and_then_reported(workers: Workers, tmp_path: Path) -> None:
    """A call whose process dies once succeeds; one that kills every process is WorkerDied."""
    assert await workers.run(die_once, str(tmp_path / "flag")) == "done"
    with pytest.raises(WorkerDied, match="died twice"):
        await workers.run(die)
    assert await workers.run(double, 3) == 6


async def test_neighbours_of_a_death_are_done(workers: Workers) -> None:
    """Calls that wait behind one which kills its process are done all the same."""
    calls = [workers.run(double, number) for number in range(4)]
    died, *rest = await asyncio.gather(workers.run(die), *calls, return_exceptions=True)
    assert isinstance(died, WorkerDied)
    assert rest == [0, 2, 4, 6]


async def test_closing_ends_the_processes() -> None:
    """After `close` no worker runs."""
    made = Workers(2)
    worker = psutil.Process(await made.run(pid))
    made.close()
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
