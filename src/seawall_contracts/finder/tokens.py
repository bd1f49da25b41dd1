"""The clause finder's tokeniser: words and pairs of words of many passages at once, as 32-bit hashes.

A word is a run of letters and digits; case does not matter, every digit is a zero, and a pseudonym token
(`⟦KIND:hex⟧`) is one fixed word. Words are hashed by differences of one polynomial prefix hash over the code
points (Karp and Rabin 1987), in vectorised numpy: fixed arithmetic, the same in every process and on every machine.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_NEXT = np.uint64(0x94D049BB133111EB)
_MIX = 0xBF58476D1CE4E5B9
_PSEUDONYM = re.compile(r"⟦[^⟦⟧\n]{1,80}⟧")
_NAMED = "⟦"


def _classes() -> U64:
    table = np.zeros(0x10000, np.uint64)
    for code in range(0x10000):
        if chr(code).isalpha():
            lower = chr(code).lower()
            table[code] = ord(lower) if len(lower) == 1 else code
    table[ord("0") : ord("9") + 1] = ord("0")
    table[ord(_NAMED)] = ord(_NAMED)
    return table


_CLASSES = _classes()


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text in order: `hash[i]` is of the word that begins at `start[i]`."""

    start: I64
    hash: U64


@dataclass(frozen=True, slots=True)
class Grams:
    """Every word and pair of words of some passages, repeats included: `key[i]` occurs in passage `passage[i]`."""

    passage: I64
    key: U32


def _mask(match: re.Match[str]) -> str:
    return " " + _NAMED + " " * (len(match.group()) - 2)


def words(text: str) -> Words:
    """Read the words of a text; linear in its length."""
    if _NAMED in text:
        text = _PSEUDONYM.sub(_mask, text)
    raw = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    codes = _CLASSES[np.where(raw > 0xFFFF, 0, raw)]
    seen = np.zeros(len(codes) + 2, np.int8)
    seen[1:-1] = codes != 0
    edge = np.diff(seen)
    start = np.flatnonzero(edge == 1)
    end = np.flatnonzero(edge == -1)
    prefix = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * _powers(_BASE, len(codes)), out=prefix[1:])
    return Words(start, (prefix[end] - prefix[start]) * _powers(_INVERSE, len(codes))[start])


def grams(found: Words, passages: Sequence[tuple[int, int]]) -> Grams:
    """Give the words and pairs of words of each passage, `(start, end)`; passages are in order and do not overlap."""
    bounds = np.array(passages, np.int64).reshape(-1, 2)
    number = np.searchsorted(bounds[:, 0], found.start, "right") - 1
    kept = number >= 0
    kept[kept] = found.start[kept] < bounds[number[kept], 1]
    number, single = number[kept], found.hash[kept]
    pair = single[:-1] * np.uint64(_BASE) + single[1:] * _NEXT
    inside = number[:-1] == number[1:]
    return Grams(
        np.concatenate((number, number[:-1][inside])),
        np.concatenate((_key(single, 0), _key(pair[inside], 1))),
    )


def joined(texts: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Join texts into one, and say where each stands in it, so that all are read in one go."""
    bounds: list[tuple[int, int]] = []
    at = 0
    for text in texts:
        bounds.append((at, at + len(text)))
        at += len(text) + 1
    return "\n".join(texts), bounds


def _powers(base: int, count: int) -> U64:
    out = np.full(count, base, np.uint64)
    out[:1] = 1
    return np.multiply.accumulate(out)


def _key(value: U64, kind: int) -> U32:
    mixed = (value ^ (value >> np.uint64(29))) * np.uint64(_MIX + 2 * kind)
    return (mixed >> np.uint64(32)).astype(np.uint32)
