"""Says from the retrieved passages alone, as a remote model would, which clauses a contract has."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seawall_contracts.finder.linear import F32, I64, Linear
from seawall_contracts.finder.names import CLAUSES
from seawall_contracts.finder.retriever import CANDIDATES, WEIGHTS
from seawall_contracts.finder.tokens import joined, words
from seawall_contracts.finder.trees import Trees

_FLOOR = 1e-4
_NOTHING = -10.0
_ODDS, _OWN = 0, 5
_ABSENT = np.array((_NOTHING, _NOTHING, _NOTHING, -3.0), np.float32)
RATINGS = len(_ABSENT)
_COLUMN = {name: column for column, name in enumerate(CLAUSES)}


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage as a prompt shows it: an id that questions name, its section's heading, its text."""

    id: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class ClauseAnswer:
    """Whether a contract has a clause of one type.

    `probability` is the calibrated probability that it has. `present` is set where that passes the type's threshold,
    which is chosen for F1 and need not be a half. With `abstained` it is too near the threshold to
    rely on. `ranking` holds the candidates' ids, best first.
    """

    clause: str
    present: bool
    probability: float
    abstained: bool
    ranking: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions with their candidates, at most five each, as arrays.

    `clause[q]` is question `q`'s column in `CLAUSES`; `passage[q, k]` its candidate `k`'s row in the passages shown, and
    `chance[q, k]` that one's retrieval score; `-1` and 0 where there are fewer.
    """

    clause: I64
    passage: I64
    chance: F32


def log_odds(chance: NDArray[np.floating]) -> F32:
    """Give ln(p / (1 - p)), kept finite."""
    kept = np.clip(chance, _FLOOR, 1 - _FLOOR)
    return np.log(kept / (1 - kept)).astype(np.float32)


def _chance(odds: F32) -> F32:
    return (1 / (1 + np.exp(-np.clip(odds, -30, 30)))).astype(np.float32)


def features(asked: Asked, margins: F32) -> F32:
    """Give what is known of each candidate, `[questions, candidates, features]`.

    `margins[p]` are of the passages shown. Lengths are not among them: pseudonyms change those.
    """
    there = asked.passage >= 0
    row = np.where(there, asked.passage, 0)
    odds = np.where(there, log_odds(asked.chance), np.float32(_NOTHING))
    own = margins[row, asked.clause[:, None]]
    best = np.where(there, own, np.float32(-3)).max(1, keepdims=True)
    place = np.broadcast_to(np.arange(odds.shape[1], dtype=np.float32), odds.shape)
    single = (
        odds,
        odds - odds[:, :1],
        np.broadcast_to(odds[:, :1], odds.shape),
        np.broadcast_to(odds[:, 1:2], odds.shape),
        place,
        own,
        own - best,
    )
    return np.concatenate((np.stack(single, axis=2), margins[row]), axis=2, dtype=np.float32)


def rate(rows: F32, there: NDArray[np.bool_], clause: I64, logistic: F32, trees: Trees) -> F32:
    """Rate each candidate in four ways, `[questions, candidates, 4]`, the larger the likelier.

    By the log-odds of a logistic model, those of boosted trees, those of retrieval, and its own margin.
    """
    known = logistic[clause]
    linear = np.einsum("qkf,qf->qk", rows, known[:, :-1]) + known[:, -1:]
    flat = rows.reshape(-1, rows.shape[2])
    boosted = trees.sums(flat, np.repeat(clause, rows.shape[1])).reshape(linear.shape)
    rates = np.stack((linear, boosted, rows[..., _ODDS], rows[..., _OWN]), axis=2)
    return np.where(there[..., None], rates, _ABSENT).astype(np.float32)


def rank(rates: F32) -> list[list[int]]:
    """Order each question's candidates: first the one that the models find best, the others by their own margins.

    The models choose the better first passage; for the third, the margins alone lose fewer.
    """
    order = rates[..., 3].copy()
    best = rates[..., :2].sum(2).argmax(1)
    order[np.arange(len(order)), best] = np.inf
    return np.argsort(-order, axis=1, kind="stable").tolist()


@dataclass(frozen=True, slots=True)
class Reader:
    """Rates each question's candidates in four ways; the largest ratings, weighed, decide.

    The same passages and questions give the same answers. Names do not matter: pseudonyms read as one word.
    """

    linear: Linear
    logistic: F32
    trees: Trees
    decision: F32
    abstain_within: float

    @classmethod
    def load(cls, folder: Path | None = None) -> "Reader":
        """Read the shipped weights, or those in `folder`."""
        folder = folder or WEIGHTS
        card = json.loads((folder / "clauses.json").read_text(encoding="utf-8"))
        with np.load(folder / "clauses.npz", allow_pickle=False) as arrays:
            return cls(
                Linear.of(arrays),
                np.asarray(arrays["logistic"], np.float32),
                Trees.of(arrays),
                np.asarray(arrays["decision"], np.float32),
                float(card["abstain_within"]),
            )

    def read(
        self, passages: Mapping[str, Passage], questions: Mapping[str, Sequence[tuple[str, float]]]
    ) -> list[ClauseAnswer]:
        """Answer each question from its candidates: pairs of a passage's id and the retriever's score.

        Only the first five candidates count, and ids that are not among `passages` are left out. A question
        without candidates gets an abstained "absent". ValueError on a clause which is not one of `CLAUSES`.
        """
        unknown = [name for name in questions if name not in _COLUMN]
        if unknown:
            raise ValueError(f"unknown clauses {unknown}: expected some of {list(CLAUSES)}")
        if not questions:
            return []
        pairs = {
            name: [pair for pair in found if pair[0] in passages][:CANDIDATES]
            for name, found in questions.items()
        }
        shown = list(dict.fromkeys(key for found in pairs.values() for key, _ in found))
        asked = _asked(pairs, {key: row for row, key in enumerate(shown)})
        rates = self.rates(asked, self._examine([passages[key] for key in shown]))
        chance, threshold, near = self.decide(asked.clause, rates.max(1))
        order = rank(rates)
        return [
            ClauseAnswer(
                name,
                bool(found and chance[q] >= threshold[q]),
                float(chance[q]),
                bool(not found or near[q]),
                tuple(found[k][0] for k in order[q] if k < len(found)),
            )
            for q, (name, found) in enumerate(pairs.items())
        ]

    def rates(self, asked: Asked, margins: F32) -> F32:
        """Rate each candidate; see `rate`."""
        return rate(features(asked, margins), asked.passage >= 0, asked.clause, self.logistic, self.trees)

    def decide(self, clause: I64, best: F32) -> tuple[F32, F32, NDArray[np.bool_]]:
        """Give each question's probability, threshold, and whether it is too near that to tell.

        `best[q]` are the largest ratings among its candidates.
        """
        known = self.decision[clause]
        odds = (known[:, :RATINGS] * best).sum(1) + known[:, RATINGS]
        threshold = known[:, RATINGS + 1]
        near = np.abs(odds - threshold) < self.abstain_within
        return _chance(odds), _chance(threshold), near

    def _examine(self, shown: Sequence[Passage]) -> F32:
        if not shown:
            return np.zeros((1, len(CLAUSES)), np.float32)
        text, bounds = joined([passage.text for passage in shown])
        return self.linear.margins(words(text), bounds)


def _asked(pairs: Mapping[str, Sequence[tuple[str, float]]], row: Mapping[str, int]) -> Asked:
    passage = np.full((len(pairs), CANDIDATES), -1)
    chance = np.zeros((len(pairs), CANDIDATES), np.float32)
    for q, found in enumerate(pairs.values()):
        for k, (key, score) in enumerate(found):
            passage[q, k], chance[q, k] = row[key], score
    return Asked(np.array([_COLUMN[name] for name in pairs]), passage, chance)
