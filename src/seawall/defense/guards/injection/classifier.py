"""How much a text reads like an attack: a linear model over hashed n-grams, one head for prompts, one for documents.

A stretch of words scores `bias + sum(weights of its n-grams) / length of its feature vector`, which two running sums
give for any stretch, so that every stretch of a text can be judged in time linear in the text. Trained by
`python -m training injection`; what it was trained on and what it finds is in MODEL_CARD.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seawall.defense.guards.injection.grams import LETTER_VALUE, Grams, read_grams
from seawall.defense.guards.injection.windows import FEWEST, sentences, sliding

Head = Literal["prompt", "document"]
F32 = NDArray[np.float32]

WINDOW: Mapping[Head, int] = {"prompt": 24, "document": 16}
_WEIGHTS = "injection.npz"
# Thresholds are set on paragraphs, which have about so many stretches; beyond, the demand grows with their logarithm.
_AS_TRAINED = 150
# Two words are little to go by.
FEW_WORDS = 1.0
_STEEPNESS = 1.5


class Judged:
    """How far beyond the threshold each stretch of a text scored; above 0 it reads like an attack.

    Stretch `i` is `text[start[i]:end[i]]`.
    """

    __slots__ = ("end", "margin", "start")

    def __init__(self, start: NDArray[np.int64], end: NDArray[np.int64], margin: NDArray[np.float64]) -> None:
        self.start = start
        self.end = end
        self.margin = margin

    def worst(self, most: int) -> list[tuple[int, int, float]]:
        """Give the worst stretch, and the others above 0 that do not overlap a worse one; at most `most`."""
        left = self.margin.copy()
        chosen: list[tuple[int, int, float]] = []
        while len(chosen) < most and len(left):
            at = int(left.argmax())
            if left[at] == -np.inf or (chosen and left[at] <= 0):
                break
            start, end = int(self.start[at]), int(self.end[at])
            chosen.append((start, end, float(left[at])))
            left[(self.start < end) & (self.end > start)] = -np.inf
        return chosen


@dataclass(frozen=True, slots=True)
class Linear:
    """One head: a weight for each dimension, and thresholds for a whole text and for a stretch of it."""

    weights: F32
    bias: float
    whole: float
    stretch: float

    def scores(self, grams: Grams, stretches: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score stretches `[n, 2]` of words; the same sums whether one is asked for or all."""
        first, last = stretches[:, 0], stretches[:, 1]
        count = len(grams)
        letters = np.bincount(grams.owner, self.weights[grams.letter], count)
        total = _part(self.weights[grams.single] + LETTER_VALUE * letters, first, last, 0)
        total += _part(self.weights[grams.pair], first, last, 1)
        total += _part(self.weights[grams.triple] + self.weights[grams.skip], first, last, 2)
        words = last - first
        squares = _part(1 + LETTER_VALUE**2 * np.bincount(grams.owner, minlength=count), first, last, 0)
        squares += np.maximum(words - 1, 0) + 2 * np.maximum(words - 2, 0)
        return total / np.sqrt(np.maximum(squares, 1)) + self.bias


def _part(
    values: NDArray[np.floating], first: NDArray[np.int64], last: NDArray[np.int64], short: int
) -> NDArray[np.float64]:
    running = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    begin = np.minimum(first, len(values))
    return running[np.maximum(last - short, begin)] - running[begin]


def _demand(stretches: int) -> float:
    """Say how much more is demanded of each of many: the worst of ten thousand innocents is worse than of a hundred."""
    return _STEEPNESS * log(max(1.0, stretches / _AS_TRAINED))


class Classifier:
    """Both heads. Holds no state of a text; one is enough for a process."""

    def __init__(self, heads: Mapping[Head, Linear]) -> None:
        self._heads = heads

    def judge(self, text: str, head: Head) -> Judged:
        """Judge the stretches of a text and, for a prompt, the whole of it. Of fewer than four words more is demanded in a
        prompt, and nothing is judged in a document.

        `text` is to be normalised first, as in training.
        """
        grams = read_grams(text)
        if len(grams) < (1 if head == "prompt" else FEWEST):
            nothing = np.zeros(0, np.int64)
            return Judged(nothing, nothing, np.zeros(0))
        model = self._heads[head]
        stretches = np.concatenate((sliding(grams, WINDOW[head]), sentences(grams, text)))
        if head == "prompt":
            stretches = np.concatenate((stretches, [[0, len(grams)]]))
        demanded = model.stretch + _demand(len(stretches))
        margins = model.scores(grams, stretches) - demanded
        if head == "prompt":
            margins[-1] += model.stretch - model.whole - (FEW_WORDS if len(grams) < FEWEST else 0.0)
        return Judged(grams.start[stretches[:, 0]], grams.end[stretches[:, 1] - 1], margins)


@lru_cache(maxsize=1)
def default_classifier() -> Classifier:
    """Load the classifier that ships; once a process."""
    file = resources.files("seawall.defense.guards.injection") / "weights" / _WEIGHTS
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        return Classifier({head: _head(arrays, head) for head in ("prompt", "document")})


def _head(arrays: Mapping[str, NDArray[np.generic]], head: Head) -> Linear:
    bias, whole, stretch = (float(value) for value in np.asarray(arrays[f"{head}_numbers"], np.float64))
    return Linear(np.asarray(arrays[f"{head}_weights"], np.float32), bias, whole, stretch)
