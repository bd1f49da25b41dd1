"""Long text in overlapping stretches, so that memory stays bounded and every sentence is read in one piece."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from seawall.defense.guards.reading.normalise import Folding, Normalised, normalise

STRETCH = 131_072
OVERLAP = 8_192
# White space this long is shortened, or it would carry the end of a sentence out of its stretch.
_LONG_BLANK = re.compile(r"\s(?<!\s\s)\s{255,}")
# Within this of a stretch's end a blank is looked for to cut at.
_CUT = 512


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of a long text, and its place there; what begins from `first` up to `last` is its own to report.

    `first` and `last` are places in the long text. A neighbour has read the text before `first` with more of its
    context, and reads the text from `last` on.
    """

    text: str
    offset: int
    first: int
    last: int

    @property
    def is_padded(self) -> bool:
        """Whether its overlap with the next shows a reader less than a quarter of what it holds.

        No language does: only letters that are not seen do, and they can push a sentence over the stretch's end.
        """
        if self.last == self.offset + len(self.text) or self.text.isascii():
            return False
        tail = self.text[-OVERLAP:]
        return 4 * len(normalise(tail).text) < len(tail)


def stretches(text: str) -> Iterator[Stretch]:
    """Cut a text into stretches of 128 k characters that share 8 k with the next; a shorter text is one stretch."""
    start = first = 0
    while len(text) - start > STRETCH:
        end = start + STRETCH
        following = _cut(text, end - OVERLAP)
        last = (following + end) // 2
        yield Stretch(text[start:end], start, first, last)
        start, first = following, last
    yield Stretch(text[start:], start, first, len(text))


def squeeze(text: str) -> Normalised:
    """Shorten white space of 256 characters and more to two, a line's end if there was one; others stay."""
    if len(text) <= STRETCH or _LONG_BLANK.search(text) is None:
        return Normalised(text, [], [], [])
    folding = Folding()
    at = 0
    for match in _LONG_BLANK.finditer(text):
        start, end = match.span()
        folding.add(text[at:start], at, start)
        folding.add("\n\n" if "\n" in match.group() else "  ", start, end)
        at = end
    folding.add(text[at:], at, len(text))
    return folding.result()


def _cut(text: str, at: int) -> int:
    """Return a place to begin at: a line's start, else the last letter of a word, so that no half word reads as whole."""
    line = text.rfind("\n", at - _CUT, at)
    if line >= 0:
        return line
    return max(text.rfind(" ", at - _CUT, at) - 1, at - _CUT)
