"""Four processes on one Redis that hangs and loses its memory: never more than the stated bound."""

import multiprocessing
import time
from collections.abc import Callable
from typing import Any, Literal

import pytest

from tests.defense.limits_worker import BUCKET, WINDOW, Board, Got, work
from tests.redis_server import RedisServer

PROCESSES = 4
CONTEXT = multiprocessing.get_context("forkserver")
# The clocks of Redis and of the processes may differ by this much over a second or two.
SLACK = 1


def until(reached: Callable[[], bool]) -> None:
    """Wait for the processes to come so far."""
    for _ in range(3000):
        if reached():
            return
        time.sleep(0.01)
    raise AssertionError("the processes came to a halt")


def run(server: RedisServer, mode: Literal["local", "closed"]) -> list[list[Got]]:
    """Let the processes spend through a hang and a loss; give what each was admitted."""
    CONTEXT.set_forkserver_preload(["tests.defense.limits_worker", "seawall.defense.limits.redis_store"])
    board = Board(CONTEXT.Event(), CONTEXT.Value("i", 0), CONTEXT.Value("i", 0))
    pipes = [CONTEXT.Pipe(duplex=False) for _ in range(PROCESSES)]
    processes = [
        CONTEXT.Process(target=work, args=(server.url, mode, PROCESSES, seed, board, send))
        for seed, (_, send) in enumerate(pipes)
    ]
    for process in processes:
        process.start()

    def more(counter: Any, by: int) -> None:
        goal: int = counter.value + by
        until(lambda: counter.value >= goal)

    more(board.admitted, 100)
    server.hang()
    more(board.degraded, 40)
    server.resume()
    more(board.admitted, 100)
    server.restart()
    more(board.admitted, 150)
    board.stop.set()
    got = [receive.recv() for receive, _ in pipes]
    for process in processes:
        process.join()
    return got


def check_bucket(got: list[Got], burst: float, per_second: float) -> None:
    """Between any two admissions, no more than the burst and the rate."""
    got = sorted(got, key=lambda one: one.after)
    for begin in got:
        total = 0
        for end in got:
            if end.before >= begin.before:
                total += end.units
                assert total <= burst + per_second * (end.after - begin.before) + SLACK


def check_window(got: list[Got], limit: int, period: float) -> None:
    """No period holds more than the limit."""
    got = sorted(got, key=lambda one: one.after)
    for begin in got:
        inside = [g.units for g in got if g.before >= begin.before and g.after - begin.before < period]
        assert sum(inside) <= limit


def test_refusing_without_redis_the_bound_holds_over_everything(redis_server: RedisServer) -> None:
    """With `closed`, the bucket's bound and the window's limit hold over all processes, the hang and the loss."""
    got = [one for each in run(redis_server, "closed") for one in each]
    assert not any(one.degraded for one in got)
    check_bucket(got, 48, 1000)
    check_window(got, 200, 0.3)


def test_with_local_shares_redis_and_each_process_keep_their_own_bound(redis_server: RedisServer) -> None:
    """With `local`, what Redis admits keeps the bound, and each process alone keeps a quarter of it."""
    processes = run(redis_server, "local")
    shared = [one for each in processes for one in each if not one.degraded]
    check_bucket(shared, 48, 1000)
    check_window(shared, 200, 0.3)
    alone = [[one for one in each if one.degraded] for each in processes]
    assert any(alone)
    for each in alone:
        check_bucket(each, 12, 250)
        check_window(each, 50, 0.3)


def test_the_limits_are_those_checked() -> None:
    """The numbers above are those of the limits that the processes use."""
    assert BUCKET.describe()["burst"] == 48
    assert (WINDOW.limit, WINDOW.per, BUCKET.limit, BUCKET.per) == (200, "300ms", 1000, "1s")
    with pytest.raises(AssertionError):
        check_window([Got(0.0, 0.0, 201, degraded=False)], 200, 0.3)
    with pytest.raises(AssertionError):
        check_bucket([Got(0.0, 0.0, 50, degraded=False)], 48, 1000)
