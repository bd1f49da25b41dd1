"""A folder of contracts, reviewed durably: killed at any moment, it goes on where it was."""

import asyncio
import hashlib
import json
import resource
import time
from collections.abc import AsyncIterator, Iterator
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
from seawall_contracts.job import Desk, JobResult, Terms
from seawall_contracts.local_model import NAME as LOCAL_NAME
from seawall_contracts.local_model import LocalModel
from seawall_contracts.outputs.results import ResultsFile, Row, better_rows, failed_row, reviewed_rows
from seawall_contracts.outputs.rows import say_missing
from seawall_contracts.plan import Plan, make_plan
from seawall_contracts.playbooks import load_playbook
from seawall_contracts.risk import (
    AT_ONCE,
    Answered,
    RiskDesk,
    RiskQueue,
    RiskResult,
    assessed,
    build_risk_agent,
    build_risk_policy,
    is_risk_key,
    lacking,
)
from seawall_contracts.worker_desk import open_workers, review_here
from seawall_contracts.workers import OutOfTime, WorkerDied, Workers

BUILT_IN = ("nda", "msa")
_REMOTE_CALLS = 16
_READ_BACK = 100


@dataclass(frozen=True, slots=True)
class Options:
    """What the review command was asked to do.

    `risk_model` names the risk agent's model, None where there is to be none; `risk_patience` is how many seconds the end
    of a run waits for its next answer.
    """

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
        """Take a row into the totals; one that supersedes another completes it, and adds what it cost."""
        if row.error is not None:
            self.failed += 1
            return
        self.reviewed += not row.supersedes
        self.degraded += row.degraded - row.supersedes
        if self.cost_usd is not None:
            self.cost_usd = None if row.cost_usd is None else self.cost_usd + Decimal(str(row.cost_usd))
        self.tokens_sent += row.input_tokens
        self.tokens_whole_documents += row.tokens_whole_document


class Run:
    """One run of the review command over its files. Iterate `rows` and every file gets its row.

    A file whose row was degraded may get another, which supersedes it; `DIR/results.jsonl` has one a file in the end.
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
            engine = await resources.enter_async_context(
                DbosEngine(state, _or_recorded(work), keyring, retention=options.retention)
            )
            risk = None if desk is None else await resources.enter_async_context(RiskQueue(desk, engine))
            # The results may lie among the contracts: the texts kept there are no contracts of their own.
            plan = await asyncio.to_thread(make_plan, options.paths, self._key, without=texts)
            self.progress.total = len(plan.order)
            results = ResultsFile(options.out / "results.jsonl")
            resources.callback(lambda: results.finish(plan.order))
            async for rows in self._rows(engine, plan, risk):
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
            "degraded": counts.degraded,
            "missing": say_missing(["risk"]) if counts.degraded else [],
            "resumed": counts.resumed,
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

    async def _rows(self, engine: DbosEngine, plan: Plan, risk: RiskQueue | None) -> AsyncIterator[list[Row]]:
        yield [failed_row(file, None, why) for file, why in plan.failures]
        recorded = await engine.recorded()
        unfinished: list[str] = []
        async for jobs in _recorded_jobs(engine, [key for key in plan.files if key in recorded]):
            unfinished += [key for key, job in jobs.items() if job.body is None]
            answers = {} if risk is None else await risk.recorded(jobs)
            for key, job in jobs.items():
                if job.body is not None:
                    rows = _known_rows(key, job, plan.files[key], risk, answers.get(key))
                    self.progress.resumed += len(rows)
                    yield rows
        # A failure is tried again: what made it fail may have been mended.
        await engine.forget(unfinished)
        todo = [key for key in plan.files if key not in recorded or key in set(unfinished)]
        work: Iterator[tuple[str, Json]] = (
            (key, {"path": plan.files[key][0], "sha256": plan.sha256[key]}) for key in todo
        )
        async for done in run_batch(engine, work, concurrency=self._concurrency(), stop=self.stop):
            if done.error is not None:
                yield [failed_row(file, None, done.error) for file in plan.files[done.key]]
                continue
            job = JobResult.from_json(done.result)
            self._measure(job)
            yield _known_rows(done.key, job, plan.files[done.key], risk, None)
            for answered in () if risk is None else risk.answers():
                yield _better_rows(answered, plan)
        if risk is not None:
            async for answered in risk.rest(self.options.risk_patience, self.stop):
                yield _better_rows(answered, plan)

    def _concurrency(self) -> int:
        # Enough that no worker waits for the main process, and no remote call for a worker.
        return 2 * self.options.workers + (2 if self.options.model == "local" else _REMOTE_CALLS)

    def _measure(self, job: JobResult) -> None:
        self.progress.peak_rss_mb = max(self.progress.peak_rss_mb, job.peak_rss_mb)

    def _key(self, sha256: str) -> str:
        """Name the work: the same document under the same playbooks and model is the same work."""
        books = {name: book.digest for name, book in self.playbooks.items()}
        identity = [sha256, self.force, books, self._model_name(), LOCAL_NAME]
        return f"review-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()}"

    def _model_name(self) -> str:
        return LOCAL_NAME if self.options.model == "local" else self.options.model

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

    def _risk_desk(self, events: EventBus, keyring: Keyring) -> RiskDesk | None:
        """Put the risk agent at a desk in this process, wherever the reviews are done; None where none is asked for."""
        name = self.options.risk_model
        if name is None:
            return None
        policy = build_risk_policy(concurrency=AT_ONCE, retention=self.options.retention)
        agent = harden(build_risk_agent(_remote_model(name)), policy, events=events, keyring=keyring)
        return RiskDesk(agent, local_principal(), name)


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


def _or_recorded(work: Work) -> Work:
    """Add to the work of a review that of keeping an answer of the risk agent, which is to record it as it came."""

    async def either(key: str, payload: Json) -> Json:
        return payload if is_risk_key(key) else await work(key, payload)

    return either


async def _recorded_jobs(engine: DbosEngine, keys: list[str]) -> AsyncIterator[dict[str, JobResult]]:
    """Read recorded reviews back, some at a time, by key."""
    for start in range(0, len(keys), _READ_BACK):
        batch = engine.results(keys[start : start + _READ_BACK])
        yield {key: JobResult.from_json(record) async for key, record in batch}


def _known_rows(
    key: str, job: JobResult, files: list[str], risk: RiskQueue | None, answer: RiskResult | None
) -> list[Row]:
    """Make the rows of what is known of a document by now; what the risk agent has not said yet is queued."""
    if job.body is None or job.transaction is None:
        return [
            failed_row(file, job.sha256, job.error or "no result was recorded; run again") for file in files
        ]
    if risk is None:
        return reviewed_rows(files, job.body, job.transaction)
    if answer is not None:
        return reviewed_rows(files, *assessed(job.body, job.transaction, answer))
    risk.add(key)
    return reviewed_rows(files, *lacking(job.body, job.transaction), degraded=True)


def _better_rows(answered: Answered, plan: Plan) -> list[Row]:
    job, result = answered.job, answered.result
    assert job.body is not None, "only what was reviewed is asked about"
    assert job.transaction is not None, "only what was reviewed is asked about"
    body, _ = assessed(job.body, job.transaction, result)
    spent = result.transaction
    return better_rows(
        plan.files[answered.key], body, cost_usd=spent.cost_usd, input_tokens=spent.input_tokens
    )
