"""A folder of contracts, reviewed durably: killed at any moment, it goes on where it was."""

import asyncio
import hashlib
import json
import resource
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model

from seawall import (
    ConfigError,
    DbosEngine,
    EventBus,
    Fallback,
    Json,
    Keyring,
    Ledger,
    TransactionFinished,
    Work,
    harden,
    local_principal,
    open_keyring,
    run_batch,
)
from seawall_contracts.agent import build_agent, build_policy
from seawall_contracts.follow_up import Completer, FollowUps, is_follow_up, key_of, review_of
from seawall_contracts.job import Desk, JobResult, Terms
from seawall_contracts.local_model import NAME as LOCAL_NAME
from seawall_contracts.local_model import LocalModel
from seawall_contracts.outputs.results import ResultsFile, Row, completed_rows, failed_row, reviewed_rows
from seawall_contracts.plan import Plan, make_plan
from seawall_contracts.playbooks import load_playbook
from seawall_contracts.risk import RiskDesk, build_risk_policy
from seawall_contracts.worker_desk import open_workers, review_here
from seawall_contracts.workers import OutOfTime, WorkerDied, Workers

BUILT_IN = ("nda", "msa")
_REMOTE_CALLS = 16


@dataclass(frozen=True, slots=True)
class Options:
    """What the review command was asked to do."""

    paths: tuple[str, ...]
    out: Path
    playbook: str | None = None
    model: str = "local"
    workers: int = 2
    fresh: bool = False
    retention: str = "30d"
    master_key: Path | None = None
    risk_model: str | None = None
    risk_patience: float = 120.0
    minutes_per_contract: Decimal = Decimal(45)
    usd_per_contract: Decimal = Decimal(48)


@dataclass(slots=True)
class Progress:
    """How far a run has come; the numbers of `run.json`."""

    total: int = 0
    reviewed: int = 0
    failed: int = 0
    degraded: int = 0
    resumed: int = 0
    cost_usd: Decimal | None = field(default_factory=Decimal)
    tokens_sent: int = 0
    tokens_whole_documents: int = 0
    peak_rss_mb: float = 0.0
    started: float = field(default_factory=time.time)
    interrupted: bool = False

    @property
    def done(self) -> int:
        """Files that have their row."""
        return self.reviewed + self.failed

    def count(self, row: Row) -> None:
        """Take a row into the totals."""
        if row.error is not None:
            self.failed += 1
            return
        self.degraded += row.degraded - row.supersedes
        self.reviewed += not row.supersedes
        if self.cost_usd is not None:
            self.cost_usd = None if row.cost_usd is None else self.cost_usd + Decimal(str(row.cost_usd))
        self.tokens_sent += row.input_tokens
        self.tokens_whole_documents += row.tokens_whole_document


