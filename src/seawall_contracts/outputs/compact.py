"""A review as the small JSON the report's pages are drawn from; the scripts in `templates/` read these shapes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite
from typing import cast

from seawall_contracts.outputs.passages import QUOTE, Cited, Text, shown, stands
from seawall_contracts.outputs.rows import ContractRow, say_missing
from seawall_contracts.schema import (
    Alert,
    Finding,
    NdaAnswer,
    ReviewTransaction,
    RiskAssessment,
    RuleVerdict,
    Span,
)

# A hostile document must not decide how large its page is.
_PHRASES = 4000
_FINDINGS, _RULES, _NDA, _ALERTS, _FACTS, _PARTIES, _REASONS = 60, 80, 40, 20, 40, 12, 12
_SPANS_EACH = 3
_PROSE = 1200
_NAME = 300
_SEVERITIES = ("critical", "high", "medium", "low")
_OUTCOMES = ("deviation", "missing", "needs a lawyer", "compliant")

Json = dict[str, object]


@dataclass(slots=True)
class Phrases:
    """Texts that thousands of contracts share (clause names, fallback wordings), kept once.

    A bounded number: what comes later stays where it is said.
    """

    texts: dict[str, int] = field(default_factory=dict[str, int])

    def refer(self, text: str) -> int | str:
        """Return the text's number, or the text if there is no more room."""
        known = self.texts.get(text)
        if known is None and len(self.texts) < _PHRASES:
            known = self.texts[text] = len(self.texts)
        return text if known is None else known


@dataclass(slots=True)
class Citations:
    """Every span a contract's page cites, once each, those most worth reading first."""

    places: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    quotes: list[str] = field(default_factory=list[str])

    def cite(self, spans: Iterable[Span | None]) -> list[int]:
        """Return the spans' numbers."""
        numbers: list[int] = []
        for span in spans:
            if span is None or len(numbers) == _SPANS_EACH:
                continue
            place = (span.start, span.start + len(span.quote))
            if place not in self.places:
                self.places[place] = len(self.quotes)
                self.quotes.append(span.quote[:QUOTE])
            if self.places[place] not in numbers:
                numbers.append(self.places[place])
        return numbers

    def dump(self) -> list[tuple[int, int, str]]:
        """Return (start, end, beginning of the quotation) in the order of the numbers."""
        return [(start, end, quote) for (start, end), quote in zip(self.places, self.quotes, strict=True)]


def clip(text: str, longest: int) -> str:
    """Cut a text that is too long, visibly."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def index_entry(row: ContractRow, phrases: Phrases) -> Json:
    """Return what the table shows, sorts and searches of a contract."""
    entry: Json = {"file": clip(row.file, _NAME), "status": row.status}
    if row.status == "failed":
        return entry | {"error": clip(row.error or "", _PROSE)}
    spent = row.transaction
    return entry | {
        "title": clip(row.title, 160),
        "type": phrases.refer(clip(row.document_type, 80)),
        "parties": [clip(party.name, 120) for party in row.parties[:4]],
        "law": None if row.governing_law is None else phrases.refer(clip(row.governing_law, 80)),
        "risk": row.risk,
        "route": row.route,
        "deviations": _titles(row, "deviation", phrases),
        "missing": _titles(row, "missing", phrases),
        "lawyer": len(row.titles("needs a lawyer")),
        "abstained": sum(finding.abstained for finding in row.findings),
        "alerts": [phrases.refer(clip(alert.kind, 80)) for alert in row.alerts[:4]],
        "cost": None if spent is None or spent.cost_usd is None else float(spent.cost_usd),
        "seconds": None if spent is None else _number(spent.seconds, 3),
        "copy": row.duplicate_of is not None,
        "degraded": [phrases.refer(clip(part, 80)) for part in row.degraded[:4]],
    }


def detail(row: ContractRow, phrases: Phrases) -> Json:
    """Return what a contract's page shows, but for its text; `spans` are numbered, and cited by number."""
    cited = Citations()
    facts = row.facts
    alerts = [_alert(alert, cited) for alert in row.alerts[:_ALERTS]]
    rules = [_rule(rule, cited, phrases) for rule in _by_urgency(row)[:_RULES]]
    book = row.playbook
    return {
        "file": clip(row.file, _NAME),
        "sha256": row.sha256 or "",
        "title": clip(row.title or facts.title, 240),
        "type": row.document_type,
        "type_score": _number(facts.document_type_score, 3),
        "law": None if row.governing_law is None else clip(row.governing_law, 120),
        "effective": None if facts.effective_date is None else facts.effective_date.isoformat(),
        "expiration": None if facts.expiration_date is None else facts.expiration_date.isoformat(),
        "risk": row.risk,
        "route": row.route,
        "reasons": [clip(reason, _PROSE) for reason in row.reasons[:_REASONS]],
        "alerts": alerts,
        "lacks": [phrases.refer(clip(said, 200)) for said in say_missing(row.degraded[:4])],
        "assessed": None if row.risk_assessment is None else _assessed(row.risk_assessment, cited),
        "book": None if book is None else [clip(book.name, 120), clip(book.version, 40)],
        "rules": rules,
        "findings": [_finding(each, cited, phrases) for each in row.findings[:_FINDINGS]],
        "nda": [_answer(each, cited, phrases) for each in row.nda[:_NDA]],
        "parties": [
            [clip(party.name, _NAME), clip(party.role, 120), cited.cite([party.span])]
            for party in row.parties[:_PARTIES]
        ],
        "facts": [
            [clip(fact.kind, 80), clip(fact.value, 200), cited.cite([fact.span])]
            for fact in facts.facts[:_FACTS]
        ],
        "spent": None if row.transaction is None else _spent(row.transaction),
        "spans": cited.dump(),
    }


