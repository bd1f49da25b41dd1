"""Letters moved: Caesar's shifts (rot13 is one), the mirrored alphabet, rot47, and words or lines backwards.

Each is tried only where a word that attacks cannot do without shows in its disguise, and kept only where the
result has several common words: English that was not disguised has none after such a turn.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from string import ascii_lowercase, ascii_uppercase

from seawall.defense.guards.reading.english import common_words
from seawall.defense.guards.reading.normalise import Folding, Normalised
from seawall.foundation.patterns import compile_pattern

# Of two common words one may be chance.
_ENOUGH = 3
_CHUNK = 1000
_OVERLAP = 200
_WORDS = (
    "ignore ignored disregard previous instructions instruction prompt system contract agreement approve approved "
    "reveal override forget answer response output reviewer assistant document report compliant summary always never "
    "please must should with this that your from password secret rules everything"
)
_KEYS = _WORDS.split()
_PRINTED = "".join(map(chr, range(33, 127)))
_PIECE = re.compile(r"\S+|\s+")
_WORD = re.compile(r"[a-z]{4,}")
BACKWARDS = "reversed"


def _shift(by: int) -> dict[int, int]:
    moved = ascii_lowercase[by:] + ascii_lowercase[:by]
    return str.maketrans(ascii_lowercase + ascii_uppercase, moved + moved.upper())


_TABLES = {("rot13" if by == 13 else f"caesar{by}"): _shift(by) for by in range(1, 26)} | {
    "atbash": str.maketrans(ascii_lowercase + ascii_uppercase, ascii_lowercase[::-1] + ascii_uppercase[::-1]),
    "rot47": str.maketrans(_PRINTED, _PRINTED[47:] + _PRINTED[:47]),
}


def _disguises() -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for key in _KEYS:
        found[key[::-1]].add(BACKWARDS)
        for name, table in _TABLES.items():
            if name != "rot47":
                # The table turns the other way; the shift that undoes it is among the names all the same.
                undo = f"caesar{26 - int(name[6:])}" if name.startswith("caesar") else name
                found[key.translate(table)].add(undo)
    return {word: names for word, names in found.items() if word not in _KEYS}


_DISGUISES = _disguises()
# One more of these after another is a third of them, or none.
TURNS = frozenset(_TABLES)
_ROT47 = tuple(key.translate(_TABLES["rot47"]) for key in _KEYS if len(key) >= 6)
CIPHER_TRIGGER = compile_pattern(
    r"(?i:\b(?:" + "|".join(_DISGUISES) + r")\b)|" + "|".join(re.escape(word) for word in _ROT47)
)


def unwrap_ciphers(text: str) -> Iterator[tuple[str, Normalised]]:
    """Yield what reads as English after a turn of its letters, by the name of the turn."""
    foldings: defaultdict[str, Folding] = defaultdict(Folding)
    for start, end in _chunks(text):
        chunk = text[start:end]
        lower = chunk.lower()
        names = {name for word in _DISGUISES.keys() & _WORD.findall(lower) for name in _DISGUISES[word]}
        if any(word in chunk for word in _ROT47):
            names.add("rot47")
        for name in sorted(names):
            turned = chunk[::-1] if name == BACKWARDS else chunk.translate(_TABLES[name])
            if common_words(turned) >= _ENOUGH:
                _add(foldings[name], name, turned, start, end)
    for name, folding in foldings.items():
        yield name, folding.result()


def _add(folding: Folding, name: str, turned: str, start: int, end: int) -> None:
    if name != BACKWARDS:
        folding.add(turned, start, end)
    else:
        folding.add_each(turned, range(end - 1, start - 1, -1))
        folding.add_whole("\n\n", start, end)
        # The words may stand in their order, and only their letters be turned.
        chunk = turned[::-1]
        words = [range(start + one.start(), start + one.end())[::-1] for one in _PIECE.finditer(chunk)]
        places = [*chain.from_iterable(words)]
        folding.add_each([chunk[place - start] for place in places], places)
    folding.add("\n", start, end)


def _chunks(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while True:
        end = start + _CHUNK
        if end >= len(text):
            yield start, len(text)
            return
        end = max(text.rfind(" ", end - _OVERLAP, end), end - _OVERLAP)
        yield start, end
        start = max(text.rfind(" ", end - _OVERLAP, end), end - _OVERLAP) + 1
