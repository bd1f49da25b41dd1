"""Reads one clause's passages against a rule's limits: kept to, broken, or not to be told by a machine.

The best passage decides. Where it does not settle a question and a lesser one seems to, a lawyer is asked:
lesser passages are candidates, which may belong to another clause.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from seawall_contracts.playbooks.playbook import Limits
from seawall_contracts.schema import Fact, Facts, Span

Kept = Literal["kept", "broken", "unclear"]
_LESSER = 3
_ISO = re.compile(r"^P(?:(\d{1,5})Y)?(?:(\d{1,5})M)?(?:(\d{1,5})W)?(?:(\d{1,6})D)?$")
_WORDS = re.compile(r"^(\d{1,6})\s*(?:calendar |business |working )?(day|week|month|quarter|year)s?$")
_DAYS = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}
_NOTICE_AFTER, _NOTICE_BEFORE = 30, 45


@dataclass(frozen=True, slots=True)
class Check:
    """How one limit fared, and why."""

    kept: Kept
    why: str


def check_limits(
    limits: Limits, spans: Sequence[Span], facts: Facts, *, dated_term: int | None = None
) -> tuple[Check, ...]:
    """Check every limit given; `spans` are the clause's passages, best first, at least one.

    `dated_term` is the term in days as dates give it; it counts where the best passage states no period.
    """
    checks: list[Check] = []
    if limits.governing_law is not None:
        checks.append(_check_law(limits.governing_law, facts))
    checks.extend(_check_periods(limits, spans, facts, dated_term))
    if limits.contains is not None:
        checks.append(_check_contains(limits.contains, spans))
    if limits.excludes is not None:
        checks.append(_check_excludes(limits.excludes, spans))
    return tuple(checks)


def find_phrase(phrases: Sequence[str], text: str) -> str | None:
    """Return the first of the phrases that stands in the text in whole words, whatever its case and line breaks."""
    flat = _flat(text)
    return next((phrase for phrase in phrases if _stands_in(_flat(phrase), flat)), None)


def period_days(value: str) -> int | None:
    """Read a period ("P30D", "P1Y6M", "30 days") as days; a month counts 30, a year 365. None if it is no period."""
    found = _ISO.match(value.strip().upper())
    if found is not None and any(found.groups()):
        years, months, weeks, days = (int(part or 0) for part in found.groups())
        return 365 * years + 30 * months + 7 * weeks + days
    found = _WORDS.match(value.strip().casefold())
    return int(found[1]) * _DAYS[found[2]] if found else None


def values_of(kind: str, facts: Facts) -> tuple[Fact, ...]:
    """Facts of a kind, one for each distinct value, in the document's order."""
    seen: dict[str, Fact] = {}
    for fact in facts.facts:
        if _kind(fact.kind) == _kind(kind):
            seen.setdefault(_flat(fact.value), fact)
    return tuple(seen.values())


def _check_law(approved: Sequence[str], facts: Facts) -> Check:
    law = facts.governing_law
    if law is None:
        return Check("unclear", "which law governs could not be read")
    if find_phrase(approved, law) is not None:
        return Check("kept", f"governed by the law of {law}")
    return Check("broken", f"governed by the law of {law}, which is not among: {', '.join(approved)}")


def _check_periods(limits: Limits, spans: Sequence[Span], facts: Facts, dated: int | None) -> Iterator[Check]:
    notice = limits.notice_at_least_days is not None or limits.notice_at_most_days is not None
    if notice:
        low, high = limits.notice_at_least_days or 0, limits.notice_at_most_days
        yield _check_period("period of notice", low, high, _periods(spans, facts, _is_notice))
    if limits.term_at_most_days is not None:
        found = _periods(spans, facts, lambda fact, span: not _is_notice(fact, span))
        if dated is not None and not found[0]:
            found = ((dated,),)
        yield _check_period("term", 0, limits.term_at_most_days, found)


def _check_period(name: str, low: int, high: int | None, groups: Sequence[Sequence[int]]) -> Check:
    found = next((days for days in groups if days), ())
    allowed = (
        f"at least {low} days" if high is None else f"{low} to {high} days" if low else f"at most {high} days"
    )
    if not found:
        return Check("unclear", f"the {name} could not be read; allowed is {allowed}")
    within = [low <= days and (high is None or days <= high) for days in found]
    shown = " and ".join(f"{days} days" for days in found)
    if not groups[0] or (any(within) and not all(within)):
        return Check("unclear", f"the {name} may be {shown}; allowed is {allowed}")
    return Check("kept" if all(within) else "broken", f"the {name} is {shown}; allowed is {allowed}")


def _periods(
    spans: Sequence[Span], facts: Facts, wanted: Callable[[Fact, Span], bool]
) -> tuple[tuple[int, ...], ...]:
    """The distinct periods wanted in each passage, in days."""
    groups: list[tuple[int, ...]] = []
    for span in spans[:_LESSER]:
        inside = [fact for fact in facts.facts if fact.span.start < span.end and span.start < fact.span.end]
        days = [period_days(fact.value) for fact in inside if wanted(fact, span)]
        groups.append(tuple(dict.fromkeys(number for number in days if number is not None)))
    return tuple(groups)


def _is_notice(fact: Fact, span: Span) -> bool:
    """Tell a period of notice from a term, by its kind and by the words around it.

    Years and months that are called notice, but stand by no word of notice, are terms: "renews for one year, unless
    either party gives the other written notice".
    """
    kind = _kind(fact.kind)
    if "notice" not in kind and ("term" in kind.split() or "renewal" in kind):
        return False
    start, end = (max(0, place - span.start) for place in (fact.span.start, fact.span.end))
    near = span.quote[max(0, start - _NOTICE_BEFORE) : start] + span.quote[end : end + _NOTICE_AFTER]
    return "notice" in near.casefold() or ("notice" in kind and "day" in fact.span.quote.casefold())


def _check_contains(phrases: Sequence[str], spans: Sequence[Span]) -> Check:
    found = find_phrase(phrases, spans[0].quote)
    if found is not None:
        return Check("kept", f"says “{found}”")
    wanted = f"none of these is said: {', '.join(f'“{phrase}”' for phrase in phrases)}"
    if any(find_phrase(phrases, span.quote) for span in spans[1:_LESSER]):
        return Check("unclear", f"in the clause itself {wanted}, but another passage says so")
    return Check("broken", wanted)


def _check_excludes(phrases: Sequence[str], spans: Sequence[Span]) -> Check:
    found = find_phrase(phrases, spans[0].quote)
    if found is not None:
        return Check("broken", f"says “{found}”")
    lesser = next(filter(None, (find_phrase(phrases, span.quote) for span in spans[1:_LESSER])), None)
    if lesser is not None:
        return Check("unclear", f"another passage says “{lesser}”")
    return Check("kept", "none of the words this playbook rules out")


def _kind(kind: str) -> str:
    return kind.casefold().replace("_", " ").replace("-", " ")


def _flat(text: str) -> str:
    return " ".join(text.casefold().replace("’", "'").split())


def _stands_in(phrase: str, text: str) -> bool:
    start = text.find(phrase)
    while start >= 0:
        end = start + len(phrase)
        if not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
            return True
        start = text.find(phrase, start + 1)
    return False
