"""Finds, in a whole contract, the passages that are most like each type of clause."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seawall_contracts.finder.linear import F32, Linear
from seawall_contracts.finder.names import CLAUSES
from seawall_contracts.finder.segments import Segment
from seawall_contracts.finder.tokens import words

CANDIDATES = 5
SCORE_DIGITS = 4
WEIGHTS = Path(__file__).with_name("weights")
# A passage that is the clause with less than this probability is not worth its tokens, unless it is the best there is.
HOPELESS = 0.02
_NOWHERE = -1.2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage, by its place in the list of segments, and how likely it is to be such a clause, 0 to 1."""

    segment: int
    score: float


@dataclass(frozen=True, slots=True)
class Context:
    """What stands around each passage: `[passages, types]` margins before and after it, and the document's largest."""

    before: F32
    after: F32
    largest: F32
    place: F32
    size: F32


def surroundings(margins: F32, lengths: NDArray[np.int64]) -> Context:
    """Read the context of all passages of one document off their margins and lengths in characters."""
    edge = np.full((1, margins.shape[1]), _NOWHERE, np.float32)
    count = len(margins)
    return Context(
        np.concatenate((edge, margins[:-1])),
        np.concatenate((margins[1:], edge)),
        margins.max(0),
        (np.arange(count) / max(1, count - 1)).astype(np.float32),
        np.log(lengths).astype(np.float32),
    )


def context_features(margins: F32, context: Context, short: NDArray[np.int64]) -> F32:
    """Give what decides the score of each shortlisted passage, `[passages, types, 7]`.

    Its own margin, its neighbours', the larger of those, the document's largest, its place and length.
    """
    column = np.arange(margins.shape[1], dtype=np.int64)
    before, after = context.before[short, column], context.after[short, column]
    largest = np.broadcast_to(context.largest, short.shape)
    place, size = context.place[short], context.size[short]
    own = margins[short, column]
    return np.stack((own, before, after, np.maximum(before, after), largest, place, size), axis=2)


def shortlist(margins: F32, count: int) -> NDArray[np.int64]:
    """Give the passages with the largest margins, best first: `[at most count, types]`."""
    return np.argsort(-margins, axis=0, kind="stable")[:count]


def worth_asking(best: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Leave out the candidates that no model need be shown, at the price of their tokens: all but the first, if hopeless."""
    return tuple(found for place, found in enumerate(best) if place == 0 or found.score >= HOPELESS)


@dataclass(frozen=True, slots=True)
class Retriever:
    """A linear scorer chooses a type's five passages; a logistic model scores those by what surrounds them, too.

    Choosing by context as well loses more gold passages than it gains. Deterministic. A score is rounded to four digits, so that a reader computes the same from the number
    written in a prompt.
    """

    linear: Linear
    context: F32

    @classmethod
    def load(cls, folder: Path | None = None) -> "Retriever":
        """Read the shipped weights, or those in `folder`."""
        with np.load((folder or WEIGHTS) / "clauses.npz", allow_pickle=False) as arrays:
            return cls(Linear.of(arrays), np.asarray(arrays["context"], np.float32))

    def retrieve(self, text: str, segments: Sequence[Segment]) -> dict[str, tuple[Candidate, ...]]:
        """Give each clause's candidates, best first; fewer than five only where the text has fewer passages.

        `segments` are those of `text`, in order.
        """
        if not segments:
            return dict.fromkeys(CLAUSES, ())
        bounds = [(part.start, part.end) for part in segments]
        margins = self.linear.margins(words(text), bounds)
        return self.candidates(margins, np.array([end - start for start, end in bounds]))

    def candidates(self, margins: F32, lengths: NDArray[np.int64]) -> dict[str, tuple[Candidate, ...]]:
        """Choose the candidates by the passages' margins and lengths in characters."""
        around = surroundings(margins, lengths)
        short = shortlist(margins, CANDIDATES)
        logits = np.einsum("ptf,ft->pt", context_features(margins, around, short), self.context[:-1])
        logits += self.context[-1]
        order = np.argsort(-logits, axis=0, kind="stable")
        best = np.take_along_axis(short, order, 0).T.tolist()
        odds = np.clip(np.take_along_axis(logits, order, 0).T.astype(np.float64), -30, 30)
        chance = 1 / (1 + np.exp(-odds))
        score = np.round(chance, SCORE_DIGITS).tolist()
        return {
            name: tuple(map(Candidate, best[column], score[column])) for column, name in enumerate(CLAUSES)
        }
