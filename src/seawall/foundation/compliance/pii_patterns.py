"""The shapes of personal data: patterns, and the checks that tell a number from a number of something else."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from stdnum import iban, luhn

from seawall.foundation.patterns import Pattern, compile_pattern

CHECKED, CUED, SHAPED = 3, 2, 1
"""How certain a rule is: a checksum holds, a word before it says so, or it only looks like it."""

Trim = Callable[[str, str], int]
"""From a candidate and the text before it to how many of its characters count; 0 for none."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Finds candidates of one kind: group 1 of the pattern, as far as `trim` lets them stand."""

    kind: str
    pattern: Pattern
    certainty: int
    trim: Trim


def _whole(found: str, before: str) -> int:
    return len(found.rstrip(" \t.,;:-'"))


def _url(found: str, before: str) -> int:
    # RE2 knows fewer blanks than Python does, and a pattern that names them all has an automaton ten times as large.
    found = found.split(maxsplit=1)[0]
    end = _whole(found, before)
    while end and found[end - 1] == ")" and found.count("(", 0, end) < found.count(")", 0, end):
        end = _whole(found[: end - 1], before)
    return end


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter in "0123456789")


def _card(found: str, before: str) -> int:
    digits = _digits(found)
    if not luhn.is_valid(digits) or len(set(digits)) < 2:
        return 0
    cued = _CARD_CUE.search(before) is not None
    # A random number passes Luhn one time in ten: without a word for it, length and issuer must fit too.
    issued = (
        digits[0] in "3456"
        or digits[:2] in {"22", "23", "24", "25", "26", "27"}
        or digits[:4] in {"1800", "2131"}
    )
    return len(found) if cued or (issued and 15 <= len(digits) <= 16) else 0


def _iban(found: str, before: str) -> int:
    length = _IBAN_LENGTHS.get(found[:2].upper(), 0)
    end = at = 0
    while length and end < len(found):
        at += found[end] != " "
        end += 1
        if at == length:
            return end if iban.is_valid(found[:end], check_country=False) else 0
    return 0


def _ssn(found: str, before: str) -> int:
    digits = _digits(found)
    possible = digits[:3] not in {"000", "666"} and digits[3:5] != "00" and digits[5:] != "0000"
    return len(found) if possible else 0


def _ipv4(found: str, before: str) -> int:
    octets = [int(octet) for octet in found.split(".")]
    if max(octets) > 255:
        return 0
    # Section 12.3.1.2 and version 2.0.1.4 have the same shape.
    return len(found) if max(octets) > 99 or _IP_CUE.search(before) else 0


def _ipv6(found: str, before: str) -> int:
    try:
        ipaddress.IPv6Address(found)
    except ValueError:
        return 0
    return len(found) if len(found) > 6 else 0


def _phone(found: str, before: str) -> int:
    found = found.rstrip(" .(-")
    mixed = "." in found and "-" in found
    if mixed or _NOT_A_LINE.search(before):
        return 0
    return len(found) if 7 <= len(_digits(found)) <= 15 and _DATE.fullmatch(found) is None else 0


def _numbered(found: str, before: str) -> int:
    found = found.rstrip("-.")
    return len(found) if len(_digits(found)) >= 4 else 0


def _street(found: str, before: str) -> int:
    if _NOT_A_HOUSE.search(before) or _COURT_OF_LAW.search(found):
        return 0
    return _whole(found, before)


def _person(found: str, before: str) -> int:
    words = found.split()
    kept = 0
    for word in words:
        if word.strip(".,'’").lower() in NOT_NAMES:
            break
        kept += 1
    if kept == 0 or (kept < len(words) and kept < 2):
        return 0
    end = 0
    for word in words[:kept]:
        end = found.index(word, end) + len(word)
    # A full stop ends the sentence, unless it ends an initial.
    return end - 1 if found[:end].endswith(".") and len(words[kept - 1]) > 3 else end


