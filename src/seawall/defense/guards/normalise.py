"""Text as a reader sees it: disguises of letters removed, with a way back to the original's offsets.

Compatibility forms are folded (Unicode NFKC), marks dropped, letters that look Latin become Latin (after
Unicode TR39), what is not seen is removed, and the invisible tag characters become what they spell.
"""

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
# U+FDFA alone unfolds to 18 letters: bounded, so that folding cannot multiply a text.
_MAX_UNFOLDED = 6

_LOOKALIKES = {
    "a": "аɑαа", "b": "ЬƄḃ", "c": "сϲᴄⅽ", "d": "ԁⅾɗ", "e": "еєҽℯ", "f": "ғƒ", "g": "ɡց", "h": "һհ", "i": "іıιɩӏ",
    "j": "јϳ", "k": "κкᴋ", "l": "ⅼןӏ", "m": "мᴍⅿ", "n": "пոηɴ", "o": "оοօᴏσ", "p": "рρ", "q": "ԛգ", "r": "гᴦɾ",
    "s": "ѕꜱʂ", "t": "тτᴛ", "u": "υսᴜ", "v": "νѵᴠⅴ", "w": "ԝѡᴡω", "x": "хχⅹ", "y": "уүγʏ", "z": "ᴢʐ",
    "A": "АΑ", "B": "ВΒ", "C": "СϹ", "E": "ЕΕ", "H": "НΗ", "I": "ІΙӀ", "J": "Ј", "K": "КΚ", "M": "МΜ", "N": "Ν",
    "O": "ОΟՕ", "P": "РΡ", "S": "Ѕ", "T": "ТΤ", "X": "ХΧ", "Y": "УΥҮ", "Z": "Ζ",
    "'": "‘’‚‛′ʼ`´", '"': "“”„‟″«»", "-": "‐‑‒–—―−", "<": "‹〈", ">": "›〉",
}  # fmt: skip
_TO_LATIN = {
    letter: latin for latin, letters in _LOOKALIKES.items() for letter in letters if ord(letter) > 127
}


@dataclass(frozen=True, slots=True)
class Normalised:
    """Folded text, and the pieces it came from; no pieces where it is the original itself.

    Piece i begins at `starts[i]` of the folded text and stands for `origins[i]` up to `ends[i]` of the original.
    """

    text: str
    starts: list[int]
    origins: list[int]
    ends: list[int]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of the folded text, half open, to the original; it covers every letter it came from."""
        if not self.starts or start >= end:
            return start, max(start, end)
        return self._origin(start), self._origin(end - 1, after=1)

    def _origin(self, offset: int, after: int = 0) -> int:
        piece = bisect_right(self.starts, offset) - 1
        at = self.origins[piece] + offset - self.starts[piece]
        return min(at, self.ends[piece] - 1) + after


class Folding:
    """Builds folded text piece by piece, keeping the way back."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._starts: list[int] = []
        self._origins: list[int] = []
        self._ends: list[int] = []
        self._length = 0

    def add(self, part: str, origin: int, end: int) -> None:
        """Append `part`, which stands for the original's characters from `origin` up to `end`."""
        if part:
            self._parts.append(part)
            self._starts.append(self._length)
            self._origins.append(origin)
            self._ends.append(end)
            self._length += len(part)

    def result(self) -> Normalised:
        """Return what was built."""
        return Normalised("".join(self._parts), self._starts, self._origins, self._ends)


def normalise(text: str) -> Normalised:
    """Fold text for reading by rules, in time linear in its length; ASCII comes back as it is, at no cost.

    For detection only: the folded text has lost accents and scripts, and is never sent anywhere.
    """
    if text.isascii():
        return Normalised(text, [], [], [])
    folding = Folding()
    at = 0
    for run in _NOT_ASCII.finditer(text):
        folding.add(text[at : run.start()], at, run.start())
        for offset, letter in enumerate(run.group(), run.start()):
            folding.add(fold_letter(letter), offset, offset + 1)
        at = run.end()
    folding.add(text[at:], at, len(text))
    return folding.result()


@lru_cache(maxsize=8192)
def fold_letter(letter: str) -> str:
    """Fold one letter: to none, one or a few."""
    code = ord(letter)
    if 0xE0020 <= code <= 0xE007E:
        return chr(code - 0xE0000)
    if letter in _TO_LATIN:
        return _TO_LATIN[letter]
    kept = [one for one in unicodedata.normalize("NFKD", letter) if unicodedata.category(one) not in _UNSEEN]
    composed = unicodedata.normalize("NFKC", "".join(kept))[:_MAX_UNFOLDED]
    return "".join(" " if one.isspace() and one != "\n" else _TO_LATIN.get(one, one) for one in composed)


# Format characters (zero width, bidi), marks, and halves of surrogate pairs, which no reader sees.
_UNSEEN = frozenset({"Cf", "Mn", "Me", "Cs"})
