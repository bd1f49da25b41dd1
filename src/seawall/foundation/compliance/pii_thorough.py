"""Personal data in letters, chats and forms: the rules of `find_pii`, more of them, and names without a cue.

For text whose reader wants it all and bears a name too many. Contracts are better served by `find_pii`: there, a
name too many is a party or a clause that the model no longer sees.
"""

import re
from collections.abc import Iterable

from seawall.foundation.compliance.pii import is_full_name, with_names
from seawall.foundation.compliance.pii_patterns import RULES
from seawall.foundation.compliance.pii_prose_patterns import FIRM, LOOSE
from seawall.foundation.compliance.pii_scan import Entity, Found, RuleSet, disjoint, fill_gaps, scan
from seawall.foundation.compliance.pii_terms import defined_terms, is_person

_FIRM = RuleSet((*RULES, *FIRM))
_LOOSE = RuleSet(LOOSE)
_RENAMED = {"URL": "DOMAIN_NAME", "DATE_OF_BIRTH": "DATE_TIME"}
_YIELDING = frozenset({"STREET_ADDRESS", "PERSON"})


def find_pii_thorough(text: str) -> list[Entity]:
    """Find personal data, names by a statistical tagger too, in order of place, none overlapping another.

    Kinds are PERSON, ORGANIZATION, GPE (places that are governed), NRP (peoples, creeds), STREET_ADDRESS, ZIP_CODE,
    EMAIL_ADDRESS, PHONE_NUMBER, CREDIT_CARD, IBAN_CODE, US_SSN, IP_ADDRESS, DATE_TIME, AGE, TITLE, DOMAIN_NAME,
    US_DRIVER_LICENSE, ACCOUNT_NUMBER, MEDICAL_RECORD_NUMBER, PASSPORT_NUMBER, HEALTH_PLAN_NUMBER,
    VEHICLE_IDENTIFIER, DEVICE_IDENTIFIER and CRYPTO_WALLET. A term that the text
    defines (`the "Seller"`) is no person. It misses names and takes other words for names: see MODEL_CARD.md for how often.
    """
    terms = defined_terms(text)
    cued: set[str] = set()

    def find(part: str) -> list[Found]:
        return [
            one for one in _find(part, cued) if one[2] != "PERSON" or is_person(part, one[0], one[1], terms)
        ]

    found = list(scan(text, find))
    # Who is given away once, and named again without a cue, is the same person.
    return with_names(text, found, (name for name in cued if is_full_name(name) and text.count(name) > 1))


def _find(text: str, cued: set[str]) -> list[Found]:
    from seawall.foundation.compliance.pii_tagger import tagger

    length = len(text)
    ruled = [
        (start, end, sure, _RENAMED.get(kind, kind)) for start, end, sure, kind in _FIRM.candidates(text)
    ]
    firm = disjoint((one for one in ruled if one[3] not in _YIELDING), length)
    yielding = disjoint((one for one in ruled if one[3] in _YIELDING), length)
    people = [one for one in yielding if one[2] == "PERSON"]
    cued.update(text[start:end] for start, end, _ in people)
    named = [
        one
        for one in tagger().find(text)
        if one[2] != "PERSON" or not tagger().ordinary(re.findall(r"\w+", text[one[0] : one[1]]))
    ]
    # A person given away by a cue is one, whatever the tagger says; an address is what the tagger says first.
    layers: Iterable[list[Found]] = (
        people,
        named,
        yielding,
        disjoint(_LOOSE.candidates(text), length),
    )
    for layer in layers:
        firm = fill_gaps(firm, layer)
    return firm
