"""Whose law governs the agreement."""

from collections.abc import Iterator

from seawall.foundation import Match, compile_pattern
from seawall_contracts.schema import Fact, Span

_STATES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|"
    "Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|"
    "Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|"
    "Pennsylvania|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|"
    "Wisconsin|Wyoming|Puerto Rico|District of Columbia"
)
_COUNTRIES = (
    "United States of America|England and Wales|England & Wales|England|Scotland|Northern Ireland|Ireland|United Kingdom|Canada|Ontario|Quebec|"
    "British Columbia|Alberta|Australia|New South Wales|Victoria|Queensland|New Zealand|India|Singapore|Hong Kong|Taiwan|"
    "People[’']s Republic of China|PRC|China|Japan|Korea|Germany|France|Switzerland|Netherlands|Belgium|Luxembourg|Austria|"
    "Italy|Spain|Portugal|Sweden|Norway|Denmark|Finland|Poland|Israel|Brazil|Mexico|Argentina|Chile|South Africa|Bermuda|"
    "Cayman Islands|British Virgin Islands|Philippines|Malaysia|Thailand|Indonesia|Vietnam|Russian Federation|Russia|"
    "Ukraine|Turkey|Greece|Cyprus|Malta|Jersey|Guernsey|United Arab Emirates|Saudi Arabia|Egypt|Kenya|Nigeria|Kazakhstan|Manitoba|Saskatchewan|Nova Scotia|South Korea"
)
# Justified text has double blanks and line ends inside names.
_PLACE = compile_pattern(rf"(?i)\b(?:{f'{_STATES}|{_COUNTRIES}'.replace(' ', chr(92) + 's+')})\b")
_CUE = compile_pattern(
    r"(?i)governed\s+(?:\w+\s+){0,4}?(?:by|in\s+accordance|under)|governed,\s|governed\s+in\s+all\s|governing\s+law|governs?\s+this|"
    r"(?:construed|interpreted|controlled|performance\s+of\s+this\s+\w+\s+shall\s+be)\s+(?:\w+\s+){0,6}?(?:in\s+accordance|under|according|by\s+the\s+law)|"
    r"(?:subject|pursuant)\s+to\s+the\s+laws?\s+of|(?:in\s+accordance\s+with|under)\s+the\s+(?:\w+\s+){0,3}?laws\s+of|applicable\s+law|proper\s+law"
)
# The other order: the laws of X govern this Agreement.
_REVERSED = compile_pattern(
    r"(?i)\blaws?\s+of\s+(?:the\s+)?(?:(?:state|commonwealth|province)\s+of\s+)?[^.;]{4,160}?\b(?:governs?|controls?|apply\s+to)(?:\s+(?:in\s+all\s+respects\s+)?(?:this|these|the|all|any|every|it)\b|\s*[,.;])"
)
# Without "laws of": California law governs this Agreement.
_PLACE_LAW = compile_pattern(
    rf"(?i)\b(?:{f'{_STATES}|{_COUNTRIES}'.replace(' ', chr(92) + 's+')})\s+(?:state\s+)?law\s+(?:(?:shall|will|exclusively|alone)\s+){{0,3}}(?:governs?|appl(?:y|ies)\s+to|controls?)(?:\s+(?:this|these|the|all|any|every|it)\b|\s*[,.;])"
)
_INNER = compile_pattern(r"(?i)\binterpret(?:ed|ation)\b|\bconstrued\b|\bperformance\b")
_THIS = compile_pattern(
    r"(?i)\b(?:this|these)\s+(?:\w+\s+){0,3}?(?:terms|conditions|schedule|annex|exhibit|order|statement)\b|\b(?:this|the|franchise)\s+(?:\w+\s+){0,3}?(?:agreement|contract|lease|license|amendment|deed|undertaking|instrument)\b"
)
# What is said of a company, a regulator or a part is not said of the agreement.
_OTHER_MATTER = compile_pattern(
    r"(?i)organi[sz]ed|existing|incorporated|chartered|formed\s|corporation|company\s+(?:duly\s+)?\w+\s+under|arbitrat|compliance|notwithstanding|permitted\s+by"
)
_REACH = 320
_LAW = compile_pattern(r"(?i)\blaws?\b")
_LAWS_OF = compile_pattern(r"(?i)\blaws?,?\s+(?:and\s+\w+\s+)?(?:of|in\s+force\s+in|applicable\s+in)\b")
_SENTENCE_END = compile_pattern(r"\.\s+[A-Z0-9]")
_ADJECTIVES = {
    "english": "England and Wales", "scottish": "Scotland", "swiss": "Switzerland", "german": "Germany", "french": "France",
    "dutch": "Netherlands", "irish": "Ireland", "israeli": "Israel", "chinese": "China", "japanese": "Japan", "indian": "India",
    "italian": "Italy", "spanish": "Spain", "swedish": "Sweden", "norwegian": "Norway", "danish": "Denmark", "finnish": "Finland",
    "belgian": "Belgium", "austrian": "Austria", "canadian": "Canada", "australian": "Australia", "brazilian": "Brazil",
}  # fmt: skip
_ENGLISH = compile_pattern(rf"(?i)\b(?:{'|'.join(_ADJECTIVES)})\s+(?:substantive\s+)?law")
_SAME = {
    "prc": "China", "people's republic of china": "China", "england": "England and Wales", "england & wales": "England and Wales",
    "united states of america": "United States", "republic of korea": "Korea", "the netherlands": "Netherlands",
}  # fmt: skip
_BEFORE = 160
_PLAIN = 2
# Places named within one clause are "the laws of Texas and of the United States"; further apart they contradict.
_APART = 600


