"""When the agreement takes effect and when it ends, where that is written as a date."""

from collections.abc import Iterator
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
_EFFECTIVE = compile_pattern(r"(?i)effective|made|dated|entered\s+into|as\s+of|commenc")
_EXPIRY = compile_pattern(
    r"(?i)expires?\b|expiration|terminates?\s+on|until|through|ends?\s+on|ending\s+on|remain\s+in\s+(?:full\s+)?(?:force|effect)"
)
_HEAD = 5_000
_NEAR = 90


def read_dates(text: str) -> tuple[date | None, date | None, tuple[Fact, ...]]:
    """Return (effective, expiration, facts). Effective is the first dated cue of the opening; expiration needs a cue right before it."""
    effective: date | None = None
    facts: list[Fact] = []
    for found, start, end in _dates(text[:_HEAD]):
        cue = text[max(0, start - _NEAR) : start]
        if effective is None and _EFFECTIVE.search(cue):
            effective = found
            facts.append(_fact("effective date", found, text, start, end))
    expiration: date | None = None
    for found, start, end in _dates(text):
        cue = text[max(0, start - _NEAR) : start]
        if expiration is None and _EXPIRY.search(cue) and (effective is None or found > effective):
            expiration = found
            facts.append(_fact("expiration date", found, text, start, end))
            break
    return effective, expiration, tuple(facts)


def _dates(text: str) -> Iterator[tuple[date, int, int]]:
    for match in _DATE.finditer(text):
        found = _parse(match)
        if found is not None:
            yield found, match.start(), match.end()


def _parse(match: Match) -> date | None:
    month, day, year, day_first, month_second, year_last, iso, us = (match.group(group) for group in range(1, 9))
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
