"""Who the contracting parties are: the names in the agreement's opening, and the defined terms they go by."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from seawall.foundation import compile_pattern
from seawall_contracts.schema import Party, Span

_HEAD = 12_000
_OPENING = compile_pattern(
    r"(?i)\b(?:between|among|amongst|parties\s*:|party\s+[a1]\s*:)|\bPARTIES\s*(?:\n|\(1\)|\(a\))|"
    r"\b(?:made|entered\s+into|concluded)\s[^.;]{0,60}?\bby\s|\bsets\s+out\s+the\s+terms\b"
)
_WRAPPED = re.compile(r"(?<=[^\n])\n(?=[^\n])")
_CLOSE = compile_pattern(
    r"(?i)W\s?I\s?T\s?N\s?E\s?S\s?S\s?E\s?T\s?H|\brecitals?\b|\bwhereas\b|\bnow,?\s+therefore\b|\bbackground\b|"
    r"\b1\.\s+[a-z]|\barticle\s+(?:1|I)\b|agree(?:s|d)?\s+as\s+follows|\btable\s+of\s+contents\b|\bin\s+consideration\b"
)
_REACH = 3_000
# Where a name may begin.
_ANCHOR = compile_pattern(
    r"(?i)(?:\b(?:between|among|amongst|and|parties|by|which|to)\b|[;:)]|\bparty\s+[a-d1-4]\s*:)[\s:,;*_–—-]*"
    r"(?:\(?(?:[0-9]|[a-d]|i{1,3})\)\s*|\bthe\s+)?"
)
_SUFFIX = (
    r"(?i:Inc|Incorporated|LLC|L\.L\.C|Ltd|Limited|Corp|Corporation|Company|Co|LP|L\.P|PLC|P\.L\.C|N\.A|N\.V|S\.?A\.?S|S\.A|S/A|"
    r"S\.?p\.?A|S\.?r\.?l|S\.R\.L|GmbH|B\.V|BV|AG|A/S|AB|LLP|L\.L\.P|KG|K\.K|FSB|G\.I\.E|Pty|Bhd|Trust|University|Partnership|Bank|Foundation|Institute|"
    r"Association|Hospital|Fund|Holdings|Bancorp)\b\.?"
)
_HAS_SUFFIX = compile_pattern(rf"\b{_SUFFIX}")
# Words up to a comma, a bracket or a description, and the legal forms that a comma may come before.
_NAME = compile_pattern(
    rf"^([A-Za-z0-9][^,;()“”\"\n*]{{1,110}}?(?:\s?,?\s+{_SUFFIX})*(?:\s\([A-Za-z]{{2,20}}\)(?:\s+{_SUFFIX}|,\s+{_SUFFIX})*)?)"
    r"(?:\s*[,;()“”\"*]|\s*\n|\s+(?:an?\s+[A-Z(]|an?\s+(?:corporation|company|limited|private|public|individual)|and\b|AND\b|And\b|with\s|having\s|"
    r"located\s|whose\s|organi[sz]ed\s|established\s|incorporated\s+(?:in|under)|of\s+[0-9]|address|dba\b|d/b/a|hereinafter|"
    r"herein\b|HEREINAFTER|referred\s)|\.\s*\n|\s{3,}|\s*$)"
)
_DESCRIBED = compile_pattern(
    r"^[\s,*]{0,5}(?:an?\s(?:[\w.’'&/-]+\s){0,7}?(?i:corporation|company|partnership|individual|association|trust|bank|university|"
    r"limited|resident|citizen|organi[sz]ation|entity|LLC)\b|(?:with|having|located|whose|organi[sz]ed|residing|of\s+[0-9]))"
)
_BRACKET = compile_pattern(r"\(([^()]{1,220})\)")
_QUOTED = compile_pattern(r"[\"“”'‘]+(?:the\s)?([A-Za-z][^\"“”'()]{0,39}?)[,.]?[\"“”'’]+")
_CALLED = compile_pattern(
    r"(?i)(?:herein(?:after)?|referred\s+to|called|known|designated)\s+(?:[a-z]+\s+){0,6}?[\"“]([^\"“”]{2,40})[,.]?[\"”]"
)
_PLAIN_TERM = compile_pattern(r"^\((?:hereinafter\s+)?(?:the|as)\s+([A-Z][\w ]{1,30})\)$")
_FILING = compile_pattern(r"(?i)source\s*:[\s:]*$")
_LETTER = compile_pattern(r"(?i)^party\s+[a-d1-4]")
_NOT_ROLES = frozenset(
    {"agreement", "effective date", "parties", "party", "board", "term", "prc", "amendment", "execution date"}
)
_NOT_FIRST = frozenset({
    "the", "this", "that", "a", "an", "and", "its", "it", "his", "her", "their", "each", "any", "all", "such", "which", "both", "as", "in",
    "is", "are", "between", "among", "by", "for", "of", "to", "or", "parties", "agreement", "whereas", "hereby", "effective", "these",
    "collectively", "individually", "together", "entered", "with", "having", "located", "whose", "i.e", "if", "on", "at", "herein",
    "hereinafter", "dated", "made", "address", "shall", "has", "certain", "party", "state", "laws", "delaware", "us", "you", "we", "wales",
    "consulting", "services", "bank", "company", "distributor", "vendor", "agent",
})  # fmt: skip
_SMALL = frozenset(
    {"of", "and", "the", "for", "de", "la", "el", "van", "von", "der", "du", "und", "et", "y", "&", "in", "e"}
)
_NEAR = 420
_MOST_OPENINGS = 12
_MAX_PARTIES = 8


@dataclass(frozen=True, slots=True)
class _Named:
    start: int
    end: int
    letter: str


def read_parties(text: str) -> tuple[Party, ...]:
    """Read the names and the defined terms that the opening gives the parties; () where the opening has another form.

    Of several openings in the first pages (cover, table of contents, agreement), the first that defines terms for two
    parties counts, failing that the first with two names, and failing that one name with a term. Letters and schedules of parties are not read.
    """
    head = _unwrapped(text[:_HEAD])
    best: tuple[Party, ...] = ()
    for opening in islice(_OPENING.finditer(head), _MOST_OPENINGS):
        close = _CLOSE.search(head[opening.end() + 20 :])
        end = min(close.start() + opening.end() + 20 if close else len(head), opening.start() + _REACH)
        found = _unique(_with_roles(head, tuple(_names(head, opening.start(), end)), end))
        if sum(1 for party in found if party.role) >= 2:
            return found[:_MAX_PARTIES]
        if len(found) > min(len(best), 1) and (len(found) > 1 or any(party.role for party in found)):
            best = found[:_MAX_PARTIES]
    return best


def _unwrapped(head: str) -> str:
    """Turn line ends inside paragraphs, as PDF pages have them, into blanks: names go on over them."""
    return _WRAPPED.sub(" ", head)


def _names(head: str, start: int, end: int) -> Iterator[_Named]:
    """Find what begins where a name may and looks like one: by its legal form, by its description, or by its term."""
    at = start
    region = head[start:end]
    for anchor in _ANCHOR.finditer(region):
        begin = anchor.end() + start
        if begin < at:
            continue
        ahead = head[begin : min(end, begin + 200)]
        match = _NAME.search(ahead) if _may_begin(ahead) else None
        if match is None:
            continue
        name = _trimmed(match.group(1) or "")
        if _FILING.search(head[max(0, begin - 12) : begin]):
            continue
        letter = (
            " ".join((anchor.group() or "").strip(" :").split()).title()
            if _LETTER.search(anchor.group() or "")
            else ""
        )
        if _is_name(
            name, head[begin + len(name) : min(end, begin + len(name) + 160)], is_lettered=bool(letter)
        ):
            yield _Named(begin, begin + len(name), letter)
            at = begin + len(name)


def _may_begin(ahead: str) -> bool:
    """Whether the first word can be a name's: most that follow an "and" cannot, and are passed over cheaply."""
    first = ahead.split(maxsplit=1)[:1]
    is_marked = any(not sign.islower() for word in first for sign in word.rstrip(".,:;"))
    return is_marked and first[0].strip(".,:*").lower() not in _NOT_FIRST


