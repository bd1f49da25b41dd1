"""Personal data in text, found by shape, checksum and cue: no model, no network, time linear in the text."""

from collections.abc import Iterable, Iterator

from seawall.foundation.compliance.pii_patterns import RULES
from seawall.foundation.compliance.pii_scan import Candidate, Entity, Found, RuleSet, disjoint, readable, scan

__all__ = ["Entity", "find_names", "find_pii", "is_full_name", "with_names", "without_honorific"]

_MAX_NAMES = 200
_HONORIFICS = frozenset({"mr", "mrs", "ms", "miss", "dr", "prof", "professor"})
_RULES = RuleSet(RULES)


def find_pii(text: str) -> list[Entity]:
    """Find personal data, in order of place, none overlapping another; of two that overlap the longer stands.

    Numbers need a checksum (cards, IBANs), a tell-tale shape (e-mail, phone, SSN) or a word that announces them
    (accounts, medical records, dates of birth). People are found by strong cues only: a signature, `Name:`,
    `Attention:`, an honorific; a full name found so is then found everywhere in the text. It does not find names
    without a cue (`find_pii_thorough` does), and is no proof that a text is anonymous.
    """
    found = list(scan(text, _by_rules))
    people: set[str] = set()
    for entity in found:
        if entity.kind == "PERSON" and len(people) < _MAX_NAMES:
            name = readable(text[entity.start : entity.end])
            people |= {name, without_honorific(name)}
    return with_names(text, found, filter(is_full_name, people))


def find_names(text: str, names: Iterable[str]) -> list[Entity]:
    """Find these names of people as whole words, in order of place; of at most 200 names, in alphabetical order."""
    return list(_named(text, names))


def with_names(text: str, found: list[Entity], names: Iterable[str]) -> list[Entity]:
    """Add to what was found, in order and disjoint, these people wherever they are named besides."""
    more: list[Entity] = []
    place = 0
    for one in _named(text, names):
        while place < len(found) and found[place].end <= one.start:
            place += 1
        if place == len(found) or found[place].start >= one.end:
            more.append(one)
    return sorted(found + more, key=_start) if more else found


def without_honorific(name: str) -> str:
    """Return the name without the `Mr.` or `Professor` that it begins with."""
    first, _, rest = name.partition(" ")
    return rest.lstrip() if first.rstrip(".").lower() in _HONORIFICS else name


def is_full_name(name: str) -> bool:
    """Whether a name is long enough to be looked for without a cue: a first and a last name."""
    return " " in name


def _by_rules(part: str) -> list[Found]:
    return disjoint(_RULES.candidates(part), len(part))


def _named(text: str, names: Iterable[str]) -> Iterator[Entity]:
    wanted = [name for name in sorted(set(names))[:_MAX_NAMES] if name]

    def find(part: str) -> list[Found]:
        occurrences: list[Candidate] = []
        for name in wanted:
            at = part.find(name)
            while at >= 0:
                end = at + len(name)
                if not (part[max(0, at - 1) : at].isalnum() or part[end : end + 1].isalnum()):
                    occurrences.append((at, end, 0, "PERSON"))
                at = part.find(name, end)
        return disjoint(occurrences, len(part))

    return scan(text, find) if wanted else iter(())


def _start(entity: Entity) -> int:
    return entity.start
