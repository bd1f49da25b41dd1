"""A linear scorer of passages: TF-IDF of their words and pairs of words, one output a clause type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seawall_contracts.finder.tokens import U32, Grams, Words, grams

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

_ROW_BITS = 20
_SLOT_BITS = 18


class Vocabulary:
    """The n-grams a model knows, by their sorted keys, and the inverse document frequency of each."""

    def __init__(self, keys: U32, idf: NDArray[np.floating]) -> None:
        self.size = len(keys)
        self._idf = np.asarray(idf, np.float32)
        edges = np.arange((1 << _SLOT_BITS) + 1, dtype=np.uint64) << np.uint64(32 - _SLOT_BITS)
        self._slot = np.searchsorted(keys.astype(np.uint64), edges).astype(np.int32)
        self._depth = int(np.diff(self._slot).max(initial=0))
        # Padded, so that looking behind the last key needs no check.
        self._keys = np.concatenate((keys, np.zeros(self._depth + 1, np.uint32)))

    def rows(self, keys: U32) -> I64:
        """Find each key's row; -1 for one that is not known."""
        slot = keys >> np.uint32(32 - _SLOT_BITS)
        at, end = self._slot[slot], self._slot[slot + np.uint32(1)]
        row = np.full(len(keys), -1, np.int64)
        for step in range(self._depth):
            hit = (self._keys[at + step] == keys) & (at + step < end)
            row[hit] = at[hit] + step
        return row

    def weigh(self, found: Grams, count: int) -> "Terms":
        """Weigh the known n-grams of `count` passages: (1 + ln tf) x idf, at unit length a passage."""
        row = self.rows(found.key)
        known = row >= 0
        key = (found.passage[known] << _ROW_BITS) | row[known]
        key.sort()
        first = np.flatnonzero(np.diff(key, prepend=-1))
        times = np.diff(first, append=len(key))
        key = key[first]
        row = key & ((1 << _ROW_BITS) - 1)
        start = np.searchsorted(key, np.arange(count + 1) << _ROW_BITS)
        value = (1 + np.log(times.astype(np.float32))) * self._idf[row]
        length = np.sqrt(np.add.reduceat(np.append(value * value, np.float32(0)), start[:-1]))
        value /= np.maximum(np.repeat(length, np.diff(start)), np.float32(1e-6))
        return Terms(start, row, value)


@dataclass(frozen=True, slots=True)
class Terms:
    """Weighted n-grams in compressed rows: passage `i` has `row[start[i]:start[i + 1]]`, and `value` likewise."""

    start: I64
    row: I64
    value: F32


@dataclass(frozen=True, slots=True)
class Linear:
    """One hyperplane a clause type; an int8 step of `weights[:, t]` is worth `scale[t]`."""

    vocabulary: Vocabulary
    weights: NDArray[np.int8]
    scale: F32
    bias: F32

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Linear":
        """Take the scorer out of the arrays of `clauses.npz`."""
        return cls(
            Vocabulary(np.asarray(arrays["keys"], np.uint32), np.asarray(arrays["idf"], np.float32)),
            np.asarray(arrays["weights"], np.int8),
            np.asarray(arrays["scale"], np.float32),
            np.asarray(arrays["bias"], np.float32),
        )

    def margins(self, found: Words, passages: Sequence[tuple[int, int]]) -> F32:
        """Give each passage's distance from each hyperplane, `[passages, types]`; `found` are the words of all."""
        terms = self.vocabulary.weigh(grams(found, passages), len(passages))
        picked = self.weights[terms.row].astype(np.float32)
        out = np.zeros((len(passages), self.weights.shape[1]), np.float32)
        start = terms.start.tolist()
        for i in range(len(passages)):
            out[i] = terms.value[start[i] : start[i + 1]] @ picked[start[i] : start[i + 1]]
        return out * self.scale + self.bias
