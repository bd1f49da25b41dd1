"""What stands of the risk agent's answer: pure, and strict about evidence."""

from seawall.agents import locate_quote
from seawall_contracts.risk.question import Answer, Driver, Question
from seawall_contracts.schema import RiskAssessment, RiskDriver, Span

_SUMMARY = 600
_WHY = 300
_MOST_DRIVERS = 12


def founded(question: Question, answer: Answer, model: str) -> RiskAssessment:
    """Check an answer: a driver stands if it names something in the review and quotes the passage it names.

    Passages are verbatim text of the document, so that a quotation found there is at its place in the document.
    """
    drivers = [_driver(question, driver) for driver in answer.drivers[:_MOST_DRIVERS]]
    standing = tuple(driver for driver in drivers if driver is not None)
    return RiskAssessment(
        level=answer.level,
        summary=_clip(answer.summary, _SUMMARY),
        drivers=standing,
        unfounded=len(answer.drivers) - len(standing),
        model=model,
    )


def _driver(question: Question, driver: Driver) -> RiskDriver | None:
    passage = question.passages.get(driver.passage)
    if passage is None or driver.about not in question.names:
        return None
    found = locate_quote(driver.quote, passage.quote)
    if found is None:
        return None
    start, end = found
    span = Span(start=passage.start + start, end=passage.start + end, quote=passage.quote[start:end])
    return RiskDriver(about=driver.about, why=_clip(driver.why, _WHY), span=span)


def _clip(text: str, longest: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else flat[: longest - 1].rstrip() + "…"
