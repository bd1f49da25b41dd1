"""Runs that nobody waits for: taken from the store, done, and put back there; by any worker, one at a time each."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any, Self

from seawall.defense.limits import Caller
from seawall.defense.load import Pass, Ticket
from seawall.edge.entry import Entry
from seawall.edge.http.request_id import trace_of
from seawall.edge.refusals import problem_of
from seawall.edge.requests import finished
from seawall.edge.served import Answer
from seawall.edge.site import Site
from seawall.edge.work import answered
from seawall.foundation.errors import StoreError
from seawall.foundation.ids import new_id
from seawall.orchestration.runs import LeaseLost, Taken

_LOOK_SECONDS = 1.0
_BEAT_SECONDS = 5.0
_LONGEST_PAUSE = 30.0
_log = logging.getLogger("seawall.runs")


class Background:
    """`async with` it for as long as runs are to be done. At its end what is under way is put back for another."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._owner = new_id("worker")
        self._room = site.settings.background_runs
        self._under_way: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        self._looking = asyncio.create_task(self._look(), name="background runs")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Put back what is not done."""
        tasks = [*self._under_way, *([] if self._looking is None else [self._looking])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            self._site.wake.clear()
            room = self._room - len(self._under_way)
            if room:
                try:
                    for taken in await self._site.runs.claim(self._owner, most=room):
                        task = asyncio.create_task(self._do(taken), name=f"run {taken.run.id}")
                        self._under_way.add(task)
                        task.add_done_callback(self._done)
                except StoreError as error:
                    _log.warning("runs cannot be taken: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._site.wake.wait()

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._site.wake.set()

    async def _do(self, taken: Taken) -> None:
        work = asyncio.create_task(self._answer(taken))
        try:
            while not work.done():
                await asyncio.wait([work], timeout=_BEAT_SECONDS)
                if not work.done() and (await self._site.runs.heartbeat(taken.lease)).cancel_requested:
                    work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            state, output = ("cancelled", None) if work.cancelled() else work.result()
            await self._site.runs.finish(taken.lease, state, output)
        except LeaseLost:
            work.cancel()
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            with suppress(StoreError):
                await self._site.runs.release(taken.lease)
            raise

    async def _place(self, taken: Taken) -> Pass:
        """Wait as long as it takes: nobody is there to be told to come back."""
        ticket = Ticket(taken.run.tenant, taken.run.lane, kind=taken.run.agent)
        while True:
            place = await self._site.admission.enter(ticket)
            if isinstance(place, Pass):
                return place
            await asyncio.sleep(min(place.retry_after, _LONGEST_PAUSE))

    async def _answer(self, taken: Taken) -> tuple[Any, dict[str, Any]]:
        served = self._site.served.get(taken.run.agent)
        given: Any = taken.input
        if served is None:
            return "failed", {"problem": problem_of(KeyError(taken.run.agent))}
        entry = Entry(Caller.of(taken.principal), taken.run.id, trace_of(None))
        began = time.time()
        try:
            with await self._place(taken):
                answer: Answer = await answered(self._site, served, given["input"], entry)
        except Exception as error:  # noqa: BLE001  whatever it is, its caller is told
            return "failed", {"problem": problem_of(error)}
        return "done", finished(taken.run.id, served.name, began, answer)
