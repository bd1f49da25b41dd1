"""Names of people, organisations, places and peoples, and addresses, by a small linear model of words in their context.

A structured perceptron (Collins 2002) over hashed features; weights of `python -m training.names`.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seawall.foundation.compliance.pii_scan import Found
from seawall.foundation.compliance.pii_words import (
    BEGIN3,
    COMMON,
    EDGE_FACTS,
    END2,
    END3,
    FIRST,
    LAST,
    LISTS,
    LOWER,
    SHAPE,
    Ints,
    Lists,
    Tokens,
    tokenise,
)

WEIGHTS = Path(__file__).with_name("names.npz")
KINDS = ("PERSON", "ORGANIZATION", "GPE", "NRP", "STREET_ADDRESS", "ZIP_CODE")
TAGS = 1 + 2 * len(KINDS)
"""Tag 0 is none; kind k begins with tag 2k + 1 and goes on with tag 2k + 2."""
BUCKETS = 1 << 16
_REACH = 3
_ROW = 64
_SALT, _LEFT, _RIGHT = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35

_NEVER = -1e9
_LOOK, _AROUND = 6, 7
_COLUMNS = 9
_NOTHING = 8
_EDGE = np.array([*EDGE_FACTS, EDGE_FACTS[SHAPE] * 256, 0, -1], dtype=np.int64)[:, None]
# What is mixed with what, each with the place it is taken from: 0 is the word itself, -1 the one before.
_MIXED = (
    (LOWER, 0, _NOTHING, 0), (SHAPE, 0, _NOTHING, 0), (LISTS, 0, _NOTHING, 0), (_LOOK, 0, _NOTHING, 0),
    (END3, 0, SHAPE, 0), (END2, 0, SHAPE, 0), (BEGIN3, 0, SHAPE, 0),
    (LOWER, -1, _NOTHING, 0), (LOWER, -1, _LOOK, 0), (_LOOK, -1, _NOTHING, 0), (_LOOK, -1, _LOOK, 0), (END3, -1, _NOTHING, 0),
    (LOWER, 1, _NOTHING, 0), (LOWER, 1, _LOOK, 0), (_LOOK, 1, _NOTHING, 0), (_LOOK, 0, _LOOK, 1), (END3, 1, _NOTHING, 0),
    (LOWER, -1, LOWER, 1), (_AROUND, 0, SHAPE, 0),
    (LOWER, -2, _NOTHING, 0), (LOWER, -2, LOWER, -1), (_LOOK, -2, _LOOK, -1), (LOWER, -2, SHAPE, 0), (LOWER, -3, SHAPE, 0),
    (LOWER, 2, _NOTHING, 0), (LOWER, 1, LOWER, 2), (_LOOK, 1, _LOOK, 2), (LOWER, 2, SHAPE, 0), (LOWER, 3, SHAPE, 0),
)  # fmt: skip
_PLACES = np.array(_MIXED).T
_PAIRS = ((_PLACES[0], _PLACES[1] + _REACH), (_PLACES[2], _PLACES[3] + _REACH))
_SALTS = (np.arange(len(_MIXED))[:, None] + 1) * _SALT

Scores = NDArray[np.float32]
Tags = NDArray[np.int64]


class Tagger:
    """Tags words. The same text gives the same answer everywhere; time and memory are linear in the text."""

    __slots__ = ("_steps", "_weights", "lists")

    def __init__(self, lists: Lists, weights: NDArray[np.int8], steps: Scores) -> None:
        self.lists = lists
        self._weights = weights
        self._steps = steps

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> "Tagger":
        """Read the weights; ValueError where they are not of this shape."""
        with np.load(path, allow_pickle=False) as arrays:
            lists = Lists(arrays["keys"], arrays["bits"])
            weights, steps = arrays["weights"], arrays["steps"].astype(np.float32)
            said = json.loads(arrays["about"].tobytes().decode())
        if weights.shape != (BUCKETS, TAGS) or steps.shape != (TAGS, TAGS) or said["kinds"] != list(KINDS):
            raise ValueError(
                f"{path.name} holds weights of shape {weights.shape}, expected {(BUCKETS, TAGS)}"
            )
        return cls(lists, weights, steps)

    def ordinary(self, words: Iterable[str]) -> bool:
        """Whether all these are words of running text and none is on a list of names; words of one letter do not count."""
        bits = [self.lists.bits(word) for word in words if len(word) > 1]
        return all(own & COMMON and not own & (FIRST | LAST) for own in bits)

    def find(self, text: str) -> list[Found]:
        """Find names in order of place: start, end and kind, half open, in characters."""
        tokens = tokenise(text)
        if not tokens.words:
            return []
        facts = self.lists.facts(tokens.words)
        scores = self._weights[features(facts)].sum(axis=0, dtype=np.float32)
        return spans(tokens, best_tags(scores, self._steps).tolist())


@cache
def tagger() -> Tagger:
    """Return the tagger that is shipped, read once."""
    return Tagger.load()


def features(facts: Ints) -> Ints:
    """Return, for each feature, the bucket of every word: what is known of it and of its neighbours, mixed."""
    count = len(facts)
    wide = np.empty((_COLUMNS, count + 2 * _REACH), dtype=np.int64)
    wide[:] = _EDGE
    wide[: len(EDGE_FACTS), _REACH : _REACH + count] = facts.T
    wide[_LOOK] = wide[SHAPE] * 256 + wide[LISTS]
    wide[_AROUND, 1:-1] = wide[SHAPE, :-2] * 32 + wide[SHAPE, 2:]
    places = np.arange(count)
    one, other = (
        wide.ravel()[(column * wide.shape[1] + offset)[:, None] + places] for column, offset in _PAIRS
    )
    mixed = (one + _SALTS) * _LEFT
    mixed = (mixed ^ (mixed >> 15)) + (other + 1) * _RIGHT
    return (mixed ^ (mixed >> 17)) & (BUCKETS - 1)


def best_tags(scores: Scores, steps: Scores) -> Tags:
    """Return the tags of the best path (Viterbi 1967), in rows of 64 words so that a long text is read side by side.

    `steps[a, b]` is what going from tag a to tag b adds. Before the first word and after the last stands tag 0; at
    the other ends of rows any tag may.
    """
    count = len(scores)
    width = min(count + 1, _ROW)
    rows = -(-(count + 1) // width)
    padded = np.full((rows * width, TAGS), _NEVER, dtype=np.float32)
    padded[count:, 0] = 0
    padded[:count] = scores
    padded[0] += steps[0]
    best = np.ascontiguousarray(padded.reshape(rows, width, TAGS).swapaxes(0, 1))
    by_end = np.ascontiguousarray(steps.T)
    for place in range(1, width):
        best[place] += np.maximum.reduce(best[place - 1][:, None, :] + by_end, axis=2)
    came = (best[:-1, :, None, :] + by_end).argmax(axis=3)
    tags = np.empty((width, rows), dtype=np.int64)
    tags[-1] = best[-1].argmax(axis=1)
    every = np.arange(rows)
    for place in range(width - 1, 0, -1):
        tags[place - 1] = came[place - 1, every, tags[place]]
    return tags.T.reshape(-1)[:count]


def spans(tokens: Tokens, tags: list[int]) -> list[Found]:
    """Join tagged words: a kind begins where its first tag stands, or where another kind stood before."""
    found: list[Found] = []
    running = 0
    for place, tag in enumerate(tags):
        kind = (tag + 1) // 2
        if tag == 0:
            running = 0
        elif tag % 2 == 0 and kind == running:
            if tokens.words[place] != "\n":
                found[-1] = (found[-1][0], tokens.ends[place], found[-1][2])
        elif tokens.words[place] == "\n":
            running = 0
        else:
            found.append((tokens.starts[place], tokens.ends[place], KINDS[kind - 1]))
            running = kind
    return found
