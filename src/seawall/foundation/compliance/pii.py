"""Personal data in text, found by shape, checksum and cue: no model, no network, time linear in the text."""

from collections.abc import Iterable
from dataclasses import dataclass

from seawall.foundation.compliance.pii_patterns import RULES, Rule
from seawall.foundation.patterns import PatternSet, compile_pattern, scannable

_CONTEXT = 60
_MAX_NAMES = 200
_RULES = PatternSet(rule.pattern for rule in RULES)
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


def find_pii(text: str) -> list[Entity]:
    """Find personal data, in order of place, none overlapping another; of two that overlap the longer stands.

    Numbers need a checksum (cards, IBANs), a tell-tale shape (e-mail, phone, SSN) or a word that announces them
    (accounts, medical records, dates of birth). People are found by strong cues only: a signature, `Name:`,
    `Attention:`, an honorific; a full name found so is then found everywhere in the text. It does not find names
    without a cue, and is no proof that a text is anonymous.
    """
    scan = scannable(text)
    if not scan.isascii():
        scan = _fold(scan)
    found: list[tuple[int, int, int, str]] = []
    for number in _RULES.matching(scan):
        found.extend(_apply(RULES[number], scan))
    people = (scan[start:end] for start, end, _, kind in found if kind == "PERSON")
    found.extend(_occurrences(scan, filter(is_full_name, people)))
    return _disjoint(found, len(scan))


def find_names(text: str, names: Iterable[str]) -> list[Entity]:
    """Find these names of people as whole words, in order of place; of at most 200 names, in alphabetical order."""
    return _disjoint(_occurrences(text, names), len(text))


def is_full_name(name: str) -> bool:
    """Whether a name is long enough to be looked for without a cue: a first and a last name."""
    return " " in name


def _fold(text: str) -> str:
    for blank in _BLANKS:
        text = text.replace(blank, " ")
    for dash in _DASHES:
        text = text.replace(dash, "-")
    # Translating costs a hundred times as much as replacing, and is hardly ever needed.
    return text if _RARE.search(text) is None else text.translate(_RARE_FOLD)


def _apply(rule: Rule, text: str) -> list[tuple[int, int, int, str]]:
    found: list[tuple[int, int, int, str]] = []
    for match in rule.pattern.finditer(text):
        start, end = match.start(1), match.end(1)
        kept = rule.trim(text[start:end], text[max(0, start - _CONTEXT) : start])
        if kept:
            found.append((start, start + kept, rule.certainty, rule.kind))
    return found


def _occurrences(text: str, names: Iterable[str]) -> list[tuple[int, int, int, str]]:
    found: list[tuple[int, int, int, str]] = []
    for name in sorted(set(names))[:_MAX_NAMES]:
        at = text.find(name)
        while at >= 0:
            end = at + len(name)
            if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
                found.append((at, end, 0, "PERSON"))
            at = text.find(name, end)
    return found


def _disjoint(found: list[tuple[int, int, int, str]], length: int) -> list[Entity]:
    if not found:
        return []
    taken = bytearray(length)
    chosen: list[Entity] = []
    for start, end, _, kind in sorted(found, key=lambda one: (one[0] - one[1], -one[2], one[0], one[3])):
        if taken.find(1, start, end) < 0:
            taken[start:end] = b"\1" * (end - start)
            chosen.append(Entity(kind, start, end))
    return sorted(chosen, key=lambda entity: entity.start)