def _trimmed(name: str) -> str:
    bare = name.rstrip(" ,(\t\r")
    # A full stop after Inc or S.A is the name's own; after anything else it ends a sentence.
    is_abbreviated = any(match.end() == len(bare) for match in _HAS_SUFFIX.finditer(bare))
    return bare if is_abbreviated else bare.rstrip(".")


def _is_name(name: str, after: str, *, is_lettered: bool) -> bool:
    words = name.split()
    if not words or len(name) < 2 or len(words) > 14 or words[0].strip(".,:*").lower() in _NOT_FIRST:
        return False
    has_form = _HAS_SUFFIX.search(name) is not None and len(words) > 1
    if words[0].isdigit() or not (
        _is_capitalised(words[1:] if has_form else words) or _is_coined(words, after)
    ):
        return False
    if has_form or is_lettered:
        return (
            any(sign.isupper() or sign.isdigit() or sign == "." for sign in words[0])
            or is_lettered
            or _DESCRIBED.search(after) is not None
        )
    bracket = _BRACKET.search(after)
    if bracket is None or not _role(bracket.group() or ""):
        return False
    return not after[: bracket.start()].strip(" ,") or _DESCRIBED.search(after) is not None


def _is_coined(words: list[str], after: str) -> bool:
    """Whether it is a name without capitals that is described as a company at once: i-on interactive, a Florida corporation."""
    described = _DESCRIBED.search(after)
    return len(words) <= 2 and described is not None and (described.group() or "").startswith(", a")


def _is_capitalised(words: list[str]) -> bool:
    """Whether all words have capitals but the small ones that names have inside and legal forms."""
    return all(
        not word[0].islower() or word in _SMALL or "." in word or _HAS_SUFFIX.search(word) is not None
        for word in words
    )


def _with_roles(head: str, names: tuple[_Named, ...], end: int) -> Iterator[Party]:
    """Give each name the first defined term that stands between it and the next name."""
    for number, named in enumerate(names):
        until = names[number + 1].start if number + 1 < len(names) else min(end, named.end + _NEAR)
        quote = head[named.start : named.end]
        role = _role(head[named.end : until]) or named.letter
        yield Party(
            name=" ".join(quote.split()), role=role, span=Span(start=named.start, end=named.end, quote=quote)
        )


def _role(stretch: str) -> str:
    for bracket in _BRACKET.finditer(stretch):
        plain = _PLAIN_TERM.search(bracket.group() or "")
        if plain is not None:
            return plain.group(1) or ""
        for quoted in _QUOTED.finditer(bracket.group() or ""):
            role = " ".join((quoted.group(1) or "").split())
            if role.lower() not in _NOT_ROLES and "date" not in role.lower():
                return role
    called = _CALLED.search(stretch)
    return " ".join((called.group(1) or "").split()) if called else ""


def _unique(parties: Iterator[Party]) -> tuple[Party, ...]:
    """Keep each name once, with the first term it was given."""
    kept: dict[str, Party] = {}
    for party in parties:
        known = kept.get(party.name.casefold())
        if known is None or (party.role and not known.role):
            kept[party.name.casefold()] = party
    return tuple(kept.values())
