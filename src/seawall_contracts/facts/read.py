"""All rules together."""

from seawall_contracts.facts.dates import read_dates
from seawall_contracts.facts.kind import read_kind
from seawall_contracts.facts.law import read_law
from seawall_contracts.facts.parties import read_parties
from seawall_contracts.facts.values import read_values
from seawall_contracts.schema import Facts


def read_facts(text: str) -> Facts:
    """Read what rules can tell; whatever they cannot is left empty. Linear in the length of the text."""
    title, kind, score = read_kind(text)
    law, law_facts = read_law(text)
    effective, expiration, dates = read_dates(text)
    return Facts(
        document_type=kind,
        document_type_score=score,
        title=title,
        parties=read_parties(text),
        governing_law=law,
        effective_date=effective,
        expiration_date=expiration,
        facts=(*law_facts, *dates, *read_values(text)),
    )
