"""Words as the tagger of names sees them: where they stand, their shape, their letters, the lists they are on."""

import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# Classes side by side, none of them repeated within another: linear.
_TOKEN = re.compile(r"[^\W\d_]+|\d+|\n|[^\s\w]|_")

FIRST, LAST, PLACE, COUNTRY, PEOPLE, COMMON, COMPANY, STREET = (1 << bit for bit in range(8))
"""Bits of the lists that a word is on; `PEOPLE` are nations and creeds, `COMMON` are words of running text."""

LOWER, SHAPE, LISTS, END3, END2, BEGIN3 = range(6)
"""Columns of what is known of a word."""

_EDGE, _NEWLINE, _MARK, _UNCASED = 0, 1, 2, 16
_CAPITALISED, _INITIAL, _CAPITALS, _SMALL, _MIXED = 5, 6, 7, 8, 9
_DIGITS = 9
_REMEMBERED = 1 << 16

EDGE_FACTS = (0, _EDGE, 0, 0, 0, 0)
"""What is known of the word before the first and after the last."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Words, numbers, marks and line ends of a text: where each starts and ends, and how it reads."""

    words: list[str]
    starts: list[int]
    ends: list[int]


def tokenise(text: str) -> Tokens:
    """Cut a text into runs of letters, runs of digits, single marks and line ends; blanks belong to none."""
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _TOKEN.finditer(text):
        words.append(match.group())
        starts.append(match.start())
        ends.append(match.end())
    return Tokens(words, starts, ends)


def word_key(word: str) -> int:
    """Return the 32 bits that stand for a word, whatever its case."""
    return zlib.crc32(word.lower().encode("utf-8", "replace"))


class Lists:
    """Which lists a word is on: sorted keys and, for each, its bits. A stranger has one chance in 10,000 to pass."""

    __slots__ = ("_bits", "_facts", "_keys")

    def __init__(self, keys: NDArray[np.uint32], bits: NDArray[np.uint8]) -> None:
        self._keys: dict[int, int] = dict(zip(keys.tolist(), bits.tolist(), strict=True))
        self._facts: dict[str, tuple[int, ...]] = {}

    def facts(self, words: list[str]) -> Ints:
        """Return one row a word, by the columns above."""
        known = self._facts
        if len(known) > _REMEMBERED:
            known.clear()
        rows: list[Any] = []
        for word in words:
            row = known.get(word)
            if row is None:
                row = known[word] = self._of(word)
            rows.append(row)
        return np.array(rows, dtype=np.int64).reshape(-1, 6)

    def bits(self, word: str) -> int:
        """Return the lists that a word is on."""
        return self._keys.get(word_key(word[:64]), 0)

    def _of(self, word: str) -> tuple[int, ...]:
        lower = word[:64].lower()
        key = word_key(lower)
        if not word[0].isalpha():
            return key, _shape(word), 0, 0, 0, 0
        ends = (
            zlib.crc32(lower[-3:].encode()),
            zlib.crc32(lower[-2:].encode()),
            zlib.crc32(lower[:3].encode()),
        )
        return key, _shape(word), self._keys.get(key, 0), *ends


def _shape(word: str) -> int:
    first = word[0]
    if first == "\n":
        return _NEWLINE
    if first.isdigit():
        return _DIGITS + min(len(word), 6)
    if not first.isalpha():
        return _MARK
    if word.islower():
        return _SMALL
    if word.isupper():
        return _INITIAL if len(word) == 1 else _CAPITALS
    if first.isupper():
        return _CAPITALISED if word[1:].islower() else _MIXED
    return _MIXED if word.lower() != word or word.upper() != word else _UNCASED