class Run:
    """One run of the review command over its files. Iterate `rows` and every file gets one, and one more that takes its
    place where a missing part came later.
    """

    def __init__(self, options: Options) -> None:
        # A policy that cannot hold is refused here, before a worker stumbles over it.
        build_policy(concurrency=1, retention=options.retention)
        self.options = options
        self.progress = Progress()
        self.stop = asyncio.Event()
        self.playbooks = {name: load_playbook(name) for name in BUILT_IN}
        self.force = options.playbook
        if options.playbook is not None and options.playbook not in BUILT_IN:
            self.playbooks[options.playbook] = load_playbook(options.playbook)

    async def rows(self) -> AsyncIterator[Row]:
        """Review what has not been reviewed, and yield every file's row as it is known.

        What an earlier run recorded comes first. `DIR/results.jsonl` grows along, and is in the order of the
        files when the iteration ends.
        """
        options = self.options
        state = options.out / ".seawall"
        texts = options.out / "text"
        if options.fresh:
            DbosEngine.clear(state)
        texts.mkdir(parents=True, exist_ok=True)
        keyring = open_keyring(options.master_key)
        async with AsyncExitStack() as resources:
            terms = Terms(
                self.playbooks, self.force, texts, options.retention, options.workers, options.master_key
            )
            workers = open_workers(options.workers, terms)
            resources.callback(workers.close)
            ledger = Ledger(state / "ledger.db")
            resources.callback(ledger.close)
            ledger.sweep()
            events = EventBus(ledger)
            work = (
                _local_work(workers, events)
                if options.model == "local"
                else self._remote_work(workers, terms, events)
            )
            desk = self._risk_desk(events, keyring)
            if desk is not None:
                work = _completing(work, Completer(desk))
            engine = await resources.enter_async_context(
                DbosEngine(state, work, keyring, retention=options.retention)
            )
            follow_ups = None if desk is None else FollowUps(engine, desk, self.stop)
            # The results may lie among the contracts: the texts kept there are no contracts of their own.
            plan = await asyncio.to_thread(make_plan, options.paths, self._key, without=texts)
            self.progress.total = len(plan.order)
            results = ResultsFile(options.out / "results.jsonl")
            resources.callback(lambda: results.finish(plan.order))
            async for rows in self._rows(engine, plan, follow_ups):
                for row in rows:
                    self.progress.count(row)
                results.append(rows)
                for row in rows:
                    yield row
            self.progress.interrupted = self.stop.is_set() and self.progress.done < self.progress.total

    def facts(self) -> dict[str, object]:
        """Return the contents of `run.json`."""
        counts, options = self.progress, self.options
        seconds = time.time() - counts.started
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {
            "contracts": counts.total,
            "reviewed": counts.reviewed,
            "failed": counts.failed,
            "resumed": counts.resumed,
            "degraded": counts.degraded,
            "interrupted": counts.interrupted,
            "seconds": round(seconds, 3),
            # Of this run: what earlier runs did is not credited to its speed.
            "contracts_per_second": round((counts.reviewed - counts.resumed) / seconds, 3),
            "peak_rss_mb": round(max(counts.peak_rss_mb, own), 1),
            "cost_usd": None if counts.cost_usd is None else float(counts.cost_usd),
            "tokens_sent": counts.tokens_sent,
            "tokens_whole_documents": counts.tokens_whole_documents,
            "model": self._model_name(),
            "risk_model": options.risk_model,
            "playbook": self.force or "by document type",
            "workers": options.workers,
            "started": datetime.fromtimestamp(counts.started, UTC).isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "baseline": {
                "minutes_per_contract": float(options.minutes_per_contract),
                "usd_per_contract": float(options.usd_per_contract),
            },
        }

    async def _rows(
        self, engine: DbosEngine, plan: Plan, follow_ups: FollowUps | None
    ) -> AsyncIterator[list[Row]]:
        yield [failed_row(file, None, why) for file, why in plan.failures]
        recorded = await engine.recorded()
        unfinished: list[str] = []
        completed = {review_of(key) for key in recorded if is_follow_up(key)}
        known = [key_of(key) if key in completed else key for key in plan.files if key in recorded]
        async for record_key, result in engine.results(known):
            key, job = review_of(record_key), JobResult.from_json(result)
            if job.body is None:
                unfinished.append(key)
                continue
            rows = _rows_of(job, plan.files[key])
            self.progress.resumed += len(rows)
            if job.degraded and follow_ups is not None:
                follow_ups.add(key, job)
            yield rows
        # A failure is tried again: what made it fail may have been mended.
        await engine.forget(unfinished)
        todo = [key for key in plan.files if key not in recorded or key in set(unfinished)]
        work = self._work(todo, plan, follow_ups)
        async for rows in self._run(engine, work, plan, follow_ups):
            yield rows
        if follow_ups is not None:
            async for more in follow_ups.until(self.options.risk_patience):
                async for rows in self._run(engine, more, plan, follow_ups):
                    yield rows

    def _work(
        self, todo: Sequence[str], plan: Plan, follow_ups: FollowUps | None
    ) -> Iterator[tuple[str, Json]]:
        for key in todo:
            if follow_ups is not None:
                yield from follow_ups.due()
            yield key, {"path": plan.files[key][0], "sha256": plan.sha256[key]}

    async def _run(
        self,
        engine: DbosEngine,
        work: Iterable[tuple[str, Json]],
        plan: Plan,
        follow_ups: FollowUps | None,
    ) -> AsyncIterator[list[Row]]:
        async for done in run_batch(engine, work, concurrency=self._concurrency(), stop=self.stop):
            if follow_ups is not None and is_follow_up(done.key):
                settled = await follow_ups.settle(done.key, done.result, done.error)
                if settled is not None:
                    yield _completed(*settled, plan)
                continue
            if done.error is not None:
                yield [failed_row(file, None, done.error) for file in plan.files[done.key]]
                continue
            job = JobResult.from_json(done.result)
            self._measure(job)
            if job.degraded and follow_ups is not None:
                follow_ups.add(done.key, job)
            yield _rows_of(job, plan.files[done.key])

    def _concurrency(self) -> int:
        # Enough that no worker waits for the main process, and no remote call for a worker.
        remote = self.options.model != "local" or self.options.risk_model is not None
        return 2 * self.options.workers + (_REMOTE_CALLS if remote else 2)

    def _measure(self, job: JobResult) -> None:
        self.progress.peak_rss_mb = max(self.progress.peak_rss_mb, job.peak_rss_mb)

    def _key(self, sha256: str) -> str:
        """Name the work: the same document under the same playbooks and model is the same work."""
        books = {name: book.digest for name, book in self.playbooks.items()}
        identity = [sha256, self.force, books, self._model_name(), LOCAL_NAME]
        if self.options.risk_model is not None:
            identity.append(self.options.risk_model)
        return f"review-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()}"

    def _model_name(self) -> str:
        return LOCAL_NAME if self.options.model == "local" else self.options.model

    def _risk_desk(self, events: EventBus, keyring: Keyring) -> RiskDesk | None:
        """Make the desk of the risk agent, in this process: one breaker must see all of its calls."""
        if self.options.risk_model is None:
            return None
        policy = build_risk_policy(concurrency=_REMOTE_CALLS, retention=self.options.retention)
        model = _remote_model(self.options.risk_model)
        return RiskDesk(model, local_principal(), policy, events=events, keyring=keyring)

    def _remote_work(self, workers: Workers, terms: Terms, events: EventBus) -> Work:
        """Work at one desk in this process: what it waits for is far away, and one set of limits must see all of it."""
        policy = build_policy(
            concurrency=_REMOTE_CALLS,
            fallbacks=(Fallback(LocalModel(workers), level="reduced"),),
            retention=terms.retention,
        )
        agent = harden(
            build_agent(_remote_model(self.options.model)),
            policy,
            events=events,
            keyring=open_keyring(terms.master_key),
        )
        desk = Desk(agent, workers, local_principal(), terms)

        async def work(_key: str, payload: Json) -> Json:
            job = cast("dict[str, str]", payload)
            return (await desk.review(job["path"], job["sha256"])).to_json()

        return work


