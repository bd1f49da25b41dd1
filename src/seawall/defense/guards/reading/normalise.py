"""Text as a reader sees it: disguises of letters removed, with a way back to the original's offsets.

Compatibility forms are folded (Unicode NFKC), marks dropped, letters that look Latin become Latin (after
Unicode TR39), what is not seen is removed, and the invisible tag characters become what they spell.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

# Neither ASCII nor of the large blocks that fold to themselves: ideographs, Hangul, and planes with no letters.
_FOLDED = re.compile(
    "[^\x00-\x7f\u3400-\u9fff\uac00-\ud7a3\ue000-\uf8ff\U00020000-\U0002f7ff\U00030000-\U000dffff\U000f0000-\U0010ffff]+"
)
# Above one such letter in four, letter by letter is faster than run by run.
_DENSE = 4
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

    Piece i begins at `starts[i]` of the folded text and stands for `origins[i]` up to `ends[i]` of the original:
    letter for letter where both are equally long, as a whole otherwise.
    """

    text: str
    starts: list[int]
    origins: list[int]
    ends: list[int]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of the folded text, half open, to the original; it covers every letter it came from."""
        if not self.starts or start >= end:
            return start, max(start, end)
        first, last = self._origin(start), self._origin(end - 1)
        return min(first[0], last[0]), max(first[1], last[1])

    def _origin(self, offset: int) -> tuple[int, int]:
        piece = bisect_right(self.starts, offset) - 1
        start, origin, end = self.starts[piece], self.origins[piece], self.ends[piece]
        following = self.starts[piece + 1] if piece + 1 < len(self.starts) else len(self.text)
        if following - start != end - origin:
            return origin, end
        return origin + offset - start, origin + offset - start + 1


class Folding:
    """Builds folded text piece by piece, keeping the way back."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._starts: list[int] = []
        self._origins: list[int] = []
        self._ends: list[int] = []
        self.length = 0

    def add(self, part: str, origin: int, end: int) -> None:
        """Append `part`, which stands for the original's characters from `origin` up to `end`."""
        if part:
            self._parts.append(part)
            self._starts.append(self.length)
            self._origins.append(origin)
            self._ends.append(end)
            self.length += len(part)

    def add_each(self, parts: Sequence[str], origins: Sequence[int]) -> None:
        """Append parts each of which stands for one character of the original; a part may be empty."""
        if len(origins) == 1:
            self.add(parts[0], origins[0], origins[0] + 1)
            return
        starts = [*accumulate(map(len, parts), initial=self.length)]
        self._parts.extend(parts)
        self.length = starts.pop()
        self._starts.extend(starts)
        self._origins.extend(origins)
        self._ends.extend([origin + 1 for origin in origins])

    def add_whole(self, part: str, origin: int, end: int) -> None:
        """Append `part`, none of whose letters has a place of its own between `origin` and `end`."""
        if len(part) == end - origin > 1:
            self.add(part[0], origin, end)
            part = part[1:]
        self.add(part, origin, end)

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
    if _DENSE * (len(text) - len(text.encode("ascii", "ignore"))) > len(text):
        letters = {one: one if _FOLDED.match(one) is None else fold_letter(one) for one in set(text)}
        folding.add_each([letters[letter] for letter in text], range(len(text)))
        return folding.result()
    at = 0
    for run in _FOLDED.finditer(text):
        start, end = run.span()
        folding.add(text[at:start], at, start)
        parts = [fold_letter(letter) for letter in run.group()]
        folded = "".join(parts)
        if len(folded) == end - start and all(parts):
            folding.add(folded, start, end)
        else:
            folding.add_each(parts, range(start, end))
        at = end
    folding.add(text[at:], at, len(text))
    return folding.result()


# Room for every letter that folds to something else: a text that runs through all of them costs no more.
@lru_cache(maxsize=1 << 17)
def fold_letter(letter: str) -> str:
    """Fold one letter: to none, one or a few."""
    code = ord(letter)
    if 0xE0020 <= code <= 0xE007E:
        return chr(code - 0xE0000)
    if letter in _TO_LATIN:
        return _TO_LATIN[letter]
    for first in _ALPHABETS:
        if first <= code < first + 26:
            return chr(code - first + ord("A"))
    kept = [one for one in unicodedata.normalize("NFKD", letter) if unicodedata.category(one) not in _UNSEEN]
    composed = unicodedata.normalize("NFKC", "".join(kept))[:_MAX_UNFOLDED]
    return "".join(" " if one.isspace() and one != "\n" else _TO_LATIN.get(one, one) for one in composed)


# Letters in black circles and squares, and the letters that flags are spelled with.
_ALPHABETS = (0x1F150, 0x1F170, 0x1F1E6)
# Format characters (zero width, bidi), marks, and halves of surrogate pairs, which no reader sees.
_UNSEEN = frozenset({"Cf", "Mn", "Me", "Cs"})
