"""Many keyed pieces of work through a durable engine, a bounded number at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from seawall.orchestration.engine import Engine, Json


@dataclass(frozen=True, slots=True)
class Done:
    """One piece of work and what it came to; `error` names the failure where there is no result."""

    key: str
    result: Json
    error: str | None = None


async def run_batch(
    engine: Engine, work: Iterable[tuple[str, Json]], *, concurrency: int, stop: asyncio.Event | None = None
) -> AsyncIterator[Done]:
    """Run every (key, payload) and yield each as it finishes, in whatever order that is.

    At most `concurrency` are under way, and no more than that are read from `work`, which may be endless.
    Once `stop` is set nothing new starts, and what is under way is finished and yielded. Work that raises
    is yielded with its error; the batch goes on. Leaving the iteration early cancels what is under way.
    """
    source = iter(work)
    under_way: set[asyncio.Task[Done]] = set()
    more = True
    try:
        while more or under_way:
            while more and len(under_way) < concurrency and not (stop is not None and stop.is_set()):
                item = next(source, None)
                if item is None:
                    more = False
                else:
                    under_way.add(asyncio.create_task(_run_one(engine, *item)))
            if stop is not None and stop.is_set():
                more = False
            if under_way:
                finished, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    yield task.result()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _run_one(engine: Engine, key: str, payload: Json) -> Done:
    try:
        return Done(key, await engine.run(key, payload))
    except Exception as error:  # noqa: BLE001  the worker loop: one bad piece of work must not end the batch
        return Done(key, None, f"{type(error).__name__}: {error}")
