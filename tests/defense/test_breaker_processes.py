"""Four processes that share one breaker: what one learns all know, and never a probe too many."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.defense.breaker_worker import CONFIG, work
from tests.redis_server import RedisServer

PROCESSES = 4
ATTEMPTS = 250
PROBES = CONFIG.half_open_probes
CONTEXT = multiprocessing.get_context("forkserver")


def until(reached: Callable[[], bool]) -> None:
    """Wait for the processes to come so far."""
    for _ in range(3000):
        if reached():
            return
        time.sleep(0.01)
    raise AssertionError("the processes came to a halt")


class Fleet:
    """The processes, and the time they go by."""

    def __init__(self, server: RedisServer) -> None:
        CONTEXT.set_forkserver_preload(["tests.defense.breaker_worker"])
        self._now = CONTEXT.Value("q", 1_000_000_000)
        pipes = [CONTEXT.Pipe() for _ in range(PROCESSES)]
        self.orders = [ours for ours, _ in pipes]
        self.processes = [
            CONTEXT.Process(target=work, args=(server.url, self._now, theirs)) for _, theirs in pipes
        ]
        for process, (_, theirs) in zip(self.processes, pipes, strict=True):
            process.start()
            # Then the end of a process is the end of its pipe, and not of the test's patience.
            theirs.close()

    def say(self, one: int, what: str, argument: Any = None) -> Any:
        """Give one process an order and wait for its answer."""
        self.orders[one].send((what, argument))
        return self.orders[one].recv()

    def all(self, what: str, argument: Any = None) -> list[Any]:
        """Give every living process the same order at once."""
        living = [
            order for order, process in zip(self.orders, self.processes, strict=True) if process.is_alive()
        ]
        for order in living:
            order.send((what, argument))
        return [order.recv() for order in living]

    def attempt(self) -> list[int]:
        """Let all try to enter, a thousand tries in all; return how many each was granted."""
        return self.all("attempt", ATTEMPTS)

    def granted(self) -> list[int]:
        """Let all try again and again until nobody gets a probe any more; return how many each was granted."""
        got = [0] * sum(process.is_alive() for process in self.processes)

        def more() -> bool:
            got[:] = [before + new for before, new in zip(got, self.attempt(), strict=True)]
            return sum(got) >= PROBES

        until(more)
        for _ in range(3):
            more()
        return got

    def settle(self, state: str) -> None:
        """Wait until every process knows this state."""
        until(lambda: set(self.all("state")) == {state})

    def open(self) -> None:
        """Let one process trip it for all, and the open time be over."""
        self.say(0, "fail", CONFIG.minimum_calls)
        self.settle("open")
        assert sum(self.attempt()) == 0
        self.advance(10)

    def advance(self, seconds: float) -> None:
        """Turn the time for all."""
        self._now.value += round(seconds * 1_000_000)

    def stop(self) -> None:
        """End the processes."""
        self.all("stop")
        for process in self.processes:
            process.join()


@pytest.fixture
def fleet(redis_server: RedisServer) -> Iterator[Fleet]:
    """Give four processes on one Redis."""
    fleet = Fleet(redis_server)
    yield fleet
    fleet.stop()


def test_exactly_so_many_probes_of_a_thousand_attempts_and_their_success_closes_it_for_all(
    fleet: Fleet,
) -> None:
    """All processes try at once, again and again: as many probes as there should be, and then all calls."""
    fleet.open()
    assert sum(fleet.granted()) == PROBES
    assert sum(fleet.all("report", "success")) == PROBES
    fleet.settle("closed")
    assert fleet.attempt() == [ATTEMPTS] * PROCESSES


def test_probes_given_back_are_granted_again_and_those_that_succeeded_count(fleet: Fleet) -> None:
    """Released probes free their places for as many; those of a process that succeeded are not granted again."""
    fleet.open()
    assert sum(fleet.granted()) == PROBES
    assert sum(fleet.all("report", "ignored")) == PROBES
    again = fleet.granted()
    assert sum(again) == PROBES
    winner = max(range(PROCESSES), key=lambda one: again[one])
    won: int = fleet.say(winner, "report", "success")
    assert won == again[winner]
    if won < PROBES:
        assert sum(fleet.attempt()) == 0
        fleet.all("report", "success")
    fleet.settle("closed")


def test_a_probe_that_fails_opens_it_for_all_and_for_longer(fleet: Fleet) -> None:
    """One failure is enough: the other probes are void, the open time is doubled, and then there are as many anew."""
    fleet.open()
    granted = fleet.granted()
    prober = max(range(PROCESSES), key=lambda one: granted[one])
    fleet.say(prober, "report", "failure")
    fleet.settle("open")
    fleet.all("report", "success")
    fleet.advance(15.9)
    assert sum(fleet.attempt()) == 0
    assert set(fleet.all("state")) == {"open"}
    fleet.advance(4.1)
    assert sum(fleet.granted()) == PROBES


def test_probes_of_a_process_that_died_are_written_off(fleet: Fleet) -> None:
    """Nobody reports on them: after twice the slow call there are as many probes as before, and no more."""
    fleet.open()
    granted = fleet.granted()
    assert sum(granted) == PROBES
    victim = max(range(PROCESSES), key=lambda one: granted[one])
    fleet.processes[victim].kill()
    fleet.processes[victim].join()
    fleet.advance(9.9)
    assert sum(fleet.attempt()) == 0
    fleet.advance(0.1)
    assert sum(fleet.granted()) == PROBES


def test_what_an_operator_says_in_one_process_all_obey(fleet: Fleet) -> None:
    """Isolated by one and reset by another, seen by all."""
    fleet.settle("closed")
    fleet.say(1, "isolate", "maintenance")
    fleet.settle("isolated")
    assert sum(fleet.attempt()) == 0
    fleet.say(2, "reset", "done")
    fleet.settle("closed")
    assert fleet.attempt() == [ATTEMPTS] * PROCESSES


def test_a_store_that_lost_its_memory_opens_nothing(fleet: Fleet, redis_server: RedisServer) -> None:
    """What the processes know to be isolated stays so, and is written into the empty store again."""
    fleet.say(3, "isolate", "maintenance")
    fleet.settle("isolated")
    redis_server.restart()
    for _ in range(20):
        assert sum(fleet.attempt()) == 0
    assert set(fleet.all("state")) == {"isolated"}
