"""Answers the hypotheses about an NDA from the retrieved passages alone, as a remote model would."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seawall_contracts.finder.hypotheses import HYPOTHESES
from seawall_contracts.finder.nda_cues import CueCounter
from seawall_contracts.finder.nda_features import F32, I64, Vocabulary, hashed, scores, sentences
from seawall_contracts.finder.nda_retriever import CANDIDATES, WEIGHTS
from seawall_contracts.finder.reader import Passage

NdaLabel = Literal["Entailment", "Contradiction", "NotMentioned"]
LABELS: tuple[NdaLabel, NdaLabel, NdaLabel] = ("Entailment", "Contradiction", "NotMentioned")
STANCES = 3
_FLOOR = 1e-4


@dataclass(frozen=True, slots=True)
class NdaAnswer:
    """One hypothesis, answered.

    `probability` is the calibrated probability of `label`. With `abstained` it is too low to rely on, and
    `label` is only the likeliest. `ranking` holds the ids of the candidate passages, best first.
    """

    id: str
    label: NdaLabel
    probability: float
    abstained: bool
    ranking: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Examined:
    """What the linear scorers say of a prompt's passages, and of their sentences.

    `stance[p, :, h]`: how strongly passage `p` entails, contradicts, and rather contradicts than entails
    hypothesis `h`. `sentence[s, :, h]`: how strongly a sentence bears on it at all, then the same three.
    `best[p, h]` is the sentence of the passage that bears on it most, `peak` each score's maximum over
    the passage's sentences. `cues` and `sentence_cues` say which cues each has.
    """

    stance: F32
    cues: F32
    sentence: F32
    sentence_cues: F32
    best: I64
    peak: F32


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of each question's candidates, `[question, candidate, …]`, padded with the last one.

    `probability` is the retriever's; the rest are the rows of `Examined` for the question's hypothesis.
    """

    probability: F32
    stance: F32
    cues: F32
    sentence: F32
    sentence_cues: F32
    peak: F32


@dataclass(frozen=True, slots=True)
class Shown:
    """What all passages of one prompt say of all hypotheses, where all are asked.

    `best[h]` is the log-odds of the best candidate of hypothesis `h`, `stance[s, h]` the largest stance of any passage.
    """

    best: F32
    stance: F32


def log_odds(probability: F32) -> F32:
    """Give ln(p / (1 - p)), kept finite."""
    kept = np.clip(probability, _FLOOR, 1 - _FLOOR)
    return np.log(kept / (1 - kept))


def passage_features(evidence: Evidence) -> F32:
    """Give what whole passages say, weighted by the retriever's probability: `[questions, features]`."""
    weight = evidence.probability
    total = weight.sum(1, keepdims=True) + 1e-3
    stance = evidence.stance
    top = stance.max(1)
    mean = (stance * weight[..., None]).sum(1) / total
    unlike = -np.log1p(-np.minimum(weight, 1 - _FLOOR)).sum(1, keepdims=True)
    return np.concatenate(
        (
            log_odds(weight),
            stance[:, 0],
            stance[:, 1],
            top,
            mean,
            top[:, :1] - top[:, 1:2],
            mean[:, :1] - mean[:, 1:2],
            unlike,
            (evidence.cues * weight[..., None]).sum(1),
            evidence.cues[:, 0],
        ),
        axis=1,
    )


def sentence_features(evidence: Evidence) -> F32:
    """Give what each passage's most relevant sentence says, weighted by its relevance: `[questions, features]`."""
    sentence = evidence.sentence
    relevance = sentence[..., 0]
    weight = 1 / (1 + np.exp(-3 * relevance))
    mean = (sentence * weight[..., None]).sum(1) / (weight.sum(1, keepdims=True) + 1e-3)
    every = np.arange(len(sentence))
    first = relevance.argmax(1)
    return np.concatenate(
        (
            relevance,
            sentence[:, 0],
            sentence[:, 1],
            evidence.peak.max(1),
            mean,
            (sentence[..., 1] - sentence[..., 2]).max(1)[:, None],
            sentence[every, first],
            (evidence.sentence_cues * weight[..., None]).sum(1),
            evidence.sentence_cues[every, first],
        ),
        axis=1,
    )


