"""When the agreement takes effect and when it ends, where that is written as a date."""

from collections.abc import Iterator, Sequence
from datetime import date

from seawall.foundation import Match, compile_pattern
from seawall_contracts.schema import Fact, Span

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?"
)
# Groups: month, day, year | day, month, year | ISO 8601 | month/day/year.
_DATE = compile_pattern(
    rf"(?i)\b(?:({_MONTH})\s{{1,4}}([0-9]{{1,2}})(?:st|nd|rd|th)?\s?,?\s{{1,4}}([0-9]{{4}})"
    rf"|([0-9]{{1,2}})(?:st|nd|rd|th)?\s{{1,4}}(?:day\s{{1,4}}of\s{{1,4}})?({_MONTH})\s?,?\s{{1,4}}([0-9]{{4}})"
    r"|([0-9]{4}-[0-9]{2}-[0-9]{2})|([0-9]{1,2}/[0-9]{1,2}/[0-9]{4}))\b"
)
# A date that the agreement itself calls effective counts before the one it was signed on.
_CALLED_EFFECTIVE = compile_pattern(
    r"(?i)^[\s,(]*(?:the\s+|this\s+|hereinafter\s+)?[\"“'‘]*(?:the\s+)?(?:effective|commencement)\s+date"
)
_IS_EFFECTIVE = compile_pattern(
    r"(?i)(?:effective\s+(?:date[\"”]?\s*(?:of|is|means|shall\s+(?:be|mean)|:)|as\s+of|on|from|the|this)|commenc(?:e|es|ing)\s+(?:on|as\s+of|upon|effective)|"
    r"come\s+into\s+force\s+(?:as\s+of|on))[^.;]{0,30}$"
)
_MADE = compile_pattern(
    r"(?i)(?:\bmade\b|\bdated?\b|entered\s+into|\bas\s+of\b|executed|\bthis\b)[^.;]{0,50}$"
)
_SUBJECT = compile_pattern(
    r"(?i)\b(?:agreement|amendment|contract|undertaking|deed|lease|license|addendum|letter|statement\s+of\s+work)\b"
)
_EXPIRY = compile_pattern(
    r"(?i)(?:\bexpir(?:es?|ing)\b|\bend(?:s|ing)?\b\s+on|\bconcluding\b|terminat(?:es?|ing)\s+on|\buntil\b|\bthrough\b|expiration\s+date[\"”]?\s*(?:of|is|means|shall|:)|"
    r"\bterminate\s+automatically\s+on)[^.;0-9]{0,40}$"
)
_OF_THE_TERM = compile_pattern(
    r"(?i)\b(?:this|the|initial)\s+(?:\w+\s+){0,3}?(?:agreement|contract|term|venture|lease|engagement)\b|[\"“](?:expiration|initial\s+term)"
)
_CONDITION = compile_pattern(
    r"(?i)\b(?:if|prior\s+to|not\s+later\s+than|sales|shares|fiscal|quarter|payment|financial\s+statements)\b"
)
_FILING = compile_pattern(r"(?i)source\s*:")
_HEAD = 5_000
_NEAR = 90
_SENTENCE = 300


def read_dates(text: str) -> tuple[date | None, date | None, tuple[Fact, ...]]:
    """Return (effective, expiration, facts); what is not plain is None.

    Effective is the date that the opening calls so, and failing that the date the agreement was made. Expiration is a
    date right after a word of ending, in a sentence on the agreement or its term.
    """
    dates = tuple(_dates(text))
    effective = _effective(text, dates)
    facts = (
        [] if effective is None else [_fact("effective date", effective[0], text, effective[1], effective[2])]
    )
    for found, start, end in dates:
        if (effective is None or found > effective[0]) and _is_expiry(
            text[max(0, start - _SENTENCE) : start]
        ):
            return (
                effective[0] if effective else None,
                found,
                (*facts, _fact("expiration date", found, text, start, end)),
            )
    return effective[0] if effective else None, None, tuple(facts)


def _effective(text: str, dates: Sequence[tuple[date, int, int]]) -> tuple[date, int, int] | None:
    made: tuple[date, int, int] | None = None
    for found, start, end in dates:
        if start >= _HEAD:
            break
        before = text[max(0, start - _NEAR) : start]
        if _CALLED_EFFECTIVE.search(text[end : end + 50]) or _IS_EFFECTIVE.search(before):
            return found, start, end
        is_made = _MADE.search(before) and _SUBJECT.search(text[max(0, start - 200) : start])
        if made is None and is_made and not _EXPIRY.search(before):
            made = (found, start, end)
    return made


def _is_expiry(before: str) -> bool:
    """Whether what stands before a date makes it the end of the agreement."""
    sentence = before[max(before.rfind(". "), before.rfind("\n\n"), before.rfind(";")) + 1 :]
    return bool(
        _EXPIRY.search(sentence)
        and _OF_THE_TERM.search(sentence)
        and not _CONDITION.search(sentence[-120:])
        and not _FILING.search(sentence)
    )


def _dates(text: str) -> Iterator[tuple[date, int, int]]:
    for match in _DATE.finditer(text):
        found = _parse(match)
        if found is not None:
            yield found, match.start(), match.end()


def _parse(match: Match) -> date | None:
    month, day, year, day_first, month_second, year_last, iso, us = (
        match.group(group) for group in range(1, 9)
    )
    try:
        if iso:
            return date.fromisoformat(iso)
        if us:
            us_month, us_day, us_year = us.split("/")
            return date(int(us_year), int(us_month), int(us_day))
        name = (month or month_second or "")[:3].lower()
        return date(int(year or year_last or 0), _MONTHS.index(name) + 1, int(day or day_first or 0))
    except ValueError:
        # The 31st of June: written so, but no date.
        return None


def _fact(kind: str, found: date, text: str, start: int, end: int) -> Fact:
    return Fact(kind=kind, value=found.isoformat(), span=Span(start=start, end=end, quote=text[start:end]))
