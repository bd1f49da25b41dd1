"""What limits cost: microseconds a take, in memory and on a Redis of its own, next to the barest counting in the same run.

In memory the baseline is an awaited `dict` increment, and processor time is measured, for nothing is waited for; on Redis
it is an awaited EVALSHA of `return 1`, and time is what the caller waits. Each figure is the
median of several rounds, one call after the other; `redis_take_*_32_at_once` has 32 callers on one connection pool.
The last line is one JSON object.
"""

import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from seawall.defense.limits import (
    CounterStore,
    MemoryStore,
    RateLimit,
    RedisStore,
    SlidingWindow,
    Spend,
    reserve_all,
    take_all,
)
from seawall.foundation.principal import Principal
from seawall.foundation.storage.redis import RedisScripts, Script
from tests.redis_server import RedisServer

ROUNDS = 9
CALLS = 10_000
REDIS_CALLS = 600
AT_ONCE = 32
WHO = Principal("acme", "u-17")
ONE = RateLimit(10**6, "1h", burst=10**9)
THREE = [
    ONE,
    RateLimit(10**6, "2h", key="tenant", burst=10**9),
    RateLimit(999_999, "1h", key="everyone", burst=10**9),
]
WINDOW = SlidingWindow(10**12, "1s")
TOKENS = RateLimit(10**6, "1h", of="tokens", burst=10**9)
ESTIMATE, USED = Spend(tokens=1500), Spend(tokens=700)


async def median_us(
    work: Callable[[], Awaitable[object]], calls: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Time an awaited call, loop and all."""
    samples: list[float] = []
    for _ in range(ROUNDS):
        started = clock()
        for _ in range(calls):
            await work()
        samples.append(clock() - started)
    return round(statistics.median(samples) / calls * 1e6, 3)


async def store_figures(
    store: CounterStore, name: str, calls: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Time one limit, three at once, a strict window, and a reservation with its settlement."""

    async def reserve_and_settle() -> None:
        work = await reserve_all(store, [TOKENS], WHO, ESTIMATE)
        await work.settle(USED)

    def take(*limits: RateLimit | SlidingWindow) -> Callable[[], Awaitable[object]]:
        return lambda: take_all(store, limits, WHO, time.monotonic())

    return {
        f"{name}_take_1_key_us": await median_us(take(ONE), calls, clock),
        f"{name}_take_3_keys_us": await median_us(take(*THREE), calls, clock),
        f"{name}_take_window_us": await median_us(take(WINDOW), calls, clock),
        f"{name}_reserve_and_settle_us": await median_us(reserve_and_settle, calls, clock),
    }


async def memory_figures() -> dict[str, float]:
    """Time the memory store next to a bare increment."""
    counts: dict[str, int] = {}

    async def increment() -> None:
        counts[WHO.subject] = counts.get(WHO.subject, 0) + 1

    return {
        "dict_increment_us": await median_us(increment, CALLS, time.process_time),
        **await store_figures(MemoryStore(), "memory", CALLS, time.process_time),
    }


async def redis_figures(url: str) -> dict[str, float]:
    """Time the Redis store next to a bare script."""
    scripts, bare = RedisScripts(url, timeout="5s"), Script("return 1")
    store = RedisStore(scripts, secret=b"benchmark" * 4, on_store_error="closed")

    async def crowd() -> None:
        await asyncio.gather(*(take_all(store, [ONE], WHO, time.monotonic()) for _ in range(AT_ONCE)))

    async def bare_crowd() -> None:
        await asyncio.gather(*(scripts.run(bare, [], []) for _ in range(AT_ONCE)))

    figures = {
        "redis_bare_script_us": await median_us(lambda: scripts.run(bare, [], []), REDIS_CALLS),
        **await store_figures(store, "redis", REDIS_CALLS),
        f"redis_bare_script_{AT_ONCE}_at_once_us": round(await median_us(bare_crowd, 20) / AT_ONCE, 3),
        f"redis_take_1_key_{AT_ONCE}_at_once_us": round(await median_us(crowd, 20) / AT_ONCE, 3),
    }
    assert not store.degraded
    await scripts.aclose()
    return figures


def figures() -> tuple[dict[str, float], dict[str, float]]:
    """Measure in memory, and on a Redis that is started for it."""
    memory = asyncio.run(memory_figures())
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            return memory, asyncio.run(redis_figures(server.url))
        finally:
            server.kill()


def main() -> None:
    """Measure everything and print it."""
    memory, redis = figures()
    result: dict[str, object] = {
        "benchmark": "limits",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "calls": CALLS,
        "redis_calls": REDIS_CALLS,
        "rounds": ROUNDS,
        **memory,
        **redis,
    }
    for name, value in {**memory, **redis}.items():
        base = memory["dict_increment_us"] if name in memory else redis["redis_bare_script_us"]
        sys.stdout.write(f"{name:40} {value:10.2f}  ({value / base:.1f}x the baseline)\n")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