def _remote_model(name: str) -> Model:
    try:
        return infer_model(name)
    except (UserError, ImportError) as error:
        raise ConfigError(f"model {name!r} cannot be used: {error}") from error


def _local_work(workers: Workers, events: EventBus) -> Work:
    """Work at the workers' own desks; what they report goes into this process's event stream."""

    async def work(_key: str, payload: Json) -> Json:
        job = cast("dict[str, str]", payload)
        try:
            record, transactions = await workers.run(review_here, job["path"], job["sha256"])
        except (OutOfTime, WorkerDied) as error:
            return JobResult(sha256=job["sha256"], error=str(error)).to_json()
        for transaction in transactions:
            events.publish(TransactionFinished(transaction))
        return record

    return work


def _completing(work: Work, completer: Completer) -> Work:
    """Have each review completed with what the risk agent says; alone, where the review itself is known."""

    async def completed(key: str, payload: Json) -> Json:
        return await completer.complete(payload if is_follow_up(key) else await work(key, payload))

    return completed


def _completed(key: str, before: JobResult, job: JobResult, plan: Plan) -> list[Row]:
    assert job.body is not None
    assert job.transaction is not None
    assert before.transaction is not None
    return completed_rows(plan.files[key], job.body, job.transaction, before.transaction)


def _rows_of(job: JobResult, files: list[str]) -> list[Row]:
    if job.body is None or job.transaction is None:
        return [
            failed_row(file, job.sha256, job.error or "no result was recorded; run again") for file in files
        ]
    return reviewed_rows(files, job.body, job.transaction, degraded=job.degraded)
