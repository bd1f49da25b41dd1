"""Who the contracting parties are."""

import re
from collections.abc import Iterator

from seawall_contracts.schema import Party, Span

_HEAD = 8_000
_OPENING = re.compile(r"\b(?:by\s+and\s+(?:between|among)|by\s+and\s+amongst|between|among)\b:?", re.IGNORECASE)
_CLOSE = re.compile(r"WITNESSETH|RECITALS|WHEREAS|NOW,?\s+THEREFORE|\bBackground\b|\b1\.\s|Article\s+[1I]\b|the\s+parties\s+agree", re.IGNORECASE)
# A name, up to its description: words with capitals, with the small words that names have inside.
_NAME = re.compile(
    r"(?:[A-Z0-9][\w&.’'/-]*)(?:(?:,\s(?=(?:Inc|LLC|L\.L\.C|Ltd|Limited|Corp|Co|LP|L\.P|PLC|N\.A|S\.A|GmbH|B\.V|AG|LLP)\b)|\s{1,3}|,\s?)"
    r"(?:of\s|and\s|the\s|&\s|for\s|de\s)?(?:[A-Z0-9(][\w&.’'/)-]*|&))*"
)
_ROLE = re.compile(
    r"\(\s*(?:[^()]{0,80}?(?:referred\s+to\s+as|called|known\s+as|herein|hereinafter|the|or|each|collectively|together)[^()\"“”]{0,40})?[\"“”]+(?:the\s+)?([A-Z][^\"“”()]{1,40}?)[,.]?[\"“”]+[^()]{0,80}\)"
)
_SUFFIX = re.compile(r"\b(?:Inc|LLC|L\.L\.C|Ltd|Limited|Corp|Corporation|Company|Co|LP|L\.P|PLC|plc|N\.A|S\.A|GmbH|B\.V|AG|LLP|Trust|University|Partnership|Bank|Foundation|Institute)\b", re.IGNORECASE)
_MAX_NAME = 120
_MAX_PARTIES = 8
_AND = re.compile(r"[\s,)]and\s+(?=[A-Z(])")
_ABBREVIATED = re.compile(r"\b(?:Inc|Ltd|Co|Corp|L\.P|S\.A|N\.A|B\.V|L\.L\.C)\.$", re.IGNORECASE)
_NOT_ROLES = frozenset({"agreement", "effective date", "parties", "party", "board", "term"})
_NOT_NAMES = frozenset({"the", "this", "agreement", "a", "an", "and", "between", "effective date"})


def read_parties(text: str) -> tuple[Party, ...]:
    """Read the names and the defined terms that the opening gives the parties; () where the opening has another form."""
    head = text[:_HEAD]
    for opening in _OPENING.finditer(head):
        close = _CLOSE.search(head, opening.end() + 20)
        end = min(close.start() if close else len(head), opening.end() + 2_500)
        found = tuple(_parties(text, opening.end(), end))
        if len(found) >= 2:
            return found[:_MAX_PARTIES]
    return ()


def _parties(text: str, start: int, end: int) -> Iterator[Party]:
    """Every defined term in the opening belongs to the name that begins its stretch."""
    at = start
    for role in _ROLE.finditer(text, start, end):
        party = _party(text, at, role.start(), " ".join(role.group(1).split()))
        if party is not None:
            yield party
        at = role.end()
    if at == start:
        for piece in re.finditer(r"[^;]+?(?:\s+and\s+|;|$)", text[start : min(end, start + 400)]):
            party = _party(text, start + piece.start(), start + piece.end(), "")
            if party is not None and _SUFFIX.search(party.name):
                yield party


def _party(text: str, start: int, end: int, role: str) -> Party | None:
    """Read the name that a stretch of the opening gives: a company's before any other, and after "and" where there is one."""
    if role.lower() in _NOT_ROLES:
        return None
    names = [match for match in _NAME.finditer(text, start, end) if _is_name(match.group(0))]
    joint = _AND.search(text, start, end)
    later = [match for match in names if joint is not None and match.start() >= joint.end()]
    companies = [match for match in (later or names) if _SUFFIX.search(match.group(0))]
    for match in [*companies, *later, *names]:
        name = match.group(0).rstrip(" ,(")
        # A full stop after Inc or Ltd is the name's own; after anything else it ends a sentence.
        name = name if _ABBREVIATED.search(name) else name.rstrip(".")
        span = Span(start=match.start(), end=match.start() + len(name), quote=name)
        return Party(name=" ".join(name.split()), role=role, span=span)
    return None


def _is_name(words: str) -> bool:
    bare = words.strip(" ,.(").lower()
    return 3 <= len(bare) <= _MAX_NAME and bare not in _NOT_NAMES and any(letter.isalpha() for letter in bare)