# Words that follow the same cues and are offices, parties or headings.
_OFFICES = """
    a accountant accounting accounts act address admin administration administrator affairs affiliate agent
    agreement all america and any apt article as assistant associate attention attn attorney attorneys
    authorized avp bank banking board borrower brand business buyer by cao capital care ceo cfo chair
    chairman chairperson chief city clause clerk client cmo commercial communications company compliance
    comptroller consultant contract contracts controller coo coordinator corp corporate corporation counsel
    cto customer date dba department dept development director disclosing distributor division drive e-mail
    each email employee employer engineering esq every evp executive exhibit facsimile fax federal finance
    financial firm first floor for franchise franchisee franchisor from fund general global group head
    holder holdings hr human if in inc incorporated individual information insurance international investor
    issuer it its latin legal lender lessee lessor liability licensee licensor limited list llc llp lp ltd
    management manager managing manufacturer marketing md member merchant n/a name national no none notice
    notices number of office officer operating operations owner p.o partner partners partnership party
    payable phone plan planning position president principal print printed procurement product products
    program project provider purchaser purchasing receiving recipient regulatory relations representative
    research resources road room sales secretary section seller senior service services shareholder
    signature sponsor state stockholder street suite supplier supply support svp tel telephone tenant the
    this title to treasurer treasury trust trustee unit university us vendor vice vp web website witness
"""
NOT_NAMES = frozenset(_OFFICES.split())

# Lengths by country, from the registry of IBANs (ISO 13616).
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        line.split(":")
        for line in """15:NO|16:BE|18:DK FO FI GL NL SD|19:MK SI|20:AT BA EE KZ XK LT LU MN|21:HR LV LI CH|22:BH BG CR GE DE IE ME RS GB VA
            |23:GI IL TL IQ OM SO AE|24:AD CZ MD PK RO SA SK ES SE TN VG|25:LY PT ST|26:IS TR|27:BI DJ FR GR IT MC MR SM|28:AL AZ BY CY DO
            SV GT HU LB NI PL|29:BR EG PS QA UA|30:JO KW MU YE|31:MT SC|32:LC|33:RU FK""".replace(
            "FK", ""
        ).split("|")
    )
    for country in countries.split()
}
_CARD_CUE = compile_pattern(
    r"(?i)\b(?:card|cc|visa|master ?card|maestro|amex|american express)\b[^\n]{0,40}$"
)
_IP_CUE = compile_pattern(r"(?i)\b(?:ip|host|server|gateway|subnet)\b[^\n]{0,25}$")
_DATE = compile_pattern(r"(?:\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ](?:\d{2}|\d{4}))")
# Clause numbers of the Code of Federal Regulations have the shape of phone numbers.
_NOT_A_LINE = compile_pattern(
    r"(?i)(?:\bd?fars?|c\.?f\.?r\.?|§+|sections?|clauses?|parts?|no\. ?[A-Z]{1,4}-?)[ .:]{0,3}$"
)
_NOT_A_HOUSE = compile_pattern(
    r"(?i)(?:sections?|articles?|clauses?|exhibits?|schedules?|paragraphs?|rules?|§+|no\.|nos\.|\$|page|chapter) ?$"
)
_COURT_OF_LAW = compile_pattern(
    r"(?i)\b(?:supreme|district|circuit|superior|federal|county|appeals?|bankruptcy|chancery|business|days?|months?|"
    r"years?|u\.s\.|states?|january|february|march|april|may|june|july|august|september|october|november|december)\b"
)

