"""One contract, through every tier: prepare, ask, check, judge."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic_ai.exceptions import AgentRunError

from seawall import Hardened, HardenedResult, Json, Principal, Rejected, Transaction
from seawall_contracts.assembly import assemble
from seawall_contracts.documents import DocumentError
from seawall_contracts.outputs.results import row_body
from seawall_contracts.playbooks import Playbook, select_playbook
from seawall_contracts.preparation import Prepared, prepare
from seawall_contracts.reading import Reading, write_prompt
from seawall_contracts.schema import ReviewTransaction
from seawall_contracts.workers import OutOfTime, Runner, WorkerDied

_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of one contract, plain enough to be recorded.

    `body` is its row as JSON (see `row_body`), or None where `error` says why there is none. Of `transaction` the
    record keeps what a run adds up.
    """

    sha256: str
    body: str | None = None
    error: str | None = None
    transaction: ReviewTransaction | None = None
    peak_rss_mb: float = 0.0

    def to_json(self) -> Json:
        """Return the record."""
        spent = None if self.transaction is None else self.transaction.model_dump(mode="json")
        plain: dict[str, Json] = {
            name: getattr(self, name) for name in ("sha256", "body", "error", "peak_rss_mb")
        }
        return {**plain, "transaction": spent}

    @classmethod
    def from_json(cls, record: Json) -> "JobResult":
        """Read a record back; TypeError or ValidationError where it is none."""
        fields = dict(cast("dict[str, Any]", record))
        spent = fields.pop("transaction")
        return cls(**fields, transaction=None if spent is None else ReviewTransaction.model_validate(spent))


@dataclass(frozen=True, slots=True)
class Terms:
    """What every contract of a run is reviewed by: the playbooks by name, the one that is forced on all documents
    (or None: by document type), where texts are kept, how long records are, and how many processes share the limits.
    """

    playbooks: dict[str, Playbook]
    force: str | None
    texts: Path
    retention: str
    processes: int
    master_key: Path | None = None


class Desk:
    """Reviews one document at a time, as often as asked, under one policy and for one principal."""

    def __init__(
        self,
        agent: Hardened[None, Reading],
        runner: Runner,
        principal: Principal,
        terms: Terms,
    ) -> None:
        self._agent = agent
        self._runner = runner
        self._principal = principal
        self._playbooks = terms.playbooks
        self._texts = str(terms.texts)
        self._force = terms.force

    async def review(self, path: str, sha256: str) -> JobResult:
        """Review the file at `path`; a document that cannot be reviewed gives a result with its error."""
        started = time.perf_counter()
        try:
            prepared = await self._runner.run(prepare, path, self._texts, nda=self._nda())
            if prepared.sha256 != sha256:
                return JobResult(sha256=sha256, error="changed while it was being read; run the review again")
            result = await self._ask(prepared)
        except DocumentError as error:
            return JobResult(sha256=sha256, error=str(error))
        except (OutOfTime, WorkerDied) as error:
            return JobResult(sha256=sha256, error=str(error))
        except Rejected as error:
            return JobResult(sha256=sha256, error=f"refused by {error.by}: {error}")
        except AgentRunError as error:
            return JobResult(sha256=sha256, error=f"the model failed ({type(error).__name__}); run again")
        review = assemble(prepared, result.output, self._playbook(prepared.facts.document_type))
        transaction = review_transaction(result.transaction, prepared, time.perf_counter() - started)
        body = row_body(sha256, review, transaction)
        return JobResult(sha256=sha256, body=body, transaction=transaction, peak_rss_mb=prepared.peak_rss_mb)

    async def _ask(self, prepared: Prepared) -> HardenedResult[Reading]:
        """Ask the agent; when refused for a while, wait as long as told and ask again, a bounded time in all."""
        prompt = write_prompt(prepared.questions())
        waited = 0.0
        while True:
            try:
                return await self._agent.run(
                    prompt, deps=None, principal=self._principal, tokens_without_retrieval=prepared.tokens
                )
            except Rejected as error:
                if error.retry_after is None or waited + error.retry_after > _PATIENCE:
                    raise
                waited += error.retry_after
                await asyncio.sleep(error.retry_after)

    def _nda(self) -> bool | None:
        return None if self._force is None else self._playbooks[self._force].asks_nda

    def _playbook(self, document_type: str) -> Playbook:
        return self._playbooks[self._force or select_playbook(document_type)]


def review_transaction(row: Transaction, prepared: Prepared, seconds: float) -> ReviewTransaction:
    """Show a ledger row in a review; `seconds` covers reading the document too."""
    return ReviewTransaction(
        id=row.id,
        cost_usd=None if row.cost_usd is None else float(row.cost_usd),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        tokens_whole_document=prepared.tokens,
        seconds=round(seconds, 4),
        guard_seconds=round(row.guard_seconds, 6),
        queue_seconds=round(row.queue_seconds, 6),
        model_seconds=round(row.model_seconds, 6),
        verdicts=row.verdicts,
        degradation=row.degradation,
        model=row.model,
    )