def read_law(text: str) -> tuple[str | None, tuple[Fact, ...]]:
    """Return the governing law's place in normal form and the words that name it; (None, ()) where none is plain.

    The strongest cue counts: a sentence that says of this agreement that it is governed, naming a law and a place. Every
    other place that a cue as strong names is a fact too. Where clauses far apart name different laws, none is the
    governing law, and the facts show both.
    """
    found: dict[str, tuple[int, Fact]] = {}
    for start, end, strength, name in _candidates(text):
        if strength > found.get(name, (0, None))[0]:
            span = Span(start=start, end=end, quote=text[start:end])
            found[name] = (strength, Fact(kind="governing law", value=name, span=span))
    strongest = max((strength for strength, _ in found.values()), default=0)
    facts = tuple(fact for strength, fact in found.values() if strength == strongest)
    if not facts or strongest < _PLAIN:
        return None, ()
    places = [fact.span.start for fact in facts]
    return (facts[0].value if max(places) - min(places) < _APART else None, facts)


def _candidates(text: str) -> Iterator[tuple[int, int, int, str]]:
    """Every place that is named after a cue, or before one in the other order: start, end, strength, name."""
    for cue in _CUE.finditer(text):
        stretch = _stretch(text, cue.start(), cue.end())
        place = _place(stretch, cue.end() - cue.start())
        if place is not None:
            strength = _strength(text, cue.start(), cue.end(), stretch[: place.end() + 12])
            yield (
                cue.start(),
                cue.start() + place.end(),
                strength,
                _normal(stretch[place.start() : place.end()]),
            )
    for clause in (*_REVERSED.finditer(text), *_PLACE_LAW.finditer(text)):
        stretch = text[clause.start() : clause.end()]
        place = _PLACE.search(stretch)
        if place is not None and place.start() < 60:
            # "New York law governs." may speak of anything; "governs this Agreement" does not.
            strength = 3 if stretch[-1] in ",.;" else 5
            yield clause.start(), clause.end(), strength, _normal(stretch[place.start() : place.end()])


def _place(stretch: str, after: int) -> Match | None:
    """Find the place whose law it is: right after "laws of", and failing that the first that is named."""
    laws = _LAWS_OF.search(stretch)
    if laws is not None:
        for place in _PLACE.finditer(stretch):
            if place.start() >= laws.end():
                return place if place.start() < laws.end() + 90 else None
    english = _ENGLISH.search(stretch)
    return english or (_PLACE.search(stretch) if laws is None or after > laws.start() else None)


def _strength(text: str, start: int, end: int, stretch: str) -> int:
    words = text[start:end].lower()
    before = text[max(0, start - _BEFORE) : start]
    sentence = before[max(before.rfind(". "), before.rfind("\n")) + 1 :]
    strength = (
        2 * ("govern" in words) + (_LAW.search(stretch) is not None) + (_INNER.search(words) is not None)
    )
    if "govern" not in words and _OTHER_MATTER.search(before[-60:]) is not None:
        return 0
    return strength + 2 * (_THIS.search(sentence) is not None)


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
