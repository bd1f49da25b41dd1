"""Shapes that are personal data in letters and chats, and far too common in contracts to be looked for there."""

from seawall.foundation.compliance.pii_patterns import CUED, SHAPED, Rule, Trim
from seawall.foundation.patterns import compile_pattern

_MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_VALUES = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "12345678123457923456789"), strict=True))
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_CLOCK = (
    r"(?:[T ,]{1,3}(?:at )?\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?: ?[ap]\.?m\b\.?)?(?:Z|[+-]\d{2}:?\d{2})?)"
)
_FEMALE_NOUN = "man|woman|male|female|boy|girl|patient|lady|gentleman|person|child|student|mother|father|m|f"


def _whole(found: str, before: str) -> int:
    return len(found)


def _age(found: str, before: str) -> int:
    return len(found) if 0 < int(found) < 125 else 0


def _has_digit(found: str, before: str) -> int:
    found = found.rstrip(" -")
    return len(found) if any(letter.isdigit() for letter in found) else 0


def _vin(found: str, before: str) -> int:
    """Keep a number whose ninth sign checks the others (49 CFR 565.15(c))."""
    total = sum(
        weight * (int(sign) if sign.isdigit() else _VIN_VALUES[sign])
        for weight, sign in zip(_VIN_WEIGHTS, found, strict=True)
    )
    return len(found) if "0123456789X"[total % 11] == found[8] else 0


def _rule(kind: str, pattern: str, trim: Trim = _whole, certainty: int = CUED) -> Rule:
    return Rule(kind, compile_pattern(pattern), certainty, trim)


