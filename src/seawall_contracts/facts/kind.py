"""What kind of agreement it is, by its title and by the words it keeps coming back to."""

import re

from seawall.foundation import compile_pattern

TYPES: tuple[tuple[str, str], ...] = (
    (
        "nda",
        r"non[-‐‑–—\s]?\s?disclosure|confidentiality (?:and|agreement|undertaking|deed)|confidential (?:disclosure|evaluation)|secrecy agreement",
    ),
    ("amendment", r"\bamendment\b|\baddendum\b"),
    ("services", r"^(?:\w+ ){0,2}statement of work"),
    (
        "msa",
        r"master (?:[\w&-]+ ){0,3}(?:services?|subscription|consulting)\b|master agreement|framework agreement",
    ),
    ("license", r"licen[cs]e|licensing"),
    ("distribution", r"distribut(?:or|ion)|resell|reseller|dealer"),
    ("supply", r"\bsupply\b|manufactur|purchase agreement|procurement"),
    ("employment", r"employment"),
    ("consulting", r"consult(?:ing|ant|ancy)"),
    ("lease", r"\blease\b|tenancy"),
    ("franchise", r"franchis"),
    ("agency", r"agency agreement|agent agreement|\bagency\b"),
    ("loan", r"\bloan\b|credit agreement|promissory note|credit facility"),
    ("joint venture", r"joint venture"),
    ("alliance", r"alliance|collaborat|co-?operation|strategic"),
    ("development", r"development"),
    ("marketing", r"marketing|promotion|affiliate|co-?branding|endorsement|sponsorship|advertis"),
    ("hosting", r"hosting"),
    ("maintenance", r"maintenance|support agreement"),
    ("outsourcing", r"outsourc"),
    ("transportation", r"transport|shipping|freight|logistics"),
    ("services", r"servic(?:es?|ing)\b|statement of work"),
)
DOCUMENT_TYPES = (*dict.fromkeys(name for name, _ in TYPES), "other")
_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in TYPES)
_HEAD = 4_000
_TITLE_WORD = re.compile(
    r"\b(?:AGREEMENT|CONTRACT|AMENDMENT|ADDENDUM|UNDERTAKING|DEED|LETTER|TERMS|NDA|STATEMENT OF WORK)\b",
    re.IGNORECASE,
)
_MENTION = compile_pattern(
    r"(?i)confidential information|evaluation material|disclosing party|receiving party|proprietary information|confidential or proprietary|secret and confidential"
)
_THIS = re.compile(
    r"\bthis\s+([A-Z][\w&/,-]*(?:\s+[A-Z(][\w&/,)-]*){0,8}?\s+(?:Agreement|Contract|Amendment|Undertaking|Deed)|AGREEMENT)",
    re.IGNORECASE,
)
_SECRECY = compile_pattern(r"(?i)confiden|disclos|evaluation\s+material|proprietary|secre[ct]")
# Numbered clauses, contract numbers, and the notice that parts were left out of a public copy.
_NO_TITLE = compile_pattern(
    r"(?i)^[0-9]+\.[0-9.]*\s|\bcontract\s+no\b|confidential\s+(?:treatment|information\s+contained)|certain\s+portions|^source:|^[(]"
)
_LONGEST = 120
_MENTIONS_PER_1000 = 1.5


def read_kind(text: str) -> tuple[str, str, float]:
    """Return title, type and a score from 0 to 1: 0.9 by title, less by usage of words, 0 where it is `other`."""
    head = text[:_HEAD]
    title = _title(head)
    # A clause's title can stand first on a page; an NDA speaks of little else.
    is_secretive = sum(1 for _ in _SECRECY.finditer(text)) * 1_500 >= len(text)
    kind = _kind_of(title)
    if kind != "other" and (kind != "nda" or is_secretive):
        return title, kind, 0.9
    if _density(text) >= _MENTIONS_PER_1000:
        return title, "nda", 0.7
    named = _THIS.search(head)
    kind = _kind_of(named.group(0)) if named else "other"
    return (
        (title, kind, 0.6) if kind != "other" and (kind != "nda" or is_secretive) else (title, "other", 0.0)
    )


def _kind_of(words: str) -> str:
    return next((name for name, pattern in _PATTERNS if pattern.search(words)), "other")


def _density(text: str) -> float:
    return 1000 * sum(1 for _ in _MENTION.finditer(text)) / max(1, len(text))


def _title(head: str) -> str:
    """Pick the first short line that names a kind of agreement, or any agreement; failing that, the first with letters."""
    first = ""
    plain = ""
    for line in head.split("\n"):
        words = " ".join(line.split()).strip(" *#_")
        if not any(letter.isalpha() for letter in words) or _NO_TITLE.search(words):
            continue
        first = first or words[:_LONGEST]
        match = _TITLE_WORD.search(words)
        if match and (len(words) <= 100 or words[: match.end()].isupper()):
            found = (words[: match.end()] if len(words) > 100 else words)[-_LONGEST:]
            if _kind_of(found) != "other":
                return found
            plain = plain or found
    match = None if plain else _TITLE_WORD.search(head[:600])
    if match:
        start = (
            max(head.rfind("\n", 0, match.start()), head.rfind(". ", 0, match.start()), match.start() - 80)
            + 1
        )
        return " ".join(head[start : match.end()].split())
    return plain or first
