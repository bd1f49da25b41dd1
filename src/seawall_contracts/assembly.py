"""From a model's reading to a review: quotations checked, the playbook applied."""

from collections.abc import Iterator, Sequence

from seawall.agents import locate_quote
from seawall_contracts.finder.hypotheses import HYPOTHESES
from seawall_contracts.playbooks import Playbook, judge
from seawall_contracts.preparation import Passage, Prepared
from seawall_contracts.reading import ClauseReading, Evidence, HypothesisReading, Reading
from seawall_contracts.schema import ContractReview, Finding, NdaAnswer, Span

MAX_SPANS = 3


def assemble(prepared: Prepared, reading: Reading, playbook: Playbook) -> ContractReview:
    """Check every quotation against the document, and judge what stands.

    A clause the model did not answer is abstained, never absent. A clause said to be present without evidence, or
    with no quotation that is in the document, is abstained as well, whatever the model's confidence.
    """
    passages = {passage.id: passage for passage in prepared.passages}
    answers = {answer.clause: answer for answer in reading.clauses}
    findings = tuple(
        _finding(clause, answers.get(clause), candidates, passages)
        for clause, candidates in prepared.candidates.items()
    )
    labels = {answer.id: answer for answer in reading.hypotheses}
    nda = tuple(
        _nda_answer(id_, labels.get(id_), [passage for passage, _ in candidates], passages)
        for id_, candidates in prepared.hypotheses.items()
    )
    verdict, risk, route, reasons = judge(playbook, findings, nda, prepared.facts, prepared.alerts)
    return ContractReview(
        facts=prepared.facts,
        findings=findings,
        nda=nda,
        alerts=prepared.alerts,
        playbook=verdict,
        risk=risk,
        route=route,
        reasons=reasons,
    )


def _finding(
    clause: str, answer: ClauseReading | None, candidates: Sequence[str], passages: dict[str, Passage]
) -> Finding:
    if answer is None:
        spans = tuple(_spans((), candidates, passages))
        return Finding(clause=clause, present=False, score=0.5, abstained=True, spans=spans)
    failed = _failed(answer.evidence, passages)
    unfounded = answer.present and not _stands(answer.evidence, passages)
    return Finding(
        clause=clause,
        present=answer.present,
        score=answer.confidence,
        abstained=answer.abstained or unfounded,
        spans=tuple(_spans(answer.evidence, candidates, passages)),
        failed_quotes=failed,
    )


def _nda_answer(
    id_: str, answer: HypothesisReading | None, candidates: Sequence[str], passages: dict[str, Passage]
) -> NdaAnswer:
    if answer is None:
        spans = tuple(_spans((), candidates, passages))
        return NdaAnswer(
            id=id_, hypothesis=HYPOTHESES[id_], label="NotMentioned", score=0.5, abstained=True, spans=spans
        )
    unfounded = answer.label != "NotMentioned" and not _stands(answer.evidence, passages)
    return NdaAnswer(
        id=id_,
        hypothesis=HYPOTHESES[id_],
        label=answer.label,
        score=answer.confidence,
        abstained=answer.abstained or unfounded,
        spans=tuple(_spans(answer.evidence, candidates, passages)),
    )


def _locate(evidence: Evidence, passages: dict[str, Passage]) -> Span | None:
    passage = passages.get(evidence.passage)
    if passage is None:
        return None
    if not evidence.quote:
        return Span(start=passage.start, end=passage.end, quote=passage.text)
    found = locate_quote(evidence.quote, passage.text)
    if found is None:
        return None
    start, end = found
    return Span(start=passage.start + start, end=passage.start + end, quote=passage.text[start:end])


def _stands(evidence: Sequence[Evidence], passages: dict[str, Passage]) -> bool:
    """Whether an answer has something to stand on: of the quotations one, or, where nothing is quoted, a passage."""
    claims = [item for item in evidence if item.quote] or evidence
    return any(_locate(item, passages) is not None for item in claims)


def _failed(evidence: Sequence[Evidence], passages: dict[str, Passage]) -> int:
    return sum(
        _locate(item, passages) is None for item in evidence if item.quote or item.passage not in passages
    )


def _spans(
    evidence: Sequence[Evidence], candidates: Sequence[str], passages: dict[str, Passage]
) -> Iterator[Span]:
    """Verified evidence first, then the retriever's remaining candidates, each place once."""
    seen: set[str] = set()
    for item in [*evidence, *(Evidence(passage=id_) for id_ in candidates)]:
        if len(seen) == MAX_SPANS:
            return
        if item.passage in seen:
            continue
        span = _locate(item, passages)
        if span is not None:
            seen.add(item.passage)
            yield span
