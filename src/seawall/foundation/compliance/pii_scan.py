"""How rules are put to a text: in windows, so that memory and time are bounded, and never two findings in one place."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from seawall.foundation.compliance.pii_patterns import Rule
from seawall.foundation.patterns import PatternSet, compile_pattern, scannable

_WINDOW = 1 << 16
_MARGIN = 1 << 10
_CONTEXT = 60
# One character for one, so that offsets hold: full-width forms, digits of other scripts, exotic blanks and dashes.
_BLANKS = "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"
_DASHES = "\u2010\u2011\u2012\u2013\u2212"
_RARE = compile_pattern(r"[\x{FF01}-\x{FF5E}\x{660}-\x{669}\x{6F0}-\x{6F9}]")
_RARE_FOLD = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    base + digit: 0x30 + digit for base in (0x660, 0x6F0) for digit in range(10)
}


@dataclass(frozen=True, slots=True)
class Entity:
    """A piece of personal data: its kind, and its place in the text, half open, in characters."""

    kind: str
    start: int
    end: int


Candidate = tuple[int, int, int, str]
"""Start, end, how certain it is, kind."""

Found = tuple[int, int, str]
"""Start, end, kind: an entity while there are millions of them to sort out."""


def scan(text: str, find: Callable[[str], Iterable[Found]]) -> Iterator[Entity]:
    """Put `find` to a text in windows of 65,536 characters, made readable, with up to 1,024 characters round each.

    What `find` returns, in order and disjoint, is yielded so, placed in the whole text. What is longer than 1,024
    characters may be found in part.
    """
    last = 0
    for begin in range(0, len(text), _WINDOW):
        own, border = max(begin, last), begin + _WINDOW
        # From what was found last, so that a run of numbers is cut up here as it was there.
        offset = max(0, begin - _MARGIN, min(own, last))
        for start, end, kind in find(readable(text[offset : border + _MARGIN])):
            if own <= start + offset < border:
                last = end + offset
                yield Entity(kind, start + offset, last)


class RuleSet:
    """Rules, and one automaton that says which of them are worth trying on a text."""

    __slots__ = ("_rules", "_set")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._set = PatternSet(rule.pattern for rule in rules)

    def candidates(self, text: str) -> list[Candidate]:
        """Return whatever a rule finds, overlapping or not; the text must be `scannable`."""
        found: list[Candidate] = []
        # Bytes of ASCII have the offsets of characters, and RE2 searches them without counting.
        searched = text.encode() if text.isascii() else text
        for number in self._set.matching(text):
            rule = self._rules[number]
            for match in cast("Any", rule.pattern).finditer(searched):
                start, end = match.span(1)
                kept = rule.trim(text[start:end], text[max(0, start - _CONTEXT) : start])
                if kept:
                    found.append((start, start + kept, rule.certainty, rule.kind))
        return found


def disjoint(found: Iterable[Candidate], length: int) -> list[Found]:
    """Choose, of candidates that overlap, the longest, then the most certain, then the first; in order of place."""
    taken = bytearray(length)
    chosen: list[Found] = []
    for start, end, _, kind in sorted(found, key=_rank):
        if taken.find(1, start, end) < 0:
            taken[start:end] = b"\1" * (end - start)
            chosen.append((start, end, kind))
    chosen.sort()
    return chosen


def fill_gaps(found: list[Found], more: list[Found]) -> list[Found]:
    """Add of the second list what overlaps nothing of the first; both in order of place and disjoint, as is what returns."""
    if not more:
        return found
    merged: list[Found] = []
    place = 0
    for one in more:
        while place < len(found) and found[place][1] <= one[0]:
            merged.append(found[place])
            place += 1
        if place == len(found) or found[place][0] >= one[1]:
            merged.append(one)
    return merged + found[place:]


def _rank(one: Candidate) -> tuple[int, int, int, str]:
    return one[0] - one[1], -one[2], one[0], one[3]


def readable(text: str) -> str:
    """Return the text with exotic blanks, dashes, digits and full-width forms made plain, one character for one."""
    if text.isascii():
        return text
    text = scannable(text)
    for blank in _BLANKS:
        text = text.replace(blank, " ")
    for dash in _DASHES:
        text = text.replace(dash, "-")
    # Translating costs a hundred times as much as replacing, and is hardly ever needed.
    return text if _RARE.search(text) is None else text.translate(_RARE_FOLD)
