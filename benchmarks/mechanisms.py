"""What the limiter, the breaker and the bulkhead add to a call: microseconds, next to an empty async call in the same run.

Each figure is the median of several rounds, less the loop around it. The last line is one JSON object.
"""

import asyncio
import json
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable

from seawall.defense.limits import MemoryStore, RateLimit, take_all
from seawall.defense.load import Bulkhead, Gate, Slot
from seawall.defense.resilience import Breaker, CircuitBreaker, Permit
from seawall.foundation.principal import Principal

ROUNDS = 9
CALLS = 20_000
MANY_KEYS = 100_000


def median_us(work: Callable[[], object]) -> float:
    """Time a plain call."""

    def round_seconds(target: Callable[[], object]) -> float:
        started = time.perf_counter()
        for _ in range(CALLS):
            target()
        return time.perf_counter() - started

    def nothing() -> None:
        return None

    return _median([round_seconds(work) - round_seconds(nothing) for _ in range(ROUNDS)])


async def median_us_async(work: Callable[[], Awaitable[object]]) -> float:
    """Time an awaited call, loop and all."""
    samples: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(CALLS):
            await work()
        samples.append(time.perf_counter() - started)
    return _median(samples)


def _median(samples: list[float]) -> float:
    return round(statistics.median(samples) / CALLS * 1e6, 3)


async def empty() -> None:
    """Do nothing: the baseline."""


def breaker_figures() -> dict[str, float]:
    """Time a closed call (allow and record), an open refusal and a half-open refusal."""
    closed = Breaker(CircuitBreaker())

    def closed_call() -> None:
        permit = closed.allow()
        assert isinstance(permit, Permit)
        closed.record(permit, "success")

    still = Breaker(CircuitBreaker(minimum_calls=1, open_for="1h", max_open="1h"))
    permit = still.allow()
    assert isinstance(permit, Permit)
    still.record(permit, "failure")
    return {
        "breaker_closed_call_us": median_us(closed_call),
        "breaker_open_refusal_us": median_us(still.allow),
    }


async def limit_figures() -> dict[str, float]:
    """Time one limit, three limits at once, a refusal, and a store with many keys; weigh a key."""
    who, store = Principal("acme", "u-17"), MemoryStore()
    wide = RateLimit(1_000_000, "1s", burst=1_000_000_000)
    spent = RateLimit(1, "1h", name="spent")
    three = [
        wide,
        RateLimit(1_000_000, "2s", key="tenant", burst=10**9),
        RateLimit(999_999, "1s", key="everyone", burst=10**9),
    ]
    await take_all(store, [spent], who, time.monotonic())
    figures = {
        "limit_take_us": await median_us_async(lambda: take_all(store, [wide], who, time.monotonic())),
        "limit_refusal_us": await median_us_async(lambda: take_all(store, [spent], who, time.monotonic())),
        "limit_take_three_us": await median_us_async(lambda: take_all(store, three, who, time.monotonic())),
    }
    crowd = [Principal("acme", f"u-{number}") for number in range(MANY_KEYS)]
    long = RateLimit(100, "1h")
    tracemalloc.start()
    full = MemoryStore(max_keys=MANY_KEYS)
    for caller in crowd:
        await take_all(full, [long], caller, time.monotonic())
    figures["limit_bytes_a_key"] = round(tracemalloc.get_traced_memory()[0] / MANY_KEYS)
    tracemalloc.stop()
    callers = iter(crowd * (1 + ROUNDS * CALLS // MANY_KEYS))
    figures["limit_take_of_100k_keys_us"] = await median_us_async(
        lambda: take_all(full, [long], next(callers), time.monotonic())
    )
    stranger = Principal("beta", "new")
    figures["limit_full_refusal_us"] = await median_us_async(
        lambda: take_all(full, [long], stranger, time.monotonic())
    )
    return figures


async def bulkhead_figures() -> dict[str, float]:
    """Time a slot with room, a refusal of a full gate, and a hand-over between two waiting tasks."""
    roomy, full, single = Gate(Bulkhead(64, 256)), Gate(Bulkhead(1, 0)), Gate(Bulkhead(1, CALLS, "10m"))
    await full.acquire()

    async def uncontended() -> None:
        slot = await roomy.acquire()
        assert isinstance(slot, Slot)
        slot.release()

    async def contended() -> None:
        slot = await single.acquire()
        assert isinstance(slot, Slot)
        slot.release()

    held = await single.acquire()
    assert isinstance(held, Slot)
    tasks = [asyncio.create_task(contended()) for _ in range(CALLS)]
    await asyncio.sleep(0)
    started = time.perf_counter()
    held.release()
    await asyncio.gather(*tasks)
    handed_over = time.perf_counter() - started
    return {
        "bulkhead_slot_us": await median_us_async(uncontended),
        "bulkhead_refusal_us": await median_us_async(full.acquire),
        "bulkhead_hand_over_us": round(handed_over / CALLS * 1e6, 3),
    }


async def main() -> None:
    """Measure everything and print it."""
    baseline = await median_us_async(empty)
    figures = {**breaker_figures(), **await limit_figures(), **await bulkhead_figures()}
    result: dict[str, object] = {
        "benchmark": "mechanisms",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "calls": CALLS,
        "rounds": ROUNDS,
        "empty_async_call_us": baseline,
        **figures,
    }
    for name, value in figures.items():
        unit = "" if name.endswith("key") else f"  ({value / baseline:.0f}x an empty async call)"
        sys.stdout.write(f"{name:32} {value:10.2f}{unit}\n")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
