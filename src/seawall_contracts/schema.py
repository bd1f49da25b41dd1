"""The review as data: every result this package gives is one of these frozen models.

Offsets count characters of the extracted text (`DIR/text/SHA256.txt`), half open: `text[start:end]`.
A score is a calibrated probability, 0 to 1.
"""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Label = Literal["Entailment", "Contradiction", "NotMentioned"]
Outcome = Literal["compliant", "deviation", "missing", "needs a lawyer"]
Severity = Literal["low", "medium", "high", "critical"]
Risk = Literal["low", "medium", "high", "critical"]
Route = Literal["accept", "legal review", "escalate"]


class Frozen(BaseModel):
    """Immutable, and refuses fields that nobody declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(Frozen):
    """A passage of the document and its verbatim text: `quote == text[start:end]`, always."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    quote: str


class Finding(Frozen):
    """Whether the document has a clause of this type, and where.

    `score` is the probability that the clause is present. With `abstained` the evidence is too weak either
    way: a lawyer decides, and `present` is only the likelier side. `spans` are candidates, best first.
    `failed_quotes` counts quotations by the model that are not in the document; they are never shown.
    """

    clause: str
    present: bool
    score: float = Field(ge=0, le=1)
    abstained: bool
    spans: tuple[Span, ...] = ()
    failed_quotes: int = 0


class NdaAnswer(Frozen):
    """What the document says of one of ContractNLI's hypotheses; `score` is the probability of `label`."""

    id: str
    hypothesis: str
    label: Label
    score: float = Field(ge=0, le=1)
    abstained: bool
    spans: tuple[Span, ...] = ()


class Party(Frozen):
    """A contracting party as the document names it, and the defined term it goes by."""

    name: str
    role: str = ""
    span: Span | None = None


class Fact(Frozen):
    """A value read by rule (a date, a period, an amount), in normal form, with the words it was read from."""

    kind: str
    value: str
    span: Span


class Facts(Frozen):
    """What rules read out of the whole document; anything not found is empty, never guessed."""

    document_type: str = "other"
    document_type_score: float = Field(default=0.0, ge=0, le=1)
    title: str = ""
    parties: tuple[Party, ...] = ()
    governing_law: str | None = None
    effective_date: date | None = None
    expiration_date: date | None = None
    facts: tuple[Fact, ...] = ()


class Alert(Frozen):
    """Something a reader must know about the document itself, such as text addressed to the reviewer."""

    kind: str
    why: str
    spans: tuple[Span, ...] = ()


class RuleVerdict(Frozen):
    """One playbook rule applied to the document."""

    rule: str
    title: str
    clause: str
    outcome: Outcome
    severity: Severity
    why: str
    fallback: str = ""
    spans: tuple[Span, ...] = ()


class PlaybookVerdict(Frozen):
    """All of a playbook's rules, applied."""

    name: str
    version: str
    rules: tuple[RuleVerdict, ...]


class RiskDriver(Frozen):
    """What makes a contract risky: the clause, rule or hypothesis of the review it is `about`, and words that show it."""

    about: str
    why: str
    span: Span


class RiskAssessment(Frozen):
    """What the risk agent makes of a review, as a whole; the playbook's verdicts stand beside it, unchanged.

    `unfounded` counts drivers that name nothing in the review, or whose quotation is not in the passage they name; they
    are never shown.
    """

    level: Literal["low", "medium", "high"]
    summary: str = Field(max_length=600)
    drivers: tuple[RiskDriver, ...] = ()
    unfounded: int = 0
    model: str = ""


class ReviewTransaction(Frozen):
    """What the review of one contract cost: seconds, tokens, and dollars (None means unknown, never zero).

    Where the risk agent answered, dollars and tokens are the sum of both its ledger row and the review's, `id` is the
    review's and `risk_transaction_id` its own. `seconds` and their parts are the review's alone.
    """

    id: str
    cost_usd: float | None
    input_tokens: int = 0
    output_tokens: int = 0
    tokens_whole_document: int = 0
    seconds: float = 0.0
    guard_seconds: float = 0.0
    queue_seconds: float = 0.0
    model_seconds: float = 0.0
    verdicts: tuple[str, ...] = ()
    degradation: str = "full"
    model: str = ""
    risk_transaction_id: str | None = None
    risk_seconds: float = 0.0


class ContractReview(Frozen):
    """One contract, reviewed."""

    facts: Facts
    findings: tuple[Finding, ...]
    nda: tuple[NdaAnswer, ...] = ()
    alerts: tuple[Alert, ...] = ()
    playbook: PlaybookVerdict
    risk: Risk
    route: Route
    reasons: tuple[str, ...] = ()


class ReviewedRow(Frozen):
    """A row of `results.jsonl` for a contract that was reviewed, but for `file` and `duplicate_of`, which differ by copy.

    `degraded` names the parts that were asked for and are missing, such as "risk"; it is empty where the row is whole.
    """

    sha256: str
    status: Literal["reviewed"] = "reviewed"
    error: None = None
    document_type: str
    title: str
    parties: tuple[Party, ...]
    governing_law: str | None
    facts: Facts
    findings: tuple[Finding, ...]
    nda: tuple[NdaAnswer, ...]
    alerts: tuple[Alert, ...]
    playbook: PlaybookVerdict
    risk: Risk
    route: Route
    reasons: tuple[str, ...]
    risk_assessment: RiskAssessment | None = None
    degraded: tuple[str, ...] = ()
    transaction: ReviewTransaction
