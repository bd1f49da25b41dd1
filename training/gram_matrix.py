"""Stretches of text as rows of n-gram counts, as run time scores them."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from seawall.defense.guards.injection.grams import DIMENSIONS, LETTER_VALUE
from training.injection_data import Stretch


def matrix(stretches: Sequence[Stretch]) -> sp.csr_matrix:
    """Build `[stretches, dimensions]`: each n-gram's count times its value, rows of the length that run time assumes."""
    index: list[NDArray[np.int64]] = []
    value: list[NDArray[np.float32]] = []
    start = [0]
    for grams, first, last in stretches:
        low, high = np.searchsorted(grams.owner, (first, last))
        words = (
            grams.single[first:last],
            grams.pair[first : max(first, last - 1)],
            grams.triple[first : max(first, last - 2)],
            grams.skip[first : max(first, last - 2)],
        )
        count = sum(map(len, words))
        row = np.concatenate((np.ones(count), np.full(high - low, LETTER_VALUE))).astype(np.float32)
        index.append(np.concatenate((*words, grams.letter[low:high])))
        value.append(row / max(1.0, float(np.sqrt(row @ row))))
        start.append(start[-1] + len(row))
    # 32-bit indices halve the memory, and there are fewer than two thousand million entries.
    columns = np.concatenate(index).astype(np.int32)
    return sp.csr_matrix((np.concatenate(value), columns, np.array(start)), (len(stretches), DIMENSIONS))
