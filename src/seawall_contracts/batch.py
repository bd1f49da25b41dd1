"""A folder of contracts, reviewed durably: killed at any moment, it goes on where it was."""

import asyncio
import hashlib
import json
import resource
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

from pydantic_ai.models import Model, infer_model

from seawall import (
    DbosEngine,
    EventBus,
    Json,
    Keyring,
    Ledger,
    Work,
    harden,
    local_principal,
    open_keyring,
    run_batch,
)
from seawall_contracts.agent import build_agent, build_policy
from seawall_contracts.job import Desk, JobResult
from seawall_contracts.local_model import NAME as LOCAL_NAME
from seawall_contracts.local_model import LocalModel
from seawall_contracts.outputs.results import ResultsFile, Row, failed_row, reviewed_rows
from seawall_contracts.plan import Plan, make_plan
from seawall_contracts.playbooks import load_playbook
from seawall_contracts.workers import Workers

BUILT_IN = ("nda", "msa")


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
    minutes_per_contract: Decimal = Decimal(45)
    usd_per_contract: Decimal = Decimal(48)


@dataclass(slots=True)
class Progress:
    """How far a run has come; the numbers of `run.json`."""

    total: int = 0
    reviewed: int = 0
    failed: int = 0
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
        self.reviewed += 1
        if self.cost_usd is not None:
            self.cost_usd = None if row.cost_usd is None else self.cost_usd + Decimal(str(row.cost_usd))
        self.tokens_sent += row.input_tokens
        self.tokens_whole_documents += row.tokens_whole_document


class Run:
    """One run of the review command over its files. Iterate `rows` and every file gets exactly one."""

    def __init__(self, options: Options) -> None:
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
            shutil.rmtree(state, ignore_errors=True)
        texts.mkdir(parents=True, exist_ok=True)
        keyring = open_keyring(options.master_key)
        async with AsyncExitStack() as resources:
            workers = Workers(options.workers)
            resources.callback(workers.close)
            ledger = Ledger(state / "ledger.db")
            resources.callback(ledger.close)
            ledger.sweep()
            desk = self._desk(workers, EventBus(ledger), keyring, texts)
            engine = await resources.enter_async_context(
                DbosEngine(state, _work(desk), keyring, retention=options.retention)
            )
            plan = await asyncio.to_thread(make_plan, options.paths, self._key)
            self.progress.total = len(plan.order)
            results = ResultsFile(options.out / "results.jsonl")
            resources.callback(lambda: results.finish(plan.order))
            async for rows in self._rows(engine, plan):
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
        return {
            "contracts": counts.total,
            "reviewed": counts.reviewed,
            "failed": counts.failed,
            "resumed": counts.resumed,
            "interrupted": counts.interrupted,
            "seconds": round(seconds, 3),
            # Of this run: what earlier runs did is not credited to its speed.
            "contracts_per_second": round((counts.reviewed - counts.resumed) / seconds, 3),
            "peak_rss_mb": round(counts.peak_rss_mb, 1),
            "cost_usd": None if counts.cost_usd is None else float(counts.cost_usd),
            "tokens_sent": counts.tokens_sent,
            "tokens_whole_documents": counts.tokens_whole_documents,
            "model": self._model_name(),
            "playbook": self.force or "by document type",
            "workers": options.workers,
            "started": datetime.fromtimestamp(counts.started, UTC).isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "baseline": {
                "minutes_per_contract": float(options.minutes_per_contract),
                "usd_per_contract": float(options.usd_per_contract),
            },
        }

    async def _rows(self, engine: DbosEngine, plan: Plan) -> AsyncIterator[list[Row]]:
        yield [failed_row(file, None, why) for file, why in plan.failures]
        recorded = await engine.recorded()
        unfinished: list[str] = []
        async for key, result in engine.results([key for key in plan.files if key in recorded]):
            job = JobResult.from_json(result)
            if job.body is None:
                unfinished.append(key)
                continue
            rows = _rows_of(job, plan.files[key])
            self.progress.resumed += len(rows)
            yield rows
        # A failure is tried again: what made it fail may have been mended.
        await engine.forget(unfinished)
        todo = [key for key in plan.files if key not in recorded or key in set(unfinished)]
        work: Iterator[tuple[str, Json]] = (
            (key, {"path": plan.files[key][0], "sha256": plan.sha256[key]}) for key in todo
        )
        async for done in run_batch(engine, work, concurrency=2 * self.options.workers + 2, stop=self.stop):
            if done.error is not None:
                yield [failed_row(file, None, done.error) for file in plan.files[done.key]]
                continue
            job = JobResult.from_json(done.result)
            self._measure(job)
            yield _rows_of(job, plan.files[done.key])

    def _measure(self, job: JobResult) -> None:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.progress.peak_rss_mb = max(self.progress.peak_rss_mb, job.peak_rss_mb, own)

    def _key(self, sha256: str) -> str:
        """Name the work: the same document under the same playbooks and model is the same work."""
        books = {name: book.digest for name, book in self.playbooks.items()}
        identity = [sha256, self.force, books, self._model_name(), LOCAL_NAME]
        return f"review-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()}"

    def _model_name(self) -> str:
        return LOCAL_NAME if self.options.model == "local" else self.options.model

    def _desk(self, workers: Workers, events: EventBus, keyring: Keyring, texts: Path) -> Desk:
        local = LocalModel(workers)
        remote = self.options.model != "local"
        model: Model = infer_model(self.options.model) if remote else local
        concurrency = 16 if remote else 2 * workers.count
        policy = build_policy(
            concurrency=concurrency, fallbacks=(local,) if remote else (), retention=self.options.retention
        )
        agent = harden(build_agent(model), policy, events=events, keyring=keyring)
        return Desk(agent, workers, self.playbooks, local_principal(), texts=texts, force=self.force)


def _work(desk: Desk) -> Work:
    async def work(_key: str, payload: Json) -> Json:
        job = cast("dict[str, str]", payload)
        result = await desk.review(job["path"], job["sha256"])
        return result.to_json()

    return work


def _rows_of(job: JobResult, files: list[str]) -> list[Row]:
    if job.body is None or job.transaction is None:
        return [failed_row(file, job.sha256, job.error or "no result was recorded; run again") for file in files]
    return reviewed_rows(files, job.body, job.transaction)