# Letters of the alphabets that addresses and names are written in; \pL would make patterns too large for RE2.
_L = r"A-Za-z\x{C0}-\x{24F}\x{370}-\x{1FFF}\x{3040}-\x{D7FF}"
_LU = r"A-Z\x{C0}-\x{DE}\x{100}-\x{17F}\x{386}-\x{3AB}\x{400}-\x{42F}"
_LOCAL = rf"[{_L}\d._%+'-]*[{_L}\d_%+-]"
_LABEL = rf"[{_L}\d-]*[{_L}\d]"
_URL_BODY = r"[^\s<>\"'`{}|\\^\[\]⟦⟧]{1,400}"
_NAME_WORD = rf"[{_LU}][{_L}'’-]*\.?"
_MORE_NAME = rf"(?:[ \t]{{1,3}}(?:(?:de|da|di|van|von|der|den|la|le|bin|al)[ \t])?{_NAME_WORD})"
_NAME = rf"{_NAME_WORD}{_MORE_NAME}{{0,3}}"
_FULL_NAME = rf"{_NAME_WORD}{_MORE_NAME}{{1,3}}"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_ANY_DATE = (
    rf"(?:\d{{1,4}}[-./]\d{{1,2}}[-./]\d{{1,4}}|{_MONTH}\.?,? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH}\.?,? \d{{4}})"
)
_NUMBER = r"(?:\+|\(\+?)?\d[\d ().-]{4,20}\d"
_STREET_TYPE = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Way|Parkway|"
    r"Pkwy|Highway|Hwy|Circle|Cir|Plaza|Trail|Crescent|Close|Alley|Crossroad|Turnpike|STREET|AVENUE|ROAD|BOULEVARD|"
    r"LANE|DRIVE|PLACE|SQUARE|PARKWAY|HIGHWAY|PLAZA)"
)
_UNIT = r"(?:,?\s{1,3}(?i:suite|ste\.?|apt\.?|apartment|floor|unit|room|rm\.?|#)[ .]{0,2}[\w-]{1,8}|,?\s{1,3}\w{1,8} (?i:floor))"
_TOWN = rf"(?:[,\s]{{1,4}}[{_LU}][{_L}.'-]+(?: [{_LU}][{_L}.'-]+){{0,2}},?\s{{1,3}}[A-Z]{{2}}\s{{1,3}}\d{{5}}(?:-\d{{4}})?)"

_EMAIL = compile_pattern(rf"({_LOCAL}@{_LABEL}(?:\.{_LABEL}){{1,6}})")
_URL = compile_pattern(rf"(?i)\b((?:https?|ftp)://{_URL_BODY})")
_DOMAIN = compile_pattern(rf"(?i)\b(www\d?\.{_LABEL}(?:\.{_LABEL}){{1,5}}(?:/{_URL_BODY})?)")

