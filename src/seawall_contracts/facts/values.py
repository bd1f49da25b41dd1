"""Periods of notice, terms and amounts of money, with the words they were read from."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice

from seawall.foundation import Match, compile_pattern
from seawall_contracts.schema import Fact, Span

_UNITS = {"day": "days", "month": "months", "year": "years", "week": "weeks"}
_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
         "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORD = rf"(?:{'|'.join(_TENS)})(?:[-\s](?:{'|'.join(_ONES[:9])}))?|(?:one\s)?hundred(?:\s(?:and\s)?(?:{'|'.join(_TENS)}))?|{'|'.join(reversed(_ONES))}"
# Groups: number in words, in digits, unit. Where both numbers are given the digits count.
_PERIOD = compile_pattern(
    rf"(?i)\b(?:({_WORD})\s{{0,3}}(?:\(\s?([0-9]{{1,4}})\s?\))?|([0-9]{{1,4}})\)?)\s{{0,3}}-?\s?"
    r"(?:calendar\s|business\s|consecutive\s|working\s)?(day|month|year|week)s?[’']?\b"
)
_NOTICE = ("notice", "notif")
_RENEWAL = ("renew", "successive", "extend")
_TERM = compile_pattern(
    r"(?i)initial\s+term|\bterm\s+of\b|period\s+of|continue\s+(?:in\s+\w+\s+)?for|shall\s+be\s+for"
)
_MONEY = compile_pattern(
    r"(US\$|USD|\$|£|€|GBP|EUR)\s?([0-9]{1,3}(?:,[0-9]{3}){1,4}|[0-9]{1,12})(\.[0-9]{1,4})?(?:\s(million|billion|thousand))?\b"
)
_CAP = compile_pattern(
    r"(?i)aggregate\s+liab|total\s+liab|liability\s+(?:\w+\s+){0,6}(?:exceed|limited)|liab\w*[^.;]{0,80}\s(?:shall\s+not|exceed)|maximum\s+liab"
)
_CURRENCY = {"US$": "USD", "$": "USD", "£": "GBP", "€": "EUR"}
_SCALE = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
# A real contract of 700 kB has a tenth of this.
_MOST_LOOKED_AT = 10_000
_BEFORE, _AFTER = 110, 60
_MOST = {"notice period": 12, "renewal term": 4, "term": 4, "amount": 12, "liability cap": 4}


def read_values(text: str) -> tuple[Fact, ...]:
    """Read periods (`30 days`) and amounts (`USD 250000`), each kind a bounded number of times, in the document's order."""
    taken = dict.fromkeys(_MOST, 0)
    found: list[Fact] = []
    for kind, value, match in (*_periods(text), *_amounts(text)):
        if taken[kind] < _MOST[kind]:
            taken[kind] += 1
            found.append(_fact(kind, value, text, match))
    return tuple(sorted(found, key=lambda fact: fact.span.start))


def _periods(text: str) -> Iterator[tuple[str, str, Match]]:
    for match in islice(_PERIOD.finditer(text), _MOST_LOOKED_AT):
        before = text[max(0, match.start() - _BEFORE) : match.start()]
        after = text[match.end() : match.end() + _AFTER]
        kind = _period_kind(before, after)
        if kind is not None:
            digits = match.group(2) or match.group(3)
            number = int(digits) if digits else _number(match.group(1) or "")
            yield kind, f"{number} {_UNITS[(match.group(4) or '').lower()]}", match


def _number(words: str) -> int:
    """Read a number in words, below two hundred: "ninety", "twenty-one", "one hundred and eighty"."""
    total = 0
    for word in words.lower().replace("-", " ").split():
        if word == "hundred":
            total = 100
        elif word in _TENS:
            total += 10 * (_TENS.index(word) + 2)
        elif word in _ONES:
            total += _ONES.index(word) + 1
    return total


def _period_kind(before: str, after: str) -> str | None:
    if _names(_NOTICE, after) or _names(_NOTICE, before[-50:]):
        return "notice period"
    if _names(_RENEWAL, before[-80:]) or _names(_RENEWAL, after[:30]):
        return "renewal term"
    return "term" if _TERM.search(before[-60:]) else None


def _names(stems: Iterable[str], words: str) -> bool:
    lowered = words.lower()
    return any(stem in lowered for stem in stems)


def _amounts(text: str) -> Iterator[tuple[str, str, Match]]:
    for match in islice(_MONEY.finditer(text), _MOST_LOOKED_AT):
        digits = (match.group(2) or "0").replace(",", "") + (match.group(3) or "")
        amount = Decimal(digits) * _SCALE.get((match.group(4) or "").lower(), 1)
        shown = f"{amount:f}"
        shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
        before = text[max(0, match.start() - _BEFORE) : match.start()]
        # Most amounts are prices; looking for the word first spares the pattern.
        cap = "liab" in before.lower() and _CAP.search(before)
        sign = match.group(1) or ""
        yield "liability cap" if cap else "amount", f"{_CURRENCY.get(sign, sign)} {shown}", match


def _fact(kind: str, value: str, text: str, match: Match) -> Fact:
    span = Span(start=match.start(), end=match.end(), quote=text[match.start() : match.end()])
    return Fact(kind=kind, value=value, span=span)
