"""Whose law governs the agreement."""

from seawall.foundation import compile_pattern
from seawall_contracts.schema import Fact, Span

_STATES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|"
    "Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|"
    "Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|"
    "Pennsylvania|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|"
    "Wisconsin|Wyoming|Puerto Rico|District of Columbia"
)
_COUNTRIES = (
    "England and Wales|England & Wales|England|Scotland|Northern Ireland|Ireland|United Kingdom|Canada|Ontario|Quebec|"
    "British Columbia|Alberta|Australia|New South Wales|Victoria|Queensland|New Zealand|India|Singapore|Hong Kong|Taiwan|"
    "People[’']s Republic of China|PRC|China|Japan|Korea|Germany|France|Switzerland|Netherlands|Belgium|Luxembourg|Austria|"
    "Italy|Spain|Portugal|Sweden|Norway|Denmark|Finland|Poland|Israel|Brazil|Mexico|Argentina|Chile|South Africa|Bermuda|"
    "Cayman Islands|British Virgin Islands|Philippines|Malaysia|Thailand|Indonesia|Vietnam|Russian Federation|Russia|"
    "Ukraine|Turkey|Greece|Cyprus|Malta|Jersey|Guernsey|United Arab Emirates|Saudi Arabia|Egypt|Kenya|Nigeria|Kazakhstan|Quebec"
)
_PLACE = compile_pattern(rf"(?i)\b(?:{_STATES}|{_COUNTRIES})\b")
_CUE = compile_pattern(
    r"(?i)governed\s+(?:\w+\s+){0,3}?by|governed,\s|governing\s+law|construed\s+(?:\w+\s+){0,4}?(?:in\s+accordance|under|according)|"
    r"(?:subject|pursuant)\s+to\s+the\s+laws?\s+of|interpreted\s+(?:\w+\s+){0,4}?(?:in\s+accordance|under|according)|"
    r"(?:in\s+accordance\s+with|under)\s+the\s+(?:\w+\s+){0,3}?laws\s+of|applicable\s+law"
)
_REACH = 260
_LAW = compile_pattern(r"(?i)\blaws?\b")
_SENTENCE_END = compile_pattern(r"\.\s+[A-Z0-9]")
_ENGLISH = compile_pattern(r"(?i)\b(?:English|Scottish|Swiss|German|French|Dutch|Irish|Israeli|Chinese|Japanese|Indian)\s+law")
_ADJECTIVES = {
    "english": "England and Wales", "scottish": "Scotland", "swiss": "Switzerland", "german": "Germany", "french": "France",
    "dutch": "Netherlands", "irish": "Ireland", "israeli": "Israel", "chinese": "China", "japanese": "Japan", "indian": "India",
}  # fmt: skip
_SAME = {"prc": "China", "people's republic of china": "China", "england": "England and Wales", "england & wales": "England and Wales"}


def read_law(text: str) -> tuple[str | None, tuple[Fact, ...]]:
    """Return the governing law's place in normal form and the words that name it; (None, ()) where none is plain.

    The strongest cue counts: a sentence with "govern" in it, naming a law and a place. Every other place that a
    cue as strong names is a fact too, so that two governing laws are seen as two.
    """
    found: dict[str, tuple[int, Fact]] = {}
    for cue in _CUE.finditer(text):
        words = text[cue.start() : cue.end()].lower()
        stretch = _stretch(text, cue.start(), cue.end())
        place = _PLACE.search(stretch) or _ENGLISH.search(stretch)
        if place is None:
            continue
        strength = 2 * ("govern" in words) + (_LAW.search(stretch[: place.end() + 12]) is not None)
        name = _normal(stretch[place.start() : place.end()])
        if strength > found.get(name, (0, None))[0]:
            span = Span(start=cue.start(), end=cue.start() + place.end(), quote=stretch[: place.end()])
            found[name] = (strength, Fact(kind="governing law", value=name, span=span))
    strongest = max((strength for strength, _ in found.values()), default=0)
    facts = tuple(fact for strength, fact in found.values() if strength == strongest)
    return (facts[0].value, facts) if facts else (None, ())


def _stretch(text: str, start: int, end: int) -> str:
    """Return the cue and what follows it, up to the end of its sentence once a law has been spoken of."""
    stretch = text[start : end + _REACH]
    stop = _SENTENCE_END.search(stretch)
    return stretch[: stop.start() + 1] if stop and "law" in stretch[: stop.start()].lower() else stretch


def _normal(place: str) -> str:
    words = " ".join(place.replace("’", "'").split())
    adjective = words.split()[0].lower()
    if words.lower().endswith(" law") and adjective in _ADJECTIVES:
        return _ADJECTIVES[adjective]
    if words.lower() in _SAME:
        return _SAME[words.lower()]
    small = {"of", "and"}
    return " ".join(word.lower() if word.lower() in small else word.capitalize() for word in words.split())
