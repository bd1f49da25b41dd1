"""Text as hashed n-grams: words, pairs, triples and skip-pairs of words, and letters within words, in numpy.

A word is a run of letters and digits, or one sign that is neither and no blank; case does not matter and every digit
is a zero. Hashing is fixed arithmetic, the same in every process and on every machine (the hashing trick: Weinberger
et al. 2009). Everything is linear in the text.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
U64 = NDArray[np.uint64]

WORD_BITS = 19
LETTER_BITS = 18
DIMENSIONS = (1 << WORD_BITS) + (1 << LETTER_BITS)
LETTER_VALUE = 0.8
_LONGEST_WORD = 64
_LETTERS = (3, 4, 5)


def _classes() -> U64:
    table = np.zeros(0x10000, np.uint64)
    for code in range(0x10000):
        letter = chr(code)
        if letter.isalpha():
            lower = letter.lower()
            table[code] = ord(lower) if len(lower) == 1 else code
        elif letter.isdigit():
            table[code] = ord("0")
    return table


def _keys(count: int) -> U64:
    keys = [0x9E3779B97F4A7C15]
    for _ in range(count - 1):
        keys.append((keys[-1] * 0xD1342543DE82EF95 + 0x2545F4914F6CDD1D) % (1 << 64) | 1)
    return np.array(keys, np.uint64)


_CLASSES = _classes()
_KEYS = _keys(_LONGEST_WORD)
# Tables of all codes: to look one up takes a tenth of the time that numpy's search takes.
_IS_BLANK = np.zeros(0x10000, np.bool_)
_IS_BLANK[[9, 10, 11, 12, 13, 32, 0xA0]] = True
_MIX = np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True, slots=True)
class Grams:
    """The n-grams of a text.

    Word `i` is `text[start[i]:end[i]]`, and `sign[i]` its first character's code if it is a sign, else 0. `single`, `pair`, `triple` and `skip` hold the dimension of the gram that
    begins at each word (they are 0, 1, 2 and 2 shorter than the words); letter gram `j` of dimension `letter[j]`
    lies within word `owner[j]`, ascending.
    """

    start: I64
    end: I64
    sign: NDArray[np.uint32]
    single: I64
    pair: I64
    triple: I64
    skip: I64
    letter: I64
    owner: I64

    def __len__(self) -> int:
        """Words read."""
        return len(self.start)


def read_grams(text: str) -> Grams:
    """Read the n-grams of a text; an empty one has none."""
    raw = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    raw = np.where(raw > 0xFFFF, np.uint32(0xFFFD), raw)
    codes = _CLASSES[raw]
    starts = _starts(raw, codes)
    start = np.flatnonzero(starts)
    word = _hash_words(raw, codes, starts, start)
    letter, owner = _letters(codes, start)
    second, third = _turn(word, 21), _turn(word, 42)
    is_sign = codes[start] == 0
    grams = (
        word + np.uint64(11),
        word[:-1] + second[1:] + np.uint64(12),
        word[:-2] + second[1:-1] + third[2:] + np.uint64(13),
        word[:-2] + third[2:] + np.uint64(14),
        letter,
    )
    # All at once: each operation of numpy costs more than what it does for a text of a few lines.
    mixed = _mixed(np.concatenate(grams))
    words = sum(len(gram) for gram in grams[:-1])
    dimension = (mixed[:words] >> np.uint64(64 - WORD_BITS)).astype(np.int64)
    single, pair, triple, skip = np.split(dimension, np.cumsum([len(gram) for gram in grams[:3]]))
    return Grams(
        start,
        np.flatnonzero(_ends(codes, starts)) + 1,
        np.where(is_sign, raw[start], np.uint32(0)),
        single,
        pair,
        triple,
        skip,
        (mixed[words:] >> np.uint64(64 - LETTER_BITS)).astype(np.int64) + (1 << WORD_BITS),
        owner,
    )


def _starts(raw: NDArray[np.uint32], codes: U64) -> NDArray[np.bool_]:
    inside = codes != 0
    starts = inside.copy()
    starts[1:] &= ~inside[:-1]
    return starts | ~(inside | _IS_BLANK[raw])


def _ends(codes: U64, starts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inside = codes != 0
    ends = inside.copy()
    ends[:-1] &= ~inside[1:]
    return ends | (starts & ~inside)


def _hash_words(raw: NDArray[np.uint32], codes: U64, starts: NDArray[np.bool_], start: I64) -> U64:
    if not len(start):
        return np.zeros(0, np.uint64)
    at = np.arange(len(codes))
    place = np.minimum(at - np.maximum.accumulate(np.where(starts, at, 0)), _LONGEST_WORD - 1)
    # A sign counts where it stands alone; blanks after a word add nothing to it.
    value = np.where(starts & (codes == 0), raw, codes) * _KEYS[place]
    value[: start[0]] = 0
    return np.add.reduceat(value, start)


def _letters(codes: U64, start: I64) -> tuple[U64, I64]:
    """Return the hashes of letter grams and the word that each lies in."""
    padded = np.concatenate((np.zeros(1, np.uint64), codes, np.zeros(1, np.uint64)))
    inside = padded != 0
    # A gram may touch the blank before and after its word, and has at least one letter between.
    hashed = padded[:-1] * _KEYS[0] + padded[1:] * _KEYS[1]
    whole = inside[1:]
    found: list[U64] = []
    where: list[I64] = []
    for size in _LETTERS:
        hashed = hashed[:-1] + padded[size - 1 :] * _KEYS[size - 1]
        whole = whole[: len(hashed)] & inside[size - 2 : size - 2 + len(hashed)]
        at = np.flatnonzero(whole)
        found.append(hashed[at] + np.uint64(size))
        where.append(at)
    at = np.concatenate(where)
    order = np.argsort(at, kind="stable")
    return np.concatenate(found)[order], np.searchsorted(start, at[order], "right") - 1


def _turn(value: U64, by: int) -> U64:
    return (value << np.uint64(by)) | (value >> np.uint64(64 - by))


def _mixed(value: U64) -> U64:
    value = (value ^ (value >> np.uint64(29))) * _MIX
    return (value ^ (value >> np.uint64(32))) * _MIX
