"""Reviews that were delivered without a part, and what it takes to complete them once that part is back."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from seawall import DbosEngine, Degradation, Json, Transaction, worse
from seawall_contracts.job import JobResult
from seawall_contracts.risk import RISK, RiskDesk, with_risk
from seawall_contracts.schema import ReviewTransaction

_PREFIX = "risk-"
# How many are tried at once, once the first has shown that the agent answers.
_TOGETHER = 8


def key_of(key: str) -> str:
    """Name the completion of the review `key`: a piece of work of its own, recorded by itself."""
    return f"{_PREFIX}{key}"


def is_follow_up(key: str) -> bool:
    """Whether a piece of work is the completion of a review."""
    return key.startswith(_PREFIX)


def review_of(key: str) -> str:
    """Return the review that a piece of work completes, or is."""
    return key.removeprefix(_PREFIX)


@dataclass(frozen=True, slots=True)
class Completer:
    """Completes a review with the risk agent's opinion."""

    desk: RiskDesk

    async def complete(self, record: Json) -> Json:
        """Return the record of a review with the opinion in it, or marked as lacking it."""
        job = JobResult.from_json(record)
        if job.body is None or job.transaction is None:
            return record
        said = await self.desk.assess(job.body)
        lacking = isinstance(said, str)
        spent = _without(job.transaction) if lacking else _together(job.transaction, said[1])
        body = with_risk(job.body, said if lacking else said[0], spent)
        # What a guard refused it will refuse again.
        again = said == RISK
        return JobResult(job.sha256, body, None, spent, job.peak_rss_mb, degraded=again).to_json()


class FollowUps:
    """The reviews that wait to be completed: as many as the run has contracts, each once, oldest first."""

    def __init__(self, engine: DbosEngine, desk: RiskDesk, stop: asyncio.Event) -> None:
        self._engine = engine
        self._desk = desk
        self._stop = stop
        self._waiting: OrderedDict[str, JobResult] = OrderedDict()
        self._under_way: dict[str, JobResult] = {}

    def __len__(self) -> int:
        """How many are not complete."""
        return len(self._waiting) + len(self._under_way)

    def add(self, key: str, job: JobResult) -> None:
        """Queue the review `key`."""
        self._waiting[key] = job

    def due(self) -> Iterator[tuple[str, Json]]:
        """Give the work that can be done now: all of it while the agent answers, none while it does not."""
        while self._waiting and self._desk.well:
            yield self._take()

    async def settle(
        self, key: str, record: Json, error: str | None
    ) -> tuple[str, JobResult, JobResult] | None:
        """Take what a completion came to: the review's key, the job before and after; None where it must wait."""
        before = self._under_way.pop(review_of(key))
        job = None if error is not None else JobResult.from_json(record)
        if job is None or job.degraded or job.body is None:
            # What is recorded would be the answer for ever, and it is none.
            await self._engine.forget([key])
            self._waiting[review_of(key)] = before
            return None
        return review_of(key), before, job

    async def until(self, patience: float) -> AsyncIterator[list[tuple[str, Json]]]:
        """Give work until all is complete, `patience` seconds are over, or the run is stopped.

        One piece first, when the agent may have recovered; more at once only while it answers.
        """
        deadline = time.monotonic() + patience
        while self._waiting and not self._stop.is_set():
            left = deadline - time.monotonic()
            wait = self._desk.wait
            if left <= wait:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), max(wait, 0.05))
            if not self._stop.is_set():
                count = _TOGETHER if self._desk.well else 1
                yield [self._take() for _ in range(min(count, len(self._waiting)))]

    def _take(self) -> tuple[str, Json]:
        key, job = self._waiting.popitem(last=False)
        self._under_way[key] = job
        return key_of(key), job.to_json()


def _without(spent: ReviewTransaction) -> ReviewTransaction:
    level = worse(cast("Degradation", spent.degradation), "partial")
    return spent.model_copy(update={"degradation": level})


def _together(spent: ReviewTransaction, opinion: Transaction) -> ReviewTransaction:
    """Add what the opinion cost; a price that is unknown makes the whole unknown."""
    known = spent.cost_usd is not None and opinion.cost_usd is not None
    cost = (spent.cost_usd or 0.0) + float(opinion.cost_usd or 0) if known else None
    return spent.model_copy(
        update={
            "cost_usd": cost,
            "input_tokens": spent.input_tokens + opinion.input_tokens,
            "output_tokens": spent.output_tokens + opinion.output_tokens,
            "seconds": round(spent.seconds + opinion.seconds, 4),
            "guard_seconds": round(spent.guard_seconds + opinion.guard_seconds, 6),
            "queue_seconds": round(spent.queue_seconds + opinion.queue_seconds, 6),
            "model_seconds": round(spent.model_seconds + opinion.model_seconds, 6),
            "degradation": _level(spent, opinion),
        }
    )


def _level(spent: ReviewTransaction, opinion: Transaction) -> Degradation:
    # Of the review itself: what it lacked before is there now.
    before = cast("Degradation", spent.degradation)
    return worse("full" if before == "partial" else before, opinion.degradation)
