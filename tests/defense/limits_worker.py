"""One of several processes that spend from the same limits as fast as they can, and say what they got."""

import asyncio
import random
import time
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

from seawall.defense.limits import RateLimit, RedisStore, SlidingWindow, Spend, reserve_all, take_all
from seawall.foundation.principal import Principal
from seawall.foundation.storage.redis import RedisScripts

BUCKET = RateLimit(1000, "1s", of="tokens", key="tenant", burst=48, name="bucket")
WINDOW = SlidingWindow(200, "300ms", of="tokens", key="tenant", name="window")
WHO = Principal("acme", "ann")
SECRET = b"secret of the test, 32 bytes long"


class Got(NamedTuple):
    """Units that count, when the asking began and when the answer was there, and whether Redis gave it."""

    before: float
    after: float
    units: int
    degraded: bool


class Board(NamedTuple):
    """What the processes and the test tell each other while it goes on."""

    stop: Any
    admitted: Any
    degraded: Any


def work(
    url: str, mode: Literal["local", "closed"], replicas: int, seed: int, board: Board, answer: Connection
) -> None:
    """Spend until told to stop, then send every admission."""
    answer.send(asyncio.run(_spend(url, mode, replicas, random.Random(seed), board)))


async def _spend(
    url: str, mode: Literal["local", "closed"], replicas: int, dice: random.Random, board: Board
) -> list[Got]:
    scripts = RedisScripts(url, rest="100ms")
    store = RedisStore(scripts, secret=SECRET, on_store_error=mode, replicas=replicas)
    got: list[Got] = []
    while not board.stop.is_set():
        units = dice.randint(1, 9)
        before = time.monotonic()
        if dice.random() < 0.3:
            decision, used = (
                await take_all(store, [BUCKET, WINDOW], WHO, before, Spend(0, tokens=units)),
                units,
            )
        else:
            decision, used = await _reserved(store, units, dice)
        assert decision is not None
        counter = board.degraded if decision.degraded else board.admitted
        if decision.ok:
            got.append(Got(before, time.monotonic(), used, decision.degraded))
        if decision.ok or decision.degraded:
            with counter.get_lock():
                counter.value += 1
        await asyncio.sleep(0)
    await scripts.aclose()
    return got


async def _reserved(store: RedisStore, units: int, dice: random.Random) -> tuple[Any, int]:
    """Reserve, and then settle, release, or die without a word."""
    work = await reserve_all(store, [BUCKET, WINDOW], WHO, Spend(0, tokens=units))
    await asyncio.sleep(dice.random() * 0.01)
    end = dice.random()
    if not work.ok or end < 0.1:
        return work.decision, units
    used = 0 if end < 0.3 else dice.randint(0, units)
    await work.settle(Spend(0, tokens=used))
    if dice.random() < 0.2:
        await work.settle(Spend(0, tokens=0))
    return work.decision, used