RULES = (
    Rule("EMAIL_ADDRESS", _EMAIL, CHECKED, _whole),
    Rule("URL", _URL, CHECKED, _url),
    Rule("DOMAIN_NAME", _DOMAIN, CUED, _url),
    Rule(
        "CREDIT_CARD",
        compile_pattern(r"\b(\d{12,19}|\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{6}[ -]\d{4,5})\b"),
        CHECKED,
        _card,
    ),
    Rule(
        "IBAN_CODE",
        compile_pattern(r"(?i)\b([a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?)\b"),
        CHECKED,
        _iban,
    ),
    Rule("US_SSN", compile_pattern(r"\b(\d{3}-\d{2}-\d{4})\b"), CUED, _ssn),
    Rule(
        "US_SSN",
        compile_pattern(r"(?i)\b(?:ssn|social security)\b[^\d\n]{0,20}(\d{3}[ -]?\d{2}[ -]?\d{4})\b"),
        CHECKED,
        _ssn,
    ),
    Rule("IP_ADDRESS", compile_pattern(r"\b((?:\d{1,3}\.){3}\d{1,3})\b"), CHECKED, _ipv4),
    Rule(
        "IP_ADDRESS",
        compile_pattern(r"(?i)((?:[0-9a-f]{1,4}:|::)(?:[0-9a-f]{0,4}:){1,6}[0-9a-f]{0,4})"),
        CHECKED,
        _ipv6,
    ),
    Rule("PHONE_NUMBER", compile_pattern(r"(\+\d[\d ().-]{6,20}\d)\b"), CUED, _phone),
    Rule(
        "PHONE_NUMBER",
        compile_pattern(
            r"((?:\b1[ .-]{0,2})?(?:\([2-9]\d\d\)[ -]{0,2}|\b[2-9]\d\d[-.])[2-9]\d\d[-. ]\d{4})\b"
        ),
        SHAPED,
        _phone,
    ),
    Rule(
        "PHONE_NUMBER",
        compile_pattern(
            r"(?i)\b(?:tel|telephone|phone|fax|facsimile|telecopier|telecopy|mobile|cell|whatsapp|call(?: (?:me|us|him|her))? "
            rf"(?:on|at)|answering at|messages? to|registered)\b[^\d+(\n]{{0,20}}({_NUMBER})\b"
        ),
        CUED,
        _phone,
    ),
    Rule(
        "PHONE_NUMBER",
        compile_pattern(rf"(?i)({_NUMBER})[ -]{{1,2}}\(?(?:office|fax|mobile|cell|home)\b"),
        CUED,
        _phone,
    ),
    Rule(
        "DATE_OF_BIRTH",
        compile_pattern(
            rf"(?i)\b(?:date of birth|d\.?o\.?b|born(?: on)?|birth ?(?:date|day))\b[^\d\n]{{0,12}}({_ANY_DATE})\b"
        ),
        CUED,
        _whole,
    ),
    Rule(
        "MEDICAL_RECORD_NUMBER",
        compile_pattern(
            r"(?i)\b(?:mrn|medical record(?: number| no| #)?|patient (?:id|number|no))\b[.:# ]{0,4}(?:is )?([a-z0-9-]{4,20})\b"
        ),
        CUED,
        _numbered,
    ),
    Rule(
        "ACCOUNT_NUMBER",
        compile_pattern(
            r"(?i)\b(?:(?:account|acct|routing|aba|sort code|policy|member)\.? ?(?:number|no|num|#|code)|acct|a/c|aba|swift)"
            r"[.:# ]{0,4}(?:is )?([a-z0-9][a-z0-9-]{3,33})\b"
        ),
        CUED,
        _numbered,
    ),
    Rule(
        "PASSPORT_NUMBER",
        compile_pattern(r"(?i)\bpassport(?: number| no| #)?[.:# ]{0,4}(?:is )?([a-z]{0,2}\d[a-z0-9]{5,9})\b"),
        CUED,
        _numbered,
    ),
    Rule(
        "US_DRIVER_LICENSE",
        compile_pattern(
            r"(?i)\bdriver['’]?s? licen[sc]e(?: number| no| #)?[.:# ]{0,4}(?:is )?([a-z0-9-]{5,20})\b"
        ),
        CUED,
        _numbered,
    ),
    Rule(
        "STREET_ADDRESS",
        compile_pattern(
            rf"\b(\d{{1,6}}(?:-\d{{1,5}}|[A-Z])?(?:,? [NSEW]\.?)?(?: (?:[{_LU}][{_L}.'’-]{{0,20}}|\d{{1,3}}(?:st|nd|rd|th|ST|ND|RD|TH))){{1,4}} "
            rf"{_STREET_TYPE}\b\.?(?:,? [NSEW][EW]?\b\.?)?{_UNIT}{{0,2}}{_TOWN}?)"
        ),
        CUED,
        _street,
    ),
    Rule(
        "STREET_ADDRESS",
        compile_pattern(r"\b((?i:p\.? ?o\.? box|post office box) \d{1,7}(?:-\d{4})?)\b"),
        CUED,
        _whole,
    ),
    Rule(
        "STREET_ADDRESS",
        compile_pattern(
            r"\b((?:PSC|CMR|Unit|USS|USNS|USNV|USCGC) [\w, ]{2,24}\s(?:APO|FPO|DPO) A[AEP] \d{5})\b"
        ),
        CHECKED,
        _whole,
    ),
    Rule(
        "STREET_ADDRESS",
        compile_pattern(
            r"(?i)\b(?:lives? at|resid(?:es|ing) at|(?:home|my|his|her|billing|mailing|new) address(?: is)?)\b[ :]{1,3}"
            rf"([{_L}\d][{_L} .'’-]{{0,40}}\d[{_L}\d .,'’#/-]{{3,60}})"
        ),
        CUED,
        _whole,
    ),
    Rule("PERSON", compile_pattern(rf"/[sS]/[ \t]{{0,8}}({_FULL_NAME})"), CHECKED, _person),
    Rule(
        "PERSON",
        compile_pattern(
            rf"\b(?:(?:Full |Printed |Print |Patient |Employee )?Name|NAME|Patient|PATIENT)[ \t]{{0,3}}:[ \t]{{0,8}}({_FULL_NAME})"
        ),
        CUED,
        _person,
    ),
    Rule(
        "PERSON",
        compile_pattern(
            rf"\b(?:Attention|ATTENTION|Attn|ATTN|Attn\.|ATTN\.)[ \t]{{0,3}}:[ \t]{{0,8}}({_FULL_NAME})"
        ),
        CUED,
        _person,
    ),
    Rule("PERSON", compile_pattern(rf"\b(?:Mr|Mrs|Ms|Dr|Prof)\.[ \t]{{1,2}}({_NAME})"), CUED, _person),
    Rule("PERSON", compile_pattern(rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Professor)[ \t]({_NAME})"), CUED, _person),
)
