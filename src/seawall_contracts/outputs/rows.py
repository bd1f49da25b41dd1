"""Rows of `results.jsonl` and the facts of `run.json`, checked, for the reports people read."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from seawall_contracts.schema import (
    Alert,
    Facts,
    Finding,
    NdaAnswer,
    Party,
    PlaybookVerdict,
    ReviewTransaction,
    Risk,
    RiskAssessment,
    Route,
)

RISKS: tuple[Risk, ...] = ("critical", "high", "medium", "low")
ROUTES: tuple[Route, ...] = ("escalate", "legal review", "accept")


class _Lenient(BaseModel):
    """Frozen, indifferent to fields a newer writer added, and silent about what was in a wrong one."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ContractRow(_Lenient):
    """One line of `results.jsonl`. A failed file has `error` and none of the review's fields."""

    file: str
    sha256: str | None = None
    status: Literal["reviewed", "failed"] = "reviewed"
    error: str | None = None
    document_type: str = "other"
    title: str = ""
    parties: tuple[Party, ...] = ()
    governing_law: str | None = None
    findings: tuple[Finding, ...] = ()
    nda: tuple[NdaAnswer, ...] = ()
    alerts: tuple[Alert, ...] = ()
    playbook: PlaybookVerdict | None = None
    risk: Risk | None = None
    route: Route | None = None
    reasons: tuple[str, ...] = ()
    risk_assessment: RiskAssessment | None = None
    degraded: tuple[str, ...] = ()
    facts: Facts = Facts()
    transaction: ReviewTransaction | None = None
    duplicate_of: str | None = None

    def titles(self, outcome: str) -> list[str]:
        """Return the titles of the playbook's rules with this outcome, in the playbook's order."""
        rules = () if self.playbook is None else self.playbook.rules
        return [rule.title for rule in rules if rule.outcome == outcome]


class Baseline(_Lenient):
    """What a person needs for one contract, by hand; an assumption, not a measurement."""

    minutes_per_contract: Decimal = Decimal(45)
    usd_per_contract: Decimal = Decimal(48)


class RunFacts(_Lenient):
    """The facts of `run.json`; None means unknown, never zero."""

    resumed: int = 0
    interrupted: bool = False
    degraded: int = 0
    risk_model: str | None = None
    seconds: float = 0.0
    contracts_per_second: float = 0.0
    peak_rss_mb: float | None = None
    cost_usd: Decimal | None = None
    tokens_sent: int = 0
    tokens_whole_documents: int = 0
    model: str = ""
    playbook: str = ""
    started: str = ""
    finished: str = ""
    baseline: Baseline = Baseline()


def say_missing(parts: Iterable[str]) -> list[str]:
    """Say in words what a row that lacks these parts has in their place, and what becomes of it."""
    return [_MISSING.get(part, f"{part}: missing; queued") for part in parts]


_MISSING = {"risk": "risk: playbook only, the risk agent did not answer; queued"}


def parse_row(row: Mapping[str, object]) -> ContractRow:
    """Check a row; raises pydantic's ValidationError, which names the field and hides its value, if it is none."""
    return ContractRow.model_validate(row)