def cited_spans(page: Json) -> list[Cited]:
    """Read a page's spans back."""
    return [
        Cited(start, end, quote) for start, end, quote in cast("list[tuple[int, int, str]]", page["spans"])
    ]


def with_text(page: Json, cited: list[Cited], text: Text, full: str | None, path: str) -> Json:
    """Add the text; a span that can be shown there needs no quotation, another keeps its own.

    A quotation which is not in the text (a text changed since the review) is never highlighted: its span is null
    followed by the words.
    """
    spans: list[list[int | str | None]] = []
    for span in cited:
        if full is not None and not stands(span, full):
            spans.append([None, None, span.quote])
        elif shown(span, text):
            spans.append([span.start, span.end])
        else:
            spans.append([span.start, span.end, span.quote])
    parts = [[part.start, part.text] for part in text.passages]
    return page | {
        "spans": spans,
        "text": {"kind": text.kind, "parts": parts, "length": text.length, "path": path},
    }


def _titles(row: ContractRow, outcome: str, phrases: Phrases) -> list[int | str]:
    return [phrases.refer(clip(title, 120)) for title in row.titles(outcome)[:_RULES]]


def _by_urgency(row: ContractRow) -> list[RuleVerdict]:
    rules = () if row.playbook is None else row.playbook.rules
    return sorted(rules, key=lambda rule: (_OUTCOMES.index(rule.outcome), _SEVERITIES.index(rule.severity)))


def _alert(alert: Alert, cited: Citations) -> list[object]:
    return [clip(alert.kind, 120), clip(alert.why, _PROSE), cited.cite(alert.spans)]


def _assessed(assessment: RiskAssessment, cited: Citations) -> list[object]:
    drivers = [
        [clip(driver.about, 160), clip(driver.why, _NAME), cited.cite([driver.span])]
        for driver in assessment.drivers[:_REASONS]
    ]
    model = clip(assessment.model, 120)
    return [assessment.level, clip(assessment.summary, _PROSE), drivers, assessment.unfounded, model]


def _rule(rule: RuleVerdict, cited: Citations, phrases: Phrases) -> list[object]:
    return [
        phrases.refer(clip(rule.title, 120)),
        phrases.refer(clip(rule.clause, 80)),
        rule.outcome,
        rule.severity,
        phrases.refer(clip(rule.why, _PROSE)),
        phrases.refer(clip(rule.fallback, 3000)),
        cited.cite(rule.spans),
    ]


def _finding(finding: Finding, cited: Citations, phrases: Phrases) -> list[object]:
    spans = cited.cite(finding.spans) if finding.present or finding.abstained else []
    clause = phrases.refer(clip(finding.clause, 80))
    return [
        clause,
        finding.present,
        _number(finding.score, 3),
        finding.abstained,
        spans,
        finding.failed_quotes,
    ]


def _answer(answer: NdaAnswer, cited: Citations, phrases: Phrases) -> list[object]:
    hypothesis = phrases.refer(clip(answer.hypothesis, 300))
    said = answer.label != "NotMentioned" or answer.abstained
    spans = cited.cite(answer.spans) if said else []
    return [hypothesis, answer.label, _number(answer.score, 3), answer.abstained, spans]


def _spent(spent: ReviewTransaction) -> Json:
    return {
        "id": clip(spent.id, 80),
        "cost": None if spent.cost_usd is None else float(spent.cost_usd),
        "input": spent.input_tokens,
        "output": spent.output_tokens,
        "whole": spent.tokens_whole_document,
        "seconds": _number(spent.seconds, 4),
        "guard": _number(spent.guard_seconds, 4),
        "queue": _number(spent.queue_seconds, 4),
        "model_seconds": _number(spent.model_seconds, 4),
        "verdicts": [clip(verdict, 120) for verdict in spent.verdicts[:_REASONS]],
        "degradation": clip(spent.degradation, 80),
        "model": clip(spent.model, 120),
        "risk_id": None if spent.risk_transaction_id is None else clip(spent.risk_transaction_id, 80),
        "risk_seconds": _number(spent.risk_seconds, 4),
    }


def _number(value: float, digits: int) -> float | None:
    return round(value, digits) if isfinite(value) else None
