"""Applies a playbook to what was found: pure, stated, monotone.

How a rule is judged: evidence that is abstained, absent or in conflict with itself is "needs a lawyer", never
"compliant". A clause said to be present without a passage to show for it counts as such.

How risk follows: a deviation or a missing clause weighs its rule's severity, a question for a lawyer one step
less; the review's risk is the heaviest. Text addressed to the reviewer makes it at least high, any other alert at
least medium, a document the playbook was not written for at least medium.

How the route follows: "escalate" for a deviation or missing clause of a critical rule, or text addressed to the
reviewer; "legal review" for anything else that is not compliant, any alert, any document of a type the playbook
was not written for; "accept" only if all rules are compliant and nothing else is open. Making a rule's outcome
worse (compliant, needs a lawyer, then missing or deviation) never lowers the risk and never eases the route.
"""

from collections.abc import Sequence

from seawall_contracts.playbooks.limits import check_limits, find_phrase, values_of
from seawall_contracts.playbooks.playbook import Playbook, Rule
from seawall_contracts.schema import (
    Alert,
    Facts,
    Finding,
    NdaAnswer,
    Outcome,
    PlaybookVerdict,
    Risk,
    Route,
    RuleVerdict,
    Severity,
    Span,
)

ADDRESSED = "text addressed to the reviewer"
_LEVELS: tuple[Severity, ...] = ("low", "medium", "high", "critical")
_ROUTES: tuple[Route, ...] = ("accept", "legal review", "escalate")
_Judged = tuple[Outcome, str, tuple[Span, ...]]


def judge(
    playbook: Playbook,
    findings: Sequence[Finding],
    nda: Sequence[NdaAnswer],
    facts: Facts,
    alerts: Sequence[Alert],
) -> tuple[PlaybookVerdict, Risk, Route, tuple[str, ...]]:
    """Apply every rule; return the verdicts, the overall risk, the route and the reasons for both, gravest first."""
    rules = [
        rule for rule in playbook.rules if rule.applies_to is None or facts.document_type in rule.applies_to
    ]
    verdicts = tuple(_verdict(rule, _apply(rule, findings, nda, facts)) for rule in rules)
    foreign = _foreign(playbook, facts)
    risk, route = _decide(verdicts, alerts, is_foreign=foreign is not None)
    reasons = [f"alert: {alert.kind}" for alert in alerts]
    reasons += [foreign] if foreign else []
    open_ = [verdict for verdict in verdicts if verdict.outcome != "compliant"]
    open_.sort(key=_weight, reverse=True)
    reasons += [f"{verdict.severity} · {verdict.outcome}: {verdict.title}" for verdict in open_]
    if not reasons:
        reasons = [f"all {len(verdicts)} rules of the playbook are kept to"]
    book = PlaybookVerdict(name=playbook.name, version=playbook.version, rules=verdicts)
    return book, risk, route, tuple(reasons)


def _apply(rule: Rule, findings: Sequence[Finding], nda: Sequence[NdaAnswer], facts: Facts) -> _Judged:
    if rule.clause is not None:
        return _judge_clause(rule, [found for found in findings if found.clause == rule.clause], facts)
    if rule.hypothesis is not None:
        return _judge_hypothesis(rule, [answer for answer in nda if answer.id == rule.hypothesis])
    if rule.conflict is not None:
        return _judge_conflict(rule, rule.conflict, findings)
    return _judge_one_value(rule.one_value_of or "", facts)


def _judge_clause(rule: Rule, found: Sequence[Finding], facts: Facts) -> _Judged:
    spans = tuple(span for finding in found for span in finding.spans)
    unsure = _unsure(found)
    if unsure:
        return "needs a lawyer", unsure, spans
    if not found[0].present:
        if rule.position == "required":
            return "missing", "required, and not found in the document", ()
        return _judge_absent(rule, spans)
    if not spans:
        return "needs a lawyer", "said to be present, but no passage of the document shows it", ()
    if rule.position == "prohibited":
        return "deviation", "present, though this playbook rules it out", spans
    return _judge_limits(rule, spans, facts)


def _judge_absent(rule: Rule, candidates: tuple[Span, ...]) -> _Judged:
    """A clause judged absent, while a passage that looked like it uses its words, is conflicting evidence."""
    for span in candidates:
        said = find_phrase(rule.watch_for or (), span.quote)
        if said is not None:
            return "needs a lawyer", f"not found as such, but a passage says “{said}”", (span,)
    return "compliant", "not found in the document", ()


def _judge_limits(rule: Rule, spans: tuple[Span, ...], facts: Facts) -> _Judged:
    if rule.limits is None:
        return "compliant", "present", spans
    # An end date says how long the first term is, and nothing of later ones.
    dated = _initial_days(facts) if rule.clause == "Expiration Date" else None
    checks = check_limits(rule.limits, spans, facts, dated_term=dated)
    broken = [check.why for check in checks if check.kept == "broken"]
    if broken:
        return rule.on_breach, "; ".join(broken), spans
    unclear = [check.why for check in checks if check.kept == "unclear"]
    if unclear:
        return "needs a lawyer", "; ".join(unclear), spans
    return "compliant", "; ".join(check.why for check in checks) or "present", spans


