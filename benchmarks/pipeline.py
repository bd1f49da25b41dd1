"""What a pipeline adds to its guards: microseconds a check, next to calling the guards bare in the same run.

The guards do nothing, so all that is measured is the pipeline: order, clocks, breakers, and the memory of verdicts.
Each figure is the median of several rounds. The last line is one JSON object.
"""

import asyncio
import json
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence

from seawall.defense import guards
from seawall.defense.guards import Guard, GuardInput, Verdict
from seawall.defense.guards.memory import VerdictMemory
from seawall.defense.pipeline import Guarded, Pipeline

ROUNDS = 9
CALLS = 5_000
TEXTS = 4_096
SHORT = "The Seller shall deliver the goods within 30 days of the order. " * 8
LONG = SHORT * 100


class NoOp:
    """Lets everything pass."""

    cost = 0.0
    max_characters = 10_000_000

    def __init__(self, number: int, *, cacheable: bool = False) -> None:
        self.name = f"g{number}"
        self.cacheable = cacheable
        self._verdict = Verdict(outcome="allow", guard=self.name)

    def __call__(self, value: GuardInput, /) -> Verdict:
        return self._verdict


class NoOpAsync(NoOp):
    """The same, awaited."""

    async def __call__(self, value: GuardInput, /) -> Verdict:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._verdict


def bare(asked: Sequence[Guard], value: GuardInput) -> Callable[[], Awaitable[None]]:
    """Call the guards one after the other from a coroutine, as nobody in production should."""

    async def call() -> None:
        for guard in asked:
            guard(value)

    return call


async def median_us(work: Callable[[], Awaitable[object]], calls: int = CALLS) -> float:
    """Time an awaited call, loop and all."""
    samples: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(calls):
            await work()
        samples.append((time.perf_counter() - started) / calls * 1e6)
    return round(statistics.median(samples), 3)


async def overhead() -> dict[str, float]:
    """Time 1, 5 and 10 guards: bare, judged, and remembered."""
    value = GuardInput(SHORT, "document", "acme")
    figures: dict[str, float] = {}
    for count in (1, 5, 10):
        plain = [NoOp(number) for number in range(count)]
        known = [NoOp(number, cacheable=True) for number in range(count)]
        judged, remembered = Pipeline(plain), Pipeline(known)
        figures[f"bare_{count}_us"] = await median_us(bare(plain, value))
        figures[f"judged_{count}_us"] = await median_us(lambda judged=judged: judged.check(value))
        figures[f"remembered_{count}_us"] = await median_us(
            lambda remembered=remembered: remembered.check(value)
        )
        assert remembered.stats().misses == count
    awaited = Pipeline([NoOpAsync(0)])
    figures["judged_1_async_us"] = await median_us(lambda: awaited.check(value))
    memory = VerdictMemory(10)
    figures["key_alone_us"] = await median_us(_calling(lambda: memory.page(value)))
    figures["breaker_open_us"] = await median_us(_open(value))
    return figures


def _calling(work: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def call() -> object:
        return work()

    return call


def _open(value: GuardInput) -> Callable[[], Awaitable[object]]:
    pipeline = Pipeline([Guarded(NoOp(0), on_failure="open")])
    pipeline.breakers[0][1].isolate()
    return lambda: pipeline.check(value)


async def worth() -> dict[str, float]:
    """Time a real guard on a short and on a long text, judged anew and remembered."""

    class Remembered:
        """The size and injection guards' work, which follows from the text alone."""

        name, cost, max_characters, cacheable = "both", 0.15, 4_000_000, True
        _guards = (guards.size("4 MB"), guards.injection())

        def __call__(self, value: GuardInput, /) -> Verdict:
            first, second = self._guards
            first(value)
            return second(value)

    figures: dict[str, float] = {}
    for name, text in (("512_characters", SHORT), ("51k_characters", LONG)):
        value = GuardInput(text, "document", "acme")
        anew, known = Pipeline([Remembered()], remembers=0), Pipeline([Remembered()])
        figures[f"guards_anew_{name}_us"] = await median_us(
            lambda anew=anew, value=value: anew.check(value), 5
        )
        figures[f"guards_remembered_{name}_us"] = await median_us(
            lambda known=known, value=value: known.check(value), 200
        )
    return figures


async def weight() -> dict[str, float]:
    """Weigh a text remembered by five guards."""
    pipeline = Pipeline([NoOp(number, cacheable=True) for number in range(5)], remembers=TEXTS)
    tracemalloc.start()
    for number in range(TEXTS):
        await pipeline.check(GuardInput(f"{number} {SHORT}", "document", "acme"))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"bytes_a_text": round(held / pipeline.stats().texts)}


async def main() -> None:
    """Measure everything and print it."""
    figures = {**await overhead(), **await worth(), **await weight()}
    result: dict[str, object] = {
        "benchmark": "pipeline",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "calls": CALLS,
        "rounds": ROUNDS,
        **figures,
    }
    for name, value in figures.items():
        sys.stdout.write(f"{name:36} {value:12.2f}\n")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
