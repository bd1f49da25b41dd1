"""LightGBM's trees, trained one forest a clause type and flattened into the arrays that `Trees.of` takes."""

from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TREES = 100
SETTINGS = {
    "objective": "binary",
    "num_leaves": 12,
    "max_depth": 5,
    "learning_rate": 0.05,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "seed": 0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


def fit_trees(x: Array, y: Array) -> list[dict[str, Any]]:
    """Fit one forest for the log-odds of `y`; its trees as LightGBM dumps them."""
    booster = lightgbm.train(SETTINGS, lightgbm.Dataset(x, y), TREES)
    return [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]


class _Nodes:
    """The arrays of `Trees`, as they grow; node 0 is a leaf worth nothing."""

    def __init__(self) -> None:
        self.feature, self.threshold, self.child, self.value = [0], [0.0], [[0, 0]], [0.0]
        self.depth = 0

    def add(self, node: dict[str, Any], depth: int = 0) -> int:
        at = len(self.feature)
        self.depth = max(self.depth, depth)
        leaf = "leaf_value" in node
        self.feature.append(0 if leaf else node["split_feature"])
        self.threshold.append(0.0 if leaf else _floor(node["threshold"]))
        self.value.append(node["leaf_value"] if leaf else 0.0)
        self.child.append([at, at])
        if not leaf:
            left = self.add(node["left_child"], depth + 1)
            self.child[at] = [self.add(node["right_child"], depth + 1), left]
        return at


def _floor(threshold: float) -> float:
    """Give the largest float32 that is not above: it parts float32 features as the threshold itself does."""
    near = np.float32(threshold)
    return float(near if near <= threshold else np.nextafter(near, np.float32(-np.inf)))


def pack(forests: list[list[dict[str, Any]]]) -> dict[str, Array]:
    """Flatten forests, one a kind; a forest with fewer trees is filled up with the empty one."""
    nodes = _Nodes()
    root = np.zeros((len(forests), max(map(len, forests))), np.uint32)
    for kind, forest in enumerate(forests):
        for number, tree in enumerate(forest):
            root[kind, number] = nodes.add(tree)
    return {
        "tree_feature": np.array(nodes.feature, np.uint8),
        "tree_threshold": np.array(nodes.threshold, np.float32),
        "tree_child": np.array(nodes.child, np.uint32),
        "tree_value": np.array(nodes.value, np.float32),
        "tree_root": root,
        "tree_depth": np.array(nodes.depth),
    }
