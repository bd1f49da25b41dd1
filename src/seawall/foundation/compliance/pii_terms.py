"""What looks like a name in a contract and is none: the terms that it defines, offices, headings."""

from seawall.foundation.compliance.pii_patterns import NOT_NAMES
from seawall.foundation.patterns import compile_pattern

_MOST_TERMS = 5_000
_QUOTED = r"[\"“”‘’'«]{1,2}(?:the |an? |each,? an? )?([A-Za-z][A-Za-z&/ -]{1,60})[\"“”‘’'»]{1,2}"
_THINGS = "each such any no this that these those schedule annex appendix january february march july september october november december"
_BEFORE_THINGS = frozenset(_THINGS.split())
_DEFINITIONS = (
    # ("Seller"), (the “Company”), (each a "Party"), (hereinafter referred to as the 'Client')
    compile_pattern(rf"\((?:[A-Za-z, ]{{0,60}})?{_QUOTED}"),
    # collectively, "Agents"; and "Buyer" or "Customer") within one definition
    compile_pattern(rf"(?i)(?:\bor|\band|collectively,?|individually,?|each,? an?) (?:the )?{_QUOTED}"),
    # "Seller" means ..., hereinafter called "Seller"
    compile_pattern(rf"{_QUOTED},? (?:means?|shall mean|has the meaning|refers? to|includes?)\b"),
    compile_pattern(
        rf"(?i)(?:called|referred to(?: herein| hereinafter)? as|known as|hereinafter|hereafter|herein|termed)[,:]? (?:the |as |called |referred to as )?(?:the )?{_QUOTED}"
    ),
    # a term on a line of its own, "Seller" stands for ...; "Acme," "Wilcox," and other marks in a row
    compile_pattern(rf"(?m)^[ \t]*{_QUOTED}[ \t]*$"),
    compile_pattern(rf"{_QUOTED}\s{{1,4}}(?:stands for|denotes|concerns|designates|is defined)\b"),
    compile_pattern(r"[\"“]([A-Z][A-Za-z&/ -]{1,60}),[\"”] (?:and |or )?[\"“]"),
    compile_pattern(
        r"(?:hereinafter|hereafter|herein)(?: called| referred to as)? (?:the )?([A-Z][A-Za-z-]{1,30}(?: [A-Z][A-Za-z-]{1,30}){0,3})"
    ),
)


def defined_terms(text: str) -> frozenset[str]:
    """Return the terms that the text defines, in small letters, without articles; at most 5,000 of them."""
    terms: set[str] = set()
    plain = text.encode("utf-8", "replace").decode()
    for pattern in _DEFINITIONS if any(mark in plain for mark in "\"“”'‘«") or "herein" in plain else ():
        for match in pattern.finditer(plain):
            term = " ".join((match.group(1) or "").lower().split())
            terms.add(term)
            if len(terms) >= _MOST_TERMS:
                return frozenset(terms)
    return frozenset(terms)


def is_person(text: str, start: int, end: int, terms: frozenset[str]) -> bool:
    """Whether what was taken for a person may be one: no term that the text defines, no office, heading or month.

    In small letters a name counts only where its whole line is written so.
    """
    name = text[start:end]
    words = [word.strip(".,'") for word in name.replace("’", "'").removesuffix("'s").lower().split()]
    if not name[0].isalpha() or not any(len(word) > 1 for word in words) or any(map(str.isdigit, name)):
        return False
    if name.islower() and not text[text.rfind("\n", 0, start) + 1 : start + 200].split("\n", 1)[0].islower():
        return False
    if " ".join(words) in terms or any(word in terms for word in words) or words[0] in _BEFORE_THINGS:
        return False
    return not (words[0] in NOT_NAMES or words[-1] in NOT_NAMES)
