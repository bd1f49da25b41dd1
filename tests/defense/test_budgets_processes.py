"""A budget that 64 runs in four processes spend at once: never overspent, and used before anybody is refused."""

import multiprocessing
from decimal import Decimal

from tests.defense.budget_worker import LIMIT, RUNS, Spending, spend
from tests.redis_server import RedisServer

PROCESSES = 4
CONTEXT = multiprocessing.get_context("forkserver")


def spend_at_once(server: RedisServer) -> list[Spending]:
    """Let the processes spend until each of their runs was refused."""
    CONTEXT.set_forkserver_preload(["tests.defense.budget_worker"])
    answers, goes = zip(
        *((CONTEXT.Pipe(duplex=False), CONTEXT.Pipe(duplex=False)) for _ in range(PROCESSES)), strict=True
    )
    processes = [
        CONTEXT.Process(target=spend, args=(server.url, seed, goes[seed][0], answers[seed][1]))
        for seed in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for receive, _ in answers:
        assert receive.recv() == "ready"
    for _, send in goes:
        send.send(True)
    got: list[Spending] = [receive.recv() for receive, _ in answers]
    for process in processes:
        process.join()
    return got


def test_a_dollar_is_never_overspent_and_used_to_the_end(redis_server: RedisServer) -> None:
    """At most $1.00 at any time, and at least $0.95 of it before the first of 64 runs is refused."""
    assert PROCESSES * RUNS == 64
    got = spend_at_once(redis_server)
    costs = sorted(one for each in got for one in each.costs)
    spent = sum((cost for _, cost in costs), Decimal(0))
    first = min(each.refused for each in got)
    before = sum((cost for when, cost in costs if when <= first), Decimal(0))
    assert spent <= LIMIT
    assert before >= LIMIT * Decimal("0.95"), (before, spent)