def _initial_days(facts: Facts) -> int | None:
    if facts.effective_date is None or facts.expiration_date is None:
        return None
    days = (facts.expiration_date - facts.effective_date).days
    return days if days > 0 else None


def _judge_hypothesis(rule: Rule, answers: Sequence[NdaAnswer]) -> _Judged:
    spans = tuple(span for answer in answers for span in answer.spans)
    if not answers:
        return "needs a lawyer", "the question was not answered", spans
    labels = {answer.label for answer in answers}
    if len(labels) > 1:
        return "needs a lawyer", "the answers contradict each other", spans
    if any(answer.abstained for answer in answers):
        return "needs a lawyer", "the evidence is too weak to decide", spans
    label = answers[0].label
    if label != "NotMentioned" and not spans:
        return "needs a lawyer", "no passage of the document shows it", spans
    if label in (rule.expect or ()):
        return "compliant", _SAYS[label], spans
    return "missing" if label == "NotMentioned" else "deviation", _SAYS[label], spans


_SAYS = {
    "Entailment": "the document says so",
    "Contradiction": "the document says the opposite",
    "NotMentioned": "the document does not say",
}


def _judge_conflict(rule: Rule, pair: tuple[str, str], findings: Sequence[Finding]) -> _Judged:
    sides = [[found for found in findings if found.clause == clause] for clause in pair]
    unsure = [_unsure(side) for side in sides]
    if any(not why and not side[0].present for why, side in zip(unsure, sides, strict=True)):
        return "compliant", "not both present", ()
    spans = tuple(finding.spans[0] for side in sides for finding in side if finding.spans)
    if any(unsure):
        clause, why = next((clause, why) for clause, why in zip(pair, unsure, strict=True) if why)
        return "needs a lawyer", f"{clause}: {why}", spans
    reconciled = next(
        filter(None, (find_phrase(rule.reconciled_by or (), span.quote) for span in spans)), None
    )
    if reconciled is not None:
        return "compliant", f"both present, and reconciled by “{reconciled}”", spans
    return "needs a lawyer", "both present, and nothing in them says which one prevails", spans


def _judge_one_value(kind: str, facts: Facts) -> _Judged:
    values = values_of(kind, facts)
    spans = tuple(fact.span for fact in values)
    if len(values) > 1:
        named = " and ".join(fact.value for fact in values)
        return "needs a lawyer", f"the document names more than one: {named}", spans
    return "compliant", "the document does not contradict itself", spans


def _unsure(found: Sequence[Finding]) -> str:
    """Why the findings about one clause settle nothing; empty if they do."""
    if not found:
        return "this clause was not looked for"
    if len({finding.present for finding in found}) > 1:
        return "the findings contradict each other"
    return "the evidence is too weak to decide" if any(finding.abstained for finding in found) else ""


def _verdict(rule: Rule, judged: _Judged) -> RuleVerdict:
    outcome, found, spans = judged
    is_open = outcome != "compliant"
    return RuleVerdict(
        rule=rule.id,
        title=rule.title,
        clause=rule.clause or rule.hypothesis or " / ".join(rule.conflict or ()) or rule.one_value_of or "",
        outcome=outcome,
        severity=rule.severity,
        why=f"{_sentence(found)} {_sentence(rule.why)} {_sentence(f'Decides: {rule.decides}')}"
        if is_open
        else _sentence(found),
        fallback=rule.fallback if is_open else "",
        spans=spans,
    )


def _sentence(text: str) -> str:
    flat = " ".join(text.split())
    return flat[:1].upper() + flat[1:] + ("" if flat.endswith((".", "!", "?")) else ".")


def _foreign(playbook: Playbook, facts: Facts) -> str | None:
    if not playbook.document_types or facts.document_type in playbook.document_types:
        return None
    return f"document type {facts.document_type!r} is not one this playbook was written for"


def _weight(verdict: RuleVerdict) -> int:
    """Weigh an outcome: 0 for compliant, else 1 (low) to 4 (critical)."""
    if verdict.outcome == "compliant":
        return 0
    level = _LEVELS.index(verdict.severity) + 1
    return level if verdict.outcome != "needs a lawyer" else max(1, level - 1)


def _decide(
    verdicts: Sequence[RuleVerdict], alerts: Sequence[Alert], *, is_foreign: bool
) -> tuple[Risk, Route]:
    is_addressed = any(alert.kind == ADDRESSED for alert in alerts)
    gravest = max((_weight(verdict) for verdict in verdicts), default=0)
    floor = 3 if is_addressed else 2 if alerts or is_foreign else 1
    is_critical = any(
        verdict.severity == "critical" and verdict.outcome in {"deviation", "missing"} for verdict in verdicts
    )
    is_open = bool(alerts) or is_foreign or not verdicts or gravest > 0
    step = 2 if is_addressed or is_critical else 1 if is_open else 0
    return _LEVELS[max(gravest, floor) - 1], _ROUTES[step]
