"""Periods of notice, terms and amounts of money, with the words they were read from."""

from collections.abc import Iterator

from seawall.foundation import Match, compile_pattern
from seawall_contracts.schema import Fact, Span

_UNITS = {"day": "days", "month": "months", "year": "years", "week": "weeks", "hour": "hours"}
_PERIOD = compile_pattern(
    r"(?i)(?:\b[a-z]+(?:-[a-z]+)?\s{0,3})?\(?\b([0-9]{1,4})\)?\s{0,3}-?\s?"
    r"(?:calendar\s|business\s|consecutive\s|working\s)?(day|month|year|week)s?[’']?\b"
)
_NOTICE = compile_pattern(r"(?i)notice|notif")
_RENEWAL = compile_pattern(r"(?i)renew|successive|extend")
_TERM = compile_pattern(r"(?i)initial\s+term|\bterm\s+of\b|period\s+of|continue\s+(?:in\s+\w+\s+)?for|shall\s+be\s+for")
_MONEY = compile_pattern(
    r"(US\$|USD|\$|£|€|GBP|EUR)\s?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,12})(?:\.[0-9]{2})?(?:\s(million|billion|thousand))?\b"
)
_CAP = compile_pattern(
    r"(?i)aggregate\s+liab|total\s+liab|liability\s+(?:\w+\s+){0,6}(?:exceed|limited)|shall\s+not\s+exceed|maximum\s+liab"
)
_CURRENCY = {"US$": "USD", "$": "USD", "£": "GBP", "€": "EUR"}
_SCALE = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_BEFORE, _AFTER = 110, 60
_MOST = {"notice period": 12, "renewal term": 4, "term": 4, "amount": 12, "liability cap": 4}


def read_values(text: str) -> tuple[Fact, ...]:
    """Read periods (`30 days`) and amounts (`USD 250000`), each kind a bounded number of times, in the document's order."""
    taken = dict.fromkeys(_MOST, 0)
    found: list[Fact] = []
    for fact in (*_periods(text), *_amounts(text)):
        if taken[fact.kind] < _MOST[fact.kind]:
            taken[fact.kind] += 1
            found.append(fact)
    return tuple(sorted(found, key=lambda fact: fact.span.start))


def _periods(text: str) -> Iterator[Fact]:
    for match in _PERIOD.finditer(text):
        before = text[max(0, match.start() - _BEFORE) : match.start()]
        after = text[match.end() : match.end() + _AFTER]
        kind = _period_kind(before, after)
        if kind is not None:
            yield _fact(kind, f"{int(match.group(1) or 0)} {_UNITS[(match.group(2) or '').lower()]}", text, match)


def _period_kind(before: str, after: str) -> str | None:
    if _NOTICE.search(after) or _NOTICE.search(before[-50:]):
        return "notice period"
    if _RENEWAL.search(before[-80:]) or _RENEWAL.search(after[:30]):
        return "renewal term"
    return "term" if _TERM.search(before[-60:]) else None


def _amounts(text: str) -> Iterator[Fact]:
    for match in _MONEY.finditer(text):
        amount = int((match.group(2) or "0").replace(",", "")) * _SCALE.get((match.group(3) or "").lower(), 1)
        cap = _CAP.search(text[max(0, match.start() - _BEFORE) : match.start()])
        sign = match.group(1) or ""
        value = f"{_CURRENCY.get(sign, sign)} {amount}"
        yield _fact("liability cap" if cap else "amount", value, text, match)


def _fact(kind: str, value: str, text: str, match: Match) -> Fact:
    span = Span(start=match.start(), end=match.end(), quote=text[match.start() : match.end()])
    return Fact(kind=kind, value=value, span=span)
