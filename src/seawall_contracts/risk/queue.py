"""The reviews that lack the risk agent's part: a queue that is worked off whenever the agent can be asked.

What waits is the key of a recorded review and nothing else, so the queue is never longer than the run has contracts and
weighs next to nothing; the review is read back when its turn comes. Only answers are recorded: a process that dies
forgets who was being asked, and never what was answered.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydantic_ai.exceptions import AgentRunError

from seawall import CircuitOpen, DbosEngine, GuardBlocked, SeawallError
from seawall_contracts.job import JobResult
from seawall_contracts.risk.desk import RiskDesk
from seawall_contracts.risk.joined import PART, RiskResult, risk_key

AT_ONCE = 8
# A document that the agent cannot read, or must not, is not asked about for ever.
_MOST_TRIES = 3
_LEAST_REST = 0.01
_UNREAD = 64


@dataclass(frozen=True, slots=True)
class Answered:
    """A review, by its key, and the part it lacked."""

    key: str
    job: JobResult
    result: RiskResult


def is_risk_key(key: str) -> bool:
    """Whether a record is the risk agent's answer, and not a review."""
    return key.startswith(f"{PART}-")


class RiskQueue:
    """Asks about what is added, at most `at_once` together, while the context is open.

    While the agent's circuit is open nothing is asked. When its time is over one review is, as the probe; when it closes,
    all go on. Leaving the context gives up what is under way.
    """

    def __init__(self, desk: RiskDesk, engine: DbosEngine, *, at_once: int = AT_ONCE) -> None:
        self._desk = desk
        self._engine = engine
        self._at_once = at_once
        self._waiting: deque[str] = deque()
        self._asking: set[asyncio.Task[None]] = set()
        self._tries: dict[str, int] = {}
        self._stirred = asyncio.Event()
        # An answer, or None for a review that is not asked about any more; an asker waits while nobody reads.
        self._ended: asyncio.Queue[Answered | None] = asyncio.Queue(_UNREAD)
        self._open = 0
        self._work: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        self._desk.when_changed(self._stirred.set)
        self._work = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up what is under way."""
        tasks = [*self._asking, *([] if self._work is None else [self._work])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def recorded(self, jobs: Mapping[str, JobResult]) -> dict[str, RiskResult]:
        """Return the recorded answers about those of the reviews (by key) that have one."""
        by_risk = {
            risk_key(job.transaction, self._desk.model): key
            for key, job in jobs.items()
            if job.transaction is not None
        }
        return {
            by_risk[found]: RiskResult.model_validate(record)
            async for found, record in self._engine.results(list(by_risk))
        }

    def add(self, key: str) -> None:
        """Queue a review that is recorded under `key`; never waits."""
        self._waiting.append(key)
        self._open += 1
        self._stirred.set()

    def answers(self) -> Iterator[Answered]:
        """Give the answers there are by now; never waits."""
        while not self._ended.empty():
            ended = self._ended.get_nowait()
            self._open -= 1
            if ended is not None:
                yield ended

    async def rest(self, patience: float, stop: asyncio.Event) -> AsyncIterator[Answered]:
        """Give the answers that still come, until none is missing, `stop` is set, or `patience` seconds bring none."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while self._open and not stop.is_set():
            ended, in_time = await self._next(until - loop.time(), stop)
            if not in_time:
                return
            self._open -= 1
            if ended is not None:
                until = loop.time() + patience
                yield ended

    async def _next(self, longest: float, stop: asyncio.Event) -> tuple[Answered | None, bool]:
        """Wait for what ends next; whether anything did."""
        ending = asyncio.create_task(self._ended.get())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait(
                (ending, stopping), timeout=max(longest, 0), return_when=asyncio.FIRST_COMPLETED
            )
            return (ending.result(), True) if ending.done() else (None, False)
        finally:
            ending.cancel()
            stopping.cancel()

    async def _go_on(self) -> None:
        """Start what may start, then sleep until something changes or the circuit's time is over."""
        while True:
            self._stirred.clear()
            while self._waiting and len(self._asking) < self._desk.room(self._at_once):
                task = asyncio.create_task(self._ask(self._waiting.popleft()))
                self._asking.add(task)
                task.add_done_callback(self._asked)
            rest = self._desk.rest() if self._waiting else 0.0
            try:
                async with asyncio.timeout(max(rest, _LEAST_REST) if 0 < rest < float("inf") else None):
                    await self._stirred.wait()
            except TimeoutError:
                continue

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        self._stirred.set()

    async def _ask(self, key: str) -> None:
        try:
            await self._ended.put(await self._answer(key))
        except CircuitOpen:
            self._waiting.append(key)
        except GuardBlocked:
            # Refused once more, it would be refused all the same; the next run's guards may be others.
            await self._ended.put(None)
        except (SeawallError, AgentRunError, ExceptionGroup, ConnectionError, ValueError):
            # Whatever it is, also a record that cannot be read or written: the review stands without this part.
            await self._again(key)

    async def _again(self, key: str) -> None:
        """Queue a review once more, behind the others; one that was tried too often while the agent was well, no more."""
        # While its circuit is not closed the agent is down, which is not this review's doing.
        self._tries[key] = self._tries.get(key, 0) + self._desk.well
        if self._tries[key] < _MOST_TRIES:
            self._waiting.append(key)
        else:
            await self._ended.put(None)

    async def _answer(self, key: str) -> Answered | None:
        """Ask about one review and record what is answered; None where the review is there no more."""
        async for _, record in self._engine.results([key]):
            job = JobResult.from_json(record)
            if job.body is None or job.transaction is None:
                return None
            result = await self._desk.assess(job.body)
            # Whatever was recorded first is the answer, so that it is one answer for ever.
            kept = await self._engine.run(risk_key(job.transaction, self._desk.model), result.to_json())
            return Answered(key, job, RiskResult.model_validate(kept))
        return None
