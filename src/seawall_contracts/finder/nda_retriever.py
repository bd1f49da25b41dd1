"""Finds, in a whole agreement, the passages that bear on each hypothesis about an NDA."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seawall_contracts.finder.hypotheses import HYPOTHESES
from seawall_contracts.finder.nda_features import F32, Hashed, Vocabulary, hashed, scores
from seawall_contracts.finder.retriever import Candidate
from seawall_contracts.finder.segments import Segment

CANDIDATES = 3
SCORE_DIGITS = 4
WEIGHTS = Path(__file__).with_name("weights")


@dataclass(frozen=True, slots=True)
class NdaRetriever:
    """A linear scorer on words and character n-grams, one output a hypothesis, with Platt scaling.

    A candidate's score estimates the probability that the passage is evidence, for or against. It
    is rounded to four digits, so that a reader computes the same from the number written in a prompt.
    """

    words: Vocabulary
    chars: Vocabulary
    word_weights: NDArray[np.int8]
    char_weights: NDArray[np.int8]
    scale: F32
    bias: F32
    platt: F32

    @classmethod
    def load(cls, folder: Path | None = None) -> "NdaRetriever":
        """Read the shipped weights, or those in `folder`."""
        with np.load((folder or WEIGHTS) / "nda.npz", allow_pickle=False) as arrays:
            return cls(
                Vocabulary(arrays["words"], arrays["words_idf"]),
                Vocabulary(arrays["chars"], arrays["chars_idf"]),
                arrays["find_words"],
                arrays["find_chars"],
                arrays["find_scale"],
                arrays["find_bias"],
                arrays["find_platt"],
            )

    def margins(self, grams: Hashed) -> F32:
        """Give the distance of each text from each hypothesis's hyperplane: `[texts, hypotheses]`."""
        words = scores(self.words.weigh(grams.words, grams.count), self.word_weights, self.scale[0])
        chars = scores(self.chars.weigh(grams.chars, grams.count), self.char_weights, self.scale[1])
        return words + chars + self.bias

    def probabilities(self, margins: F32) -> F32:
        """Turn margins into the rounded probability of being evidence."""
        scaled = self.platt[0] * margins + self.platt[1]
        return (1 / (1 + np.exp(-scaled))).round(SCORE_DIGITS).astype(np.float32)

    def retrieve(self, text: str, segments: Sequence[Segment]) -> dict[str, tuple[Candidate, ...]]:
        """Give each hypothesis's candidates, best first; fewer than three only if the text has fewer.

        A candidate's `segment` is its place in `segments`, which are of `text`.
        """
        if not segments:
            return dict.fromkeys(HYPOTHESES, ())
        margins = self.margins(hashed([text[segment.start : segment.end] for segment in segments]))
        probability = self.probabilities(margins)
        order = np.argsort(-margins, axis=0, kind="stable")[:CANDIDATES]
        return {
            name: tuple(Candidate(int(i), float(probability[i, column])) for i in order[:, column])
            for column, name in enumerate(HYPOTHESES)
        }
