"""A review and the risk agent's part of it, as one row: both are recorded by themselves, and joined when they are shown."""

import hashlib
import json
from typing import Any

from seawall import Json
from seawall_contracts.schema import Frozen, ReviewTransaction, RiskAssessment

PART = "risk"


class RiskTransaction(Frozen):
    """What the risk agent's answer cost; None means unknown, never zero."""

    id: str
    cost_usd: float | None
    input_tokens: int
    output_tokens: int
    seconds: float


class RiskResult(Frozen):
    """What came of asking the risk agent about one review, plain enough to be recorded."""

    assessment: RiskAssessment
    transaction: RiskTransaction

    def to_json(self) -> Json:
        """Return the record."""
        return self.model_dump(mode="json")


def risk_key(review: ReviewTransaction, model: str) -> str:
    """Name the answer's record: one review, by its transaction, and one model; a review done anew is asked about anew."""
    digest = hashlib.sha256(json.dumps([review.id, model]).encode()).hexdigest()
    return f"{PART}-{digest}"


def lacking(body: str, transaction: ReviewTransaction) -> tuple[str, ReviewTransaction]:
    """Return the row and its cost as they are while the risk agent's part is missing."""
    spent = transaction.model_copy(update={"degradation": "partial"})
    return _rewritten(body, None, [PART], spent), spent


def assessed(body: str, transaction: ReviewTransaction, result: RiskResult) -> tuple[str, ReviewTransaction]:
    """Return the whole row and what it cost altogether: unknown where either of the two is."""
    risk, review = result.transaction, transaction.cost_usd
    spent = transaction.model_copy(
        update={
            "cost_usd": None if review is None or risk.cost_usd is None else review + risk.cost_usd,
            "input_tokens": transaction.input_tokens + risk.input_tokens,
            "output_tokens": transaction.output_tokens + risk.output_tokens,
            "risk_transaction_id": risk.id,
            "risk_seconds": risk.seconds,
        }
    )
    return _rewritten(body, result.assessment.model_dump(mode="json"), [], spent), spent


def _rewritten(body: str, assessment: Json, degraded: list[str], spent: ReviewTransaction) -> str:
    # The parts are validated already, and a row holds thousands of them: it is not taken apart further than this.
    row: dict[str, Any] = json.loads(body)
    # Takes the place of what a review recorded before there were such parts does not have.
    row |= {"risk_assessment": assessment, "degraded": degraded, "transaction": spent.model_dump(mode="json")}
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))
