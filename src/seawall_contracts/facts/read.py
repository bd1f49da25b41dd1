"""All rules together."""

from seawall_contracts.facts.dates import read_dates
from seawall_contracts.facts.kind import read_kind
from seawall_contracts.facts.law import read_law
from seawall_contracts.facts.parties import read_parties
from seawall_contracts.facts.values import read_values
from seawall_contracts.schema import Fact, Facts, Party, Span

# The rules know one blank and no lone surrogates; each replacement is one character long, so that offsets hold.
_BLANKS = "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"


def read_facts(text: str) -> Facts:
    """Read what rules can tell; whatever they cannot is left empty. Linear in the length of the text."""
    plain = _plain(text)
    title, kind, score = read_kind(plain)
    law, law_facts = read_law(plain)
    effective, expiration, dates = read_dates(plain)
    return Facts(
        document_type=kind,
        document_type_score=score,
        title=title,
        parties=tuple(_party(text, party) for party in read_parties(plain)),
        governing_law=law,
        effective_date=effective,
        expiration_date=expiration,
        facts=tuple(_fact(text, fact) for fact in (*law_facts, *dates, *read_values(plain))),
    )


def _plain(text: str) -> str:
    if text.isascii():
        return text
    for blank in _BLANKS:
        # Looking is ten times cheaper than str.translate, which goes through the text character by character.
        if blank in text:
            text = text.replace(blank, " ")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _span(text: str, span: Span) -> Span:
    """Quote the document itself, where the rules read a plainer copy of it."""
    quote = text[span.start : span.end]
    return span if quote == span.quote else Span(start=span.start, end=span.end, quote=quote)


def _fact(text: str, fact: Fact) -> Fact:
    return fact.model_copy(update={"span": _span(text, fact.span)})


def _party(text: str, party: Party) -> Party:
    return party if party.span is None else party.model_copy(update={"span": _span(text, party.span)})