FIRM = (
    _rule("DATE_TIME", rf"\b((?:19|20)\d\d-(?:0\d|1[0-2])-[0-3]\d{_CLOCK}?)"),
    _rule("DATE_TIME", rf"(?i)\b(\d{{1,2}}([-/.])\d{{1,2}}[-/.](?:\d{{4}}|\d{{2}}){_CLOCK}?)\b"),
    _rule("DATE_TIME", rf"(?i)\b((?:{_DAY},? )?{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}{_CLOCK}?)\b"),
    _rule(
        "DATE_TIME", rf"(?i)\b((?:{_DAY},? )?\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH},? \d{{4}}{_CLOCK}?)\b"
    ),
    _rule("AGE", r"(?i)\b(\d{1,3})(?:[ -]{1,2}years?[ -]{1,2}old|[ -]?y/?o\b| years? of age)", _age),
    _rule("AGE", rf"(?i)\b(\d{{1,3}})[ -]year[ -](?:{_FEMALE_NOUN})\b", _age),
    _rule(
        "AGE",
        r"(?i)\b(?:aged?(?: of)?|turn(?:s|ed|ing)?|age(?:d| is)?:|at the age of|birthday,? (?:i am|i'm|he is|she is))[ ]{1,2}(\d{1,3})\b",
        _age,
    ),
    _rule(
        "TITLE",
        r"\b((?:Mr|Mrs|Ms|Miss|Dr|Prof|Mx)\.?|Professor|Doctor|Miss) [A-Z\x{C0}-\x{DE}\x{100}-\x{17F}\x{386}-\x{3AB}\x{400}-\x{42F}]",
    ),
    _rule("TITLE", r"(?i)\b((?:mr|mrs|ms|dr|prof)\.) \pL"),
    _rule(
        "ZIP_CODE",
        r"(?i)\b(?:zip|postal ?code|post ?code|zip ?code)(?: ?code)?(?: number)?[ ]{0,3}(?:[:#=]|is)?(?: it'?s)?[ ]{0,8}([a-z0-9]{2,8}(?:[ -][0-9][a-z0-9]{1,4})?)\b",
        _has_digit,
    ),
    _rule(
        "US_DRIVER_LICENSE",
        r"(?i)\b(?:driv(?:er|ers|er['’]s|ing) ?(?:licen[sc]e|permit)|licen[sc]e number|DL)(?: ?(?:number|no\.?|id|#))?(?: is|:)?[ ]{1,3}([a-z]{0,3}[0-9][a-z0-9-]{4,18})\b",
        _has_digit,
    ),
    _rule(
        "PHONE_NUMBER",
        r"(?i)\b(?:phone(?: number)?|mobile(?: number)?|number|cell|tel|fax|call|ring|text|reach (?:me|us)|contact (?:me|us)|sms|answering|dial)(?: (?:me|us|him|her))?(?: (?:is|on|at|to))?[ :]{1,4}(\(?\+?\d[\d ().-]{4,18}\d(?: ?(?:x|ext\.?) ?\d{1,5})?)\b",
        lambda found, before: (
            len(found)
            if 6 < sum(map(str.isdigit, found)) < 16 and not (found.count("-") == 2 and found[4:5] == "-")
            else 0
        ),
        SHAPED,
    ),
    _rule("PHONE_NUMBER", r"(\(?\+?\d[\d ().-]{5,18}\d) ?[-,]{1,2} ?(?i:office|fax|mobile|cell|home|work)\b"),
    _rule(
        "HEALTH_PLAN_NUMBER",
        r"(?i)\b(?:(?:health ?plan|beneficiary|subscriber|enrollee|medicare|medicaid|member|insurance)(?: (?:beneficiary|claim|policy))?(?: (?:id|number|no\.?|#))|mbi)"
        r"(?: ?(?:is|:|#))?[ ]{0,3}([a-z0-9][a-z0-9-]{4,24})\b",
        _has_digit,
    ),
    _rule("VEHICLE_IDENTIFIER", r"\b([A-HJ-NPR-Z0-9]{8}[0-9X][A-HJ-NPR-Z0-9]{8})\b", _vin),
    _rule(
        "VEHICLE_IDENTIFIER",
        r"(?i)\b(?:licen[sc]e plate|number plate|plate (?:number|no\.?|#)|vehicle registration(?: number)?)(?: is|:)?[ ]{1,3}([a-z0-9]{1,4}(?:[ -]?[a-z0-9]{1,4}){1,2})\b",
        _has_digit,
    ),
    _rule(
        "DEVICE_IDENTIFIER",
        r"(?i)\b(?:serial (?:number|no\.?|#)|s/n|imei|udi|device (?:id|identifier|serial))(?: ?(?:is|:|#))?[ ]{0,3}([a-z0-9][a-z0-9-]{5,29})\b",
        _has_digit,
    ),
    _rule(
        "CRYPTO_WALLET",
        r"\b(0x[0-9a-fA-F]{40}|bc1[02-9ac-hj-np-z]{25,59}|[13][1-9A-HJ-NP-Za-km-z]{25,34})\b",
        lambda found, before: (
            len(found) if any(map(str.isdigit, found[1:])) and any(map(str.isalpha, found)) else 0
        ),
    ),
)
"""Rules that stand against the tagger of names."""

LOOSE = (
    _rule(
        "DATE_TIME",
        r"(?i)\b(?:in|during|since|until|till|of|by|from|before|after|year|circa|early|late|\()[ ]?((?:1[89]|20)\d\d)\b",
        certainty=SHAPED,
    ),
    _rule(
        "DATE_TIME",
        rf"(?i)\b(?:on|by|until|next|this|meet|before|after|from|due|for) ({_DAY}(?: (?:morning|afternoon|evening|night))?)\b",
        certainty=SHAPED,
    ),
    _rule(
        "DATE_TIME",
        rf"(?i)\b(?:on|by|until|since|in) ({_MONTH} \d{{1,2}}(?:st|nd|rd|th)?|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH}|{_MONTH} \d{{4}})\b",
        certainty=SHAPED,
    ),
)
"""Rules that give way to the tagger: a year may be the number of a house."""
