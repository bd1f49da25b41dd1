"""Hashed n-gram features of many short texts at once, in vectorised numpy.

All features come from one polynomial prefix hash over the code points, so a word, a pair of words and a
run of 3 to 5 characters each cost one subtraction and one multiplication (Karp and Rabin 1987). The hash
is fixed arithmetic: it is the same in every process and on every machine.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]

HASH_BITS = 20
WORD_SIZES = (1, 2)
CHAR_SIZES = (3, 4, 5)

_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_SEPARATOR = "\x1e"
_PSEUDONYM = re.compile(r"⟦[^⟦⟧]{1,80}⟧")
_SPACE, _BREAK = 1, 2
_SENTENCE_END = re.compile(r"(?<=[.;:])[”\"’)]?\s+|\n+")
_SHORTEST_SENTENCE = 40


def _classes() -> NDArray[np.uint32]:
    table = np.full(0x10000, _SPACE, np.uint32)
    for code in range(0x10000):
        if chr(code).isalpha():
            table[code] = code
    table[ord("0") : ord("9") + 1] = ord("0")
    table[ord(_SEPARATOR)] = _BREAK
    return table


_CLASSES = _classes()


def _powers(base: int, count: int) -> U64:
    out = np.full(count, base, np.uint64)
    out[0] = 1
    return np.multiply.accumulate(out)


def _mix(value: U64, kind: int) -> I64:
    mixed = (value ^ (value >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9 + 2 * kind)
    return (mixed >> np.uint64(64 - HASH_BITS)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Grams:
    """Every n-gram of the texts, repeats included: `bucket[i]` occurs in text `text[i]`."""

    text: I64
    bucket: I64


@dataclass(frozen=True, slots=True)
class Hashed:
    """The n-grams of `count` texts: pieces of 1 and 2 words, and runs of 3 to 5 characters."""

    count: int
    words: Grams
    chars: Grams


def _codes(texts: Sequence[str]) -> NDArray[np.uint32]:
    cleaned = [text.replace(_SEPARATOR, " ") for text in texts]
    joined = _SEPARATOR + _SEPARATOR.join(cleaned).lower() + _SEPARATOR
    if "⟦" in joined:
        joined = _PSEUDONYM.sub(" somebody ", joined)
    raw = np.frombuffer(joined.encode("utf-32-le", "replace"), np.uint32)
    codes = _CLASSES[np.minimum(raw, 0xFFFF)]
    space = codes <= _BREAK
    keep = ~space
    keep[1:] |= ~space[:-1]
    keep |= codes == _BREAK
    return codes[keep]


def hashed(texts: Sequence[str], *, chars: bool = True) -> Hashed:
    """Read the n-grams of each text; case, digits, punctuation and pseudonyms make no difference."""
    codes = _codes(texts)
    size = len(codes)
    broken = codes == _BREAK
    number = np.cumsum(broken) - 1
    inverse = _powers(_INVERSE, size + 1)
    prefix = np.zeros(size + 1, np.uint64)
    np.cumsum(codes * _powers(_BASE, size), out=prefix[1:])
    letter = codes > _BREAK
    edge = np.diff(letter.astype(np.int8))
    start = np.flatnonzero(edge == 1) + 1
    end = np.flatnonzero(edge == -1) + 1
    single = (prefix[end] - prefix[start]) * inverse[start]
    text = number[start]
    pair = single[:-1] * np.uint64(_BASE) + single[1:] * np.uint64(0x94D049BB133111EB)
    inside = text[:-1] == text[1:]
    words = Grams(
        np.concatenate((text, text[:-1][inside])),
        np.concatenate((_mix(single, 1), _mix(pair[inside], 2))),
    )
    return Hashed(
        len(texts), words, _char_grams(prefix, inverse, number) if chars else Grams(text[:0], text[:0])
    )


def _char_grams(prefix: U64, inverse: U64, number: I64) -> Grams:
    texts = [number[:0]]
    buckets = [number[:0]]
    for width in CHAR_SIZES:
        if len(number) < width:
            break
        value = (prefix[width:] - prefix[:-width]) * inverse[: len(prefix) - width]
        inside = number[: len(value)] == number[width - 1 :]
        texts.append(number[: len(value)][inside])
        buckets.append(_mix(value[inside], 2 + width))
    return Grams(np.concatenate(texts), np.concatenate(buckets))


@dataclass(frozen=True, slots=True)
class Terms:
    """Weighted n-grams in compressed rows: text `i` has `row[start[i]:start[i + 1]]`, and `value` likewise."""

    start: I64
    row: I64
    value: F32


class Vocabulary:
    """The n-grams a model knows: their buckets, and the inverse document frequency of each.

    `weigh` gives (1 + ln tf) x idf, each text's values at unit length.
    """

    def __init__(self, buckets: NDArray[np.int32], idf: NDArray[np.floating]) -> None:
        self.size = len(buckets)
        self._idf = np.asarray(idf, np.float32)
        self._row = np.full(1 << HASH_BITS, -1, np.int32)
        self._row[buckets] = np.arange(self.size, dtype=np.int32)

    def weigh(self, grams: Grams, count: int) -> Terms:
        """Weigh the known n-grams of `count` texts."""
        row = self._row[grams.bucket]
        known = row >= 0
        key = (grams.text[known] << HASH_BITS) | row[known]
        key.sort()
        first = np.flatnonzero(np.diff(key, prepend=-1))
        times = np.diff(first, append=len(key))
        key = key[first]
        rows = key & ((1 << HASH_BITS) - 1)
        start = np.searchsorted(key >> HASH_BITS, np.arange(count + 1))
        value = (1 + np.log(times.astype(np.float32))) * self._idf[rows]
        length = np.sqrt(np.add.reduceat(np.append(value * value, np.float32(0)), start[:-1]))
        value /= np.maximum(np.repeat(length, np.diff(start)), np.float32(1e-6))
        return Terms(start, rows, value)


def scores(terms: Terms, weights: NDArray[np.int8], scale: NDArray[np.floating]) -> F32:
    """Give each text's sum of value x weight, one column an output; `scale` is what an int8 step is worth."""
    texts = len(terms.start) - 1
    out = np.zeros((texts, weights.shape[1]), np.float32)
    picked = weights[terms.row].astype(np.float32)
    for i in range(texts):
        part = slice(terms.start[i], terms.start[i + 1])
        out[i] = terms.value[part] @ picked[part]
    return out * np.asarray(scale, np.float32)


def sentences(text: str) -> list[tuple[int, int]]:
    """Cut a passage after stops, semicolons, colons and at line ends; pieces under 40 characters are joined on.

    The pieces `(start, end)` are in order and cover the text; an empty text is one empty piece.
    """
    found: list[tuple[int, int]] = []
    start = 0
    for end in (*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)):
        if end - start >= _SHORTEST_SENTENCE:
            found.append((start, end))
            start = end
    if not found:
        return [(0, len(text))]
    if start < len(text):
        found[-1] = (found[-1][0], len(text))
    return found