def own_features(evidence: Evidence) -> F32:
    """Give the features of each question that its own candidates determine: `[questions, features]`."""
    return np.concatenate((passage_features(evidence), sentence_features(evidence)), axis=1)


def shared_features(shown: Shown) -> F32:
    """Give the features that hypotheses lend each other: `[hypotheses, features]`."""
    everything = np.concatenate((shown.best, shown.stance[0], shown.stance[1]))
    return np.concatenate((shown.stance.T, np.tile(everything, (shown.stance.shape[1], 1))), axis=1)


def softmax(logits: F32) -> F32:
    """Give probabilities along the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@dataclass(frozen=True, slots=True)
class NdaReader:
    """Two multinomial logistic models a hypothesis, averaged, on linear stance scores and cues.

    The second model also sees what the prompt's other passages say of the other hypotheses; it has a say
    only where all hypotheses are asked at once. Names do not matter: pseudonyms read as one fixed word.
    """

    words: Vocabulary
    cues: CueCounter
    stance_weights: NDArray[np.int8]
    stance_scale: F32
    stance_bias: F32
    sentence_words: Vocabulary
    sentence_weights: NDArray[np.int8]
    sentence_scale: F32
    sentence_bias: F32
    own: F32
    full: F32
    temperature: float
    threshold: float

    @classmethod
    def load(cls, folder: Path | None = None) -> "NdaReader":
        """Read the shipped weights, or those in `folder`."""
        folder = folder or WEIGHTS
        card = json.loads((folder / "nda.json").read_text(encoding="utf-8"))
        with np.load(folder / "nda.npz", allow_pickle=False) as arrays:
            return cls(
                Vocabulary(arrays["words"], arrays["words_idf"]),
                CueCounter(),
                arrays["stance_weights"],
                arrays["stance_scale"],
                arrays["stance_bias"],
                Vocabulary(arrays["sentence_words"], arrays["sentence_idf"]),
                arrays["sentence_weights"],
                arrays["sentence_scale"],
                arrays["sentence_bias"],
                arrays["own"],
                arrays["full"],
                float(card["temperature"]),
                float(card["abstain_below"]),
            )

    def examine(self, texts: Sequence[str]) -> Examined:
        """Score passages and their sentences for every hypothesis."""
        grams = hashed(texts, chars=False)
        stance = scores(self.words.weigh(grams.words, grams.count), self.stance_weights, self.stance_scale)
        stance = (stance + self.stance_bias).reshape(grams.count, STANCES, -1)
        cuts = [sentences(text) for text in texts]
        parts = hashed(
            [text[a:b] for text, cut in zip(texts, cuts, strict=True) for a, b in cut], chars=False
        )
        terms = self.sentence_words.weigh(parts.words, parts.count)
        sentence = scores(terms, self.sentence_weights, self.sentence_scale) + self.sentence_bias
        return examined(
            (stance, self.cues.presence(grams.words, grams.count)),
            (sentence.reshape(parts.count, STANCES + 1, -1), self.cues.presence(parts.words, parts.count)),
            np.cumsum([0, *map(len, cuts)]),
        )

    def read(
        self, passages: Mapping[str, Passage], questions: Mapping[str, Sequence[tuple[str, float]]]
    ) -> list[NdaAnswer]:
        """Answer each question from its candidates: pairs of a passage's id and the retriever's score.

        Only the first three candidates count, and ids that are not among `passages` are left out. A
        question without candidates gets an abstained `NotMentioned`. Raises `ValueError` on a question which is
        not one of `HYPOTHESES`.
        """
        unknown = [name for name in questions if name not in HYPOTHESES]
        if unknown:
            raise ValueError(f"unknown NDA hypotheses {unknown}: expected some of {list(HYPOTHESES)}")
        asked = {name: [c for c in questions[name] if c[0] in passages][:CANDIDATES] for name in questions}
        answerable = [name for name in asked if asked[name]]
        answers = self._answer(passages, {name: asked[name] for name in answerable}) if answerable else {}
        nothing = {name: NdaAnswer(name, "NotMentioned", 0.5, True, ()) for name in asked if not asked[name]}
        return [answers[name] if name in answers else nothing[name] for name in asked]

    def _answer(
        self, passages: Mapping[str, Passage], asked: Mapping[str, Sequence[tuple[str, float]]]
    ) -> dict[str, NdaAnswer]:
        shown = sorted({key for pairs in asked.values() for key, _ in pairs})
        seen = self.examine([passages[key].text for key in shown])
        place = {key: i for i, key in enumerate(shown)}
        padded = [[*pairs, *[pairs[-1]] * (CANDIDATES - len(pairs))] for pairs in asked.values()]
        order = np.array([[place[key] for key, _ in pairs] for pairs in padded])
        probability = np.array([[score for _, score in pairs] for pairs in padded], np.float32)
        chances = self.probabilities(list(asked), order, probability, seen)
        out: dict[str, NdaAnswer] = {}
        for row, (name, pairs) in zip(chances, asked.items(), strict=True):
            best = int(row.argmax())
            chance = float(row[best])
            ranking = tuple(key for key, _ in pairs)
            out[name] = NdaAnswer(name, LABELS[best], chance, chance < self.threshold, ranking)
        return out

    def probabilities(self, names: Sequence[str], order: I64, probability: F32, seen: Examined) -> F32:
        """Give the calibrated probability of each label: `[questions, 3]`.

        `order[q, k]` says which of the examined passages is candidate `k` of question `q`.
        """
        ids = list(HYPOTHESES)
        column = np.array([ids.index(name) for name in names])
        evidence, shown = gather(column, order, probability, seen)
        own = own_features(evidence)
        logits = np.einsum("qf,qfl->ql", own, self.own[column, :-1]) + self.own[column, -1]
        chances = softmax(logits)
        if len(set(names)) == len(ids):
            full = np.concatenate((own, shared_features(shown)[column]), axis=1)
            logits = np.einsum("qf,qfl->ql", full, self.full[column, :-1]) + self.full[column, -1]
            chances = (chances + softmax(logits)) / 2
        tempered = np.log(np.maximum(chances, 1e-9)) / self.temperature
        return softmax(tempered.astype(np.float32))


def examined(whole: tuple[F32, F32], parts: tuple[F32, F32], first: I64) -> Examined:
    """Join the stance and cues of passages with those of their sentences.

    Passage `p` has the sentences `first[p]` to `first[p + 1]`, of which there is one at least.
    """
    sentence = parts[0]
    best = [first[p] + sentence[first[p] : first[p + 1], 0].argmax(0) for p in range(len(first) - 1)]
    peak = np.maximum.reduceat(sentence, first[:-1], axis=0)
    return Examined(*whole, *parts, np.array(best, np.int64), peak)


def gather(column: I64, order: I64, probability: F32, seen: Examined) -> tuple[Evidence, Shown]:
    """Pick each question's evidence out of what was examined; `column[q]` is the hypothesis of question `q`."""
    of = column[:, None]
    best = seen.best[order, of]
    evidence = Evidence(
        probability,
        seen.stance[order, :, of],
        seen.cues[order],
        seen.sentence[best, :, of],
        seen.sentence_cues[best],
        seen.peak[order, :, of],
    )
    odds = np.zeros(seen.stance.shape[2], np.float32)
    odds[column] = log_odds(probability[:, 0])
    return evidence, Shown(odds, seen.stance.max(0))
