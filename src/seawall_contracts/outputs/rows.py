"""Rows of `results.jsonl` and the facts of `run.json`, checked, for the reports people read."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from seawall_contracts.schema import (
    Alert,
    Facts,
    Finding,
    NdaAnswer,
    Party,
    PlaybookVerdict,
    ReviewTransaction,
    Risk,
    Route,
)

RISKS: tuple[Risk, ...] = ("critical", "high", "medium", "low")
ROUTES: tuple[Route, ...] = ("escalate", "legal review", "accept")


_SURROGATE = re.compile("[\ud800-\udfff]")


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


def parse_row(row: Mapping[str, object]) -> ContractRow:
    """Check a row; raises pydantic's ValidationError, which names the field, if it is none.

    Half surrogate pairs, which are not text and which no UTF-8 file can hold, become U+FFFD.
    """
    try:
        return ContractRow.model_validate(row)
    except ValidationError as error:
        if not any(detail["type"] == "string_unicode" for detail in error.errors(include_input=False)):
            raise
        return ContractRow.model_validate(_without_surrogates(row))


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return {key: _without_surrogates(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in cast("list[Any]", value)]
    return value
