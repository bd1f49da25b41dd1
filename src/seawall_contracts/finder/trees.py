"""Boosted decision trees as flat arrays, evaluated for all rows and trees at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trees:
    """Forests of one size, one a kind of row; a leaf is its own child.

    A node sends a row with `row[feature] <= threshold` to `child[node, 1]`, any other to `child[node, 0]`; no
    walk is longer than `depth`. `root[k]` are the trees of kind `k`.
    """

    feature: I64
    threshold: F32
    child: I64
    value: F32
    root: I64
    depth: int

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Trees":
        """Take the trees out of the arrays of `clauses.npz`."""
        return cls(
            np.asarray(arrays["tree_feature"], np.int64),
            np.asarray(arrays["tree_threshold"], np.float32),
            np.asarray(arrays["tree_child"], np.int64),
            np.asarray(arrays["tree_value"], np.float32),
            np.asarray(arrays["tree_root"], np.int64),
            int(np.asarray(arrays["tree_depth"], np.int64)),
        )

    def sums(self, rows: F32, kind: I64) -> F32:
        """Give each row's sum over the trees of its kind."""
        count, width = rows.shape
        node = self.root[kind].ravel()
        base = np.repeat(np.arange(count, dtype=np.int64) * width, self.root.shape[1])
        flat, child = rows.ravel(), self.child.ravel()
        for _ in range(self.depth):
            left = flat[base + self.feature[node]] <= self.threshold[node]
            node = child[2 * node + left]
        return self.value[node].reshape(count, -1).sum(1)
