"""The eighteen identifiers of HIPAA's Safe Harbor, and how far text is rid of each before a model reads it.

Source: 45 CFR 164.514(b)(2)(i). Whether what is left could identify somebody (164.514(b)(2)(ii)) no program can know.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from seawall.evals.probe import Coverage, Line, Probe
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pii_thorough import find_pii_thorough
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault

# A token's own digits are random and may hold anything, a short value among it.
_TOKEN = re.compile("⟦[^⟧]*⟧")
Kind = Literal["automatic", "partial", "not text"]
_COVERAGE: dict[Kind, Coverage] = {"automatic": "covered", "partial": "partial", "not text": "not covered"}


@dataclass(frozen=True, slots=True)
class _Identifier:
    letter: str
    title: str
    kind: Kind
    left: str
    # A sentence, and what of it must be gone.
    samples: tuple[tuple[str, str], ...] = ()


_ALL = (
    _Identifier(
        "A", "Names", "partial", "names without a cue that no tagger knows",
        (("Attending physician: Dr. Maria Gonzales.", "Gonzales"), ("John Whitfield was seen today.", "Whitfield"),
         ("Signed: /s/ Priya Raman", "Priya Raman")),
    ),
    _Identifier(
        "B", "Geographic subdivisions smaller than a state", "partial", "place names that no tagger knows; all of a ZIP code goes, as whether its area has 20,000 people is not looked up",
        (("She lives at 1420 Maple Street, Springfield, IL 62704.", "1420 Maple Street"),
         ("He was born in Chicago.", "Chicago"), ("Ship it to Denver, CO 80202.", "80202")),
    ),
    _Identifier(
        "C", "Dates (but years), and ages over 89", "partial", "dates in words, such as 'last Tuesday'; years go as well where they stand in a date",
        (("Admitted on March 3, 2026.", "March 3"), ("DOB: 04/17/1951", "04/17/1951"),
         ("The patient is 93 years old.", "93")),
    ),
    _Identifier(
        "D", "Telephone numbers", "automatic", "numbers of foreign form without a + or a word that announces them",
        (("Call (202) 555-0143.", "555-0143"), ("Phone: +44 20 7946 0958", "7946 0958")),
    ),
    _Identifier(
        "E", "Fax numbers", "automatic", "as telephone numbers", (("Fax: 202-555-0187", "555-0187"),),
    ),
    _Identifier(
        "F", "E-mail addresses", "automatic", "addresses spelled out, as 'jane at example dot com'",
        (("Write to jane.roe@clinic.example.com.", "jane.roe@clinic.example.com"),),
    ),
    _Identifier(
        "G", "Social security numbers", "automatic", "nine digits in a row without a word that announces them",
        (("SSN: 078-05-1120", "078-05-1120"),),
    ),
    _Identifier(
        "H", "Medical record numbers", "partial", "numbers that no word such as MRN announces",
        (("MRN: 00482913", "00482913"),),
    ),
    _Identifier(
        "I", "Health plan beneficiary numbers", "partial", "numbers that no word such as Member ID announces",
        (("Member ID: XHP8837261940", "XHP8837261940"), ("Medicare number 1EG4-TE5-MK73", "1EG4-TE5-MK73")),
    ),
    _Identifier(
        "J", "Account numbers", "partial", "numbers that no word announces; cards and IBANs are found by their checksums",
        (("Card 4111 1111 1111 1111.", "4111 1111 1111 1111"), ("IBAN DE89 3704 0044 0532 0130 00", "0532 0130")),
    ),
    _Identifier(
        "K", "Certificate and license numbers", "partial", "licences but drivers', and those that no word announces",
        (("Driver's license: D400-7836-0001", "D400-7836-0001"),),
    ),
    _Identifier(
        "L", "Vehicle identifiers and serial numbers, license plates", "partial", "plates that no word announces; VINs are found by their check digit",
        (("His car, 1M8GDM9AXKP042788, was hit.", "1M8GDM9AXKP042788"), ("License plate: 7ABC-123", "7ABC-123")),
    ),
    _Identifier(
        "M", "Device identifiers and serial numbers", "partial", "numbers that no word such as serial number, IMEI or UDI announces",
        (("Pacemaker, serial number: PJN-2384-771", "PJN-2384-771"), ("IMEI 490154203237518", "490154203237518")),
    ),
    _Identifier(
        "N", "Web addresses (URLs)", "automatic", "hosts without a known ending",
        (("See www.roe-family.example.com/about.", "roe-family.example.com"),),
    ),
    _Identifier(
        "O", "IP addresses", "automatic", "",
        (("Logged in from 203.0.113.57.", "203.0.113.57"), ("From 2001:db8::8a2e:370:7334", "2001:db8::8a2e:370:7334")),
    ),
    _Identifier("P", "Biometric identifiers", "not text", "no file but text reaches a model through a guard that reads it: others are blocked"),
    _Identifier("Q", "Full-face photographs", "not text", "as biometric identifiers"),
    _Identifier(
        "R", "Any other unique number, characteristic or code", "partial", "codes of your own: what they look like nobody else knows",
        (("Passport number: X4839201", "X4839201"),),
    ),
)  # fmt: skip


def lines() -> list[Line]:
    """Return the eighteen, each with what shows how it is treated."""
    return [
        Line(
            id=f"(b)(2)(i)({one.letter})",
            title=one.title,
            coverage=_COVERAGE[one.kind],
            by=one.kind,
            left=one.left,
            probes=[
                Probe(f"{text!r} is sent without {value!r}", _gone(text, value))
                for text, value in one.samples
            ],
        )
        for one in _ALL
    ]


def _gone(text: str, value: str) -> Callable[[], Awaitable[bool]]:
    async def run() -> bool:
        vault = Vault(Pseudonyms(Keyring.ephemeral(), "probe"), find=find_pii_thorough)
        sent = vault.pseudonymise(text)
        return value not in _TOKEN.sub("", sent) and vault.restore(sent) == text

    return run
