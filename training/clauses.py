"""Trains the clause finder and measures it, end to end and nested, on CUAD.

Three steps, each fitted on out-of-fold scores of the one before: a linear scorer of passages, a small model a type of
what surrounds a passage, and the reader. A measured contract is only ever seen, as raw text, by a retriever and a
reader that were trained without any contract of its filer.
"""

import itertools
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from seawall_contracts.finder.linear import Linear
from seawall_contracts.finder.names import CLAUSES, CORE_CLAUSES
from seawall_contracts.finder.reader import RATINGS, Asked, Reader, features, rate
from seawall_contracts.finder.retriever import (
    CANDIDATES,
    Candidate,
    Retriever,
    context_features,
    shortlist,
    surroundings,
)
from seawall_contracts.finder.tokens import grams, words
from seawall_contracts.finder.trees import Trees
from training.boosting import fit_trees, pack
from training.clauses_measure import Row, answer, summary
from training.data import Contract, folds, read_contracts

Array = NDArray[Any]
FOLDS = 5
FILERS = 3
LINEAR_C, POSITIVE_WEIGHT = 0.15, 3
CONTEXT_C, LOGISTIC_C, PLATT_C = 0.1, 0.02, 10.0
LEAST = 10
SHORTLIST = 20
ABSTAIN = 0.2
CORE = np.array([CLAUSES.index(name) for name in CORE_CLAUSES])


@dataclass(frozen=True, slots=True)
class Corpus:
    """All passages of all contracts in one table: passage `p` is of contract `contract[p]`, which is in `fold[c]`."""

    contracts: tuple[Contract, ...]
    filer: Array
    fold: Array
    start: Array
    contract: Array
    gold: Array
    present: Array
    keys: Array
    table: sp.csr_matrix


def gather(contracts: Sequence[Contract], seed: int = 0) -> Corpus:
    """Count the n-grams of all passages; those of fewer than three filers are left out, names among them."""
    sizes = [len(one.segments) for one in contracts]
    start = np.concatenate(([0], np.cumsum(sizes)))
    contract = np.repeat(np.arange(len(contracts)), sizes)
    filers = [one.filer for one in contracts]
    filer = np.unique(filers, return_inverse=True)[1]
    found = [grams(words(one.text), [(s.start, s.end) for s in one.segments]) for one in contracts]
    passage = np.concatenate([one.passage + at for one, at in zip(found, start, strict=False)])
    keys, column = np.unique(np.concatenate([one.key for one in found]), return_inverse=True)
    kept = _filers(column, filer[contract[passage]], len(keys)) >= FILERS
    new = np.cumsum(kept) - 1
    inside = kept[column]
    ones = np.ones(inside.sum(), np.float32)
    table = sp.csr_matrix((ones, (passage[inside], new[column[inside]])), shape=(start[-1], kept.sum()))
    table.sum_duplicates()
    table.data = 1 + np.log(table.data)
    gold = np.concatenate([one.gold for one in contracts])
    present = np.array([one.present for one in contracts])
    return Corpus(
        tuple(contracts), filer, folds(filers, FOLDS, seed), start, contract, gold, present, keys[kept], table
    )


def _filers(column: Array, filer: Array, columns: int) -> Array:
    pairs = np.unique(column.astype(np.int64) * 100_000 + filer)
    return np.bincount(pairs // 100_000, minlength=columns)


def fit_linear(corpus: Corpus, chosen: Array) -> dict[str, Array]:
    """Fit one hyperplane a type on the contracts chosen; the arrays that `Linear.of` takes, at shipped precision."""
    rows = np.flatnonzero(chosen[corpus.contract])
    some = corpus.table[rows]
    spread = np.repeat(corpus.filer[corpus.contract[rows]], np.diff(some.indptr))
    columns = np.flatnonzero(_filers(some.indices, spread, some.shape[1]) >= FILERS)
    frequency = np.bincount(some.indices, minlength=some.shape[1])[columns]
    idf = (np.log((1 + len(rows)) / (1 + frequency)) + 1).astype(np.float16)
    x = weighed(corpus.table[rows], columns, idf)
    weights = np.zeros((len(columns), len(CLAUSES)))
    bias = np.zeros(len(CLAUSES))
    for c in range(len(CLAUSES)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # liblinear stops at a loose tolerance on purpose
            model = LinearSVC(
                C=LINEAR_C, class_weight={1: POSITIVE_WEIGHT}, tol=0.02, max_iter=200, random_state=0
            )
            model.fit(x, corpus.gold[rows, c])
        weights[:, c], bias[c] = model.coef_[0], model.intercept_[0]
    scale = np.maximum(np.abs(weights).max(0), 1e-9) / 127
    return {
        "keys": corpus.keys[columns],
        "idf": idf,
        "weights": np.round(weights / scale).astype(np.int8),
        "scale": scale.astype(np.float32),
        "bias": bias.astype(np.float32),
    }


def weighed(table: sp.csr_matrix, columns: Array, idf: Array) -> sp.csr_matrix:
    x = (table[:, columns] @ sp.diags(idf.astype(np.float64))).tocsr()
    length = np.sqrt(np.asarray(x.multiply(x).sum(1)).ravel())
    return (sp.diags(1 / np.maximum(length, 1e-6)) @ x).tocsr()


def apply_linear(corpus: Corpus, model: dict[str, Array], chosen: Array) -> dict[int, Array]:
    """Give the margins of each contract chosen, `[passages, types]`, by its number."""
    rows = np.flatnonzero(chosen[corpus.contract])
    columns = np.searchsorted(corpus.keys, model["keys"])
    x = weighed(corpus.table[rows], columns, model["idf"])
    margins = np.asarray(x @ model["weights"].astype(np.float32)) * model["scale"] + model["bias"]
    parts = np.split(margins.astype(np.float32), np.cumsum(np.diff(corpus.start)[chosen])[:-1])
    return dict(zip(np.flatnonzero(chosen).tolist(), parts, strict=True))


@dataclass(frozen=True, slots=True)
class Scorers:
    """Linear scorers by the folds they were not trained on, and what they say of those folds' contracts."""

    models: dict[tuple[int, ...], dict[str, Array]]
    margins: dict[tuple[int, ...], dict[int, Array]]

    def unseen(self, corpus: Corpus, held: tuple[int, ...]) -> dict[int, Array]:
        """Give the margins of all contracts outside the held folds, each by a scorer that saw neither."""
        return {
            c: self.margins[tuple(sorted((*held, int(fold))))][c]
            for c, fold in enumerate(corpus.fold)
            if fold not in held
        }


def fit_scorers(corpus: Corpus) -> Scorers:
    """Fit without each fold and without each pair of folds: a pair's scorer serves both its folds' nested training."""
    models: dict[tuple[int, ...], dict[str, Array]] = {}
    margins: dict[tuple[int, ...], dict[int, Array]] = {}
    for held in (*itertools.combinations(range(FOLDS), 1), *itertools.combinations(range(FOLDS), 2)):
        began = time.perf_counter()
        out = np.isin(corpus.fold, held)
        models[held] = fit_linear(corpus, ~out)
        margins[held] = apply_linear(corpus, models[held], out)
        print(f"clauses: linear without folds {held} in {time.perf_counter() - began:.0f} s", flush=True)
    return Scorers(models, margins)


def fit_logistic(x: Array, y: Array, c: float) -> Array:
    """Fit a logistic model; standardising is folded into its coefficients, the intercept last."""
    mean, spread = x.mean(0), x.std(0)
    spread = np.where(spread < 1e-6, np.inf, spread)
    model = LogisticRegression(C=c, max_iter=500).fit((x - mean) / spread, y)
    slope = model.coef_[0] / spread
    return np.append(slope, model.intercept_[0] - np.where(np.isinf(spread), 0, mean) @ slope)


def fit_context(corpus: Corpus, margins: dict[int, Array]) -> Array:
    """Fit what scores a type's passages, on its 20 best of each contract: `[features + 1, types]`."""
    x: list[Array] = []
    y: list[Array] = []
    for c, own in margins.items():
        short = shortlist(own, SHORTLIST)
        x.append(context_features(own, surroundings(own, lengths(corpus.contracts[c])), short))
        y.append(corpus.gold[corpus.start[c] + short, np.arange(len(CLAUSES))])
    rows, marks = np.concatenate(x), np.concatenate(y)
    fitted = [fit_logistic(rows[:, t], marks[:, t], CONTEXT_C) for t in range(len(CLAUSES))]
    return np.array(fitted, np.float32).T


def lengths(contract: Contract) -> Array:
    return np.array([part.end - part.start for part in contract.segments])


@dataclass(frozen=True, slots=True)
class Seen:
    """What the reader sees of some contracts, and the truth: `x` is `[contracts, types, candidates, features]`."""

    contract: Array
    x: Array
    there: Array
    gold: Array
    present: Array


def see(corpus: Corpus, margins: dict[int, Array], retriever: Retriever) -> Seen:
    """Retrieve from the margins of contracts, and look at the candidates as the reader does."""
    asked: list[Asked] = []
    x: list[Array] = []
    gold: list[Array] = []
    for c, own in margins.items():
        size = lengths(corpus.contracts[c])
        asked.append(ask(retriever.candidates(own, size)))
        x.append(features(asked[-1], own))
        gold.append(corpus.gold[corpus.start[c] + asked[-1].passage, np.arange(len(CLAUSES))[:, None]])
    number = np.array(list(margins))
    there = np.array([one.passage >= 0 for one in asked])
    marks = np.array(gold) & there
    return Seen(number, np.array(x), there, marks, corpus.present[number])


def ask(found: dict[str, tuple[Candidate, ...]]) -> Asked:
    passage = np.full((len(CLAUSES), CANDIDATES), -1)
    chance = np.zeros((len(CLAUSES), CANDIDATES), np.float32)
    for q, name in enumerate(CLAUSES):
        for k, one in enumerate(found[name]):
            passage[q, k], chance[q, k] = one.segment, one.score
    return Asked(np.arange(len(CLAUSES)), passage, chance)


def fit_reader(seen: Seen, chosen: Array) -> dict[str, Array]:
    """Fit the logistic model and the trees of every type on the contracts chosen."""
    logistic: list[Array] = []
    forests: list[list[dict[str, Any]]] = []
    for t in range(len(CLAUSES)):
        there = seen.there[chosen, t]
        x, y = seen.x[chosen, t][there], seen.gold[chosen, t][there]
        if y.sum() < LEAST:
            # Too few to learn from: the retrieval odds stand.
            logistic.append(np.eye(x.shape[1] + 1)[0])
            forests.append([])
            continue
        logistic.append(fit_logistic(x, y, LOGISTIC_C))
        forests.append(fit_trees(x, y))
    return {"logistic": np.array(logistic, np.float32), **pack(forests)}


def best_rates(seen: Seen, chosen: Array, part: dict[str, Array]) -> Array:
    """Give the largest ratings among each type's candidates, `[contracts, types, ratings]`."""
    x = seen.x[chosen]
    clause = np.tile(np.arange(len(CLAUSES)), len(x))
    there = seen.there[chosen].reshape(-1, CANDIDATES)
    rates = rate(x.reshape(-1, *x.shape[2:]), there, clause, part["logistic"], Trees.of(part))
    return rates.max(1).reshape(*x.shape[:2], RATINGS)


def calibrate(rates: Array, present: Array) -> tuple[Array, float]:
    """Give each type's weights of the four ratings, intercept and F1 threshold, and how near to that to abstain.

    The ratings count alike, each by its own spread: four coefficients a type would be fitted to noise. All
    numbers are log-odds; a fifth of the answers on the core types are that near.
    """
    decision = np.zeros((len(CLAUSES), RATINGS + 2), np.float32)
    near: list[Array] = []
    for t in range(len(CLAUSES)):
        mean, spread = rates[:, t].mean(0), np.maximum(rates[:, t].std(0), 1e-3)
        score = ((rates[:, t] - mean) / spread).mean(1, keepdims=True)
        model = LogisticRegression(C=PLATT_C).fit(score, present[:, t])
        odds = model.decision_function(score)
        slope = model.coef_[0, 0] / spread / RATINGS
        decision[t] = *slope, model.intercept_[0] - slope @ mean, threshold(odds)
        if t in CORE:
            near.append(np.abs(odds - decision[t, -1]))
    return decision, round(float(np.quantile(np.array(near), ABSTAIN)), 4)


def threshold(odds: Array) -> float:
    """Give the log-odds over which to say "present" for the largest expected F1.

    The best threshold for calibrated probabilities is half the F1 it attains (Lipton et al. 2014); that
    varies less from sample to sample than the best threshold on the labels.
    """
    chance = np.sort(1 / (1 + np.exp(-odds)))[::-1]
    expected = 2 * np.cumsum(chance) / (np.arange(1, len(chance) + 1) + chance.sum())
    half = float(expected.max()) / 2
    return float(np.log(half / (1 - half)))


def fit(
    corpus: Corpus, held: tuple[int, ...], scorers: Scorers, linear: dict[str, Array]
) -> tuple[dict[str, Array], dict[str, float]]:
    """Fit everything that ships on the contracts outside the held folds: the arrays of `clauses.npz`, and a number."""
    margins = scorers.unseen(corpus, held)
    context = fit_context(corpus, margins)
    seen = see(corpus, margins, Retriever(Linear.of(linear), context))
    fold = corpus.fold[seen.contract]
    rates = np.zeros((*seen.present.shape, RATINGS))
    for inner in sorted(set(fold.tolist())):
        rates[fold == inner] = best_rates(seen, fold == inner, fit_reader(seen, fold != inner))
    decision, within = calibrate(rates, seen.present)
    whole = fit_reader(seen, np.ones(len(fold), bool))
    return {**linear, "context": context, **whole, "decision": decision}, {"abstain_within": within}


def write(out: Path, arrays: dict[str, Array], card: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "clauses.npz", **arrays)
    (out / "clauses.json").write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def cross_validate(corpus: Corpus, scorers: Scorers, scratch: Path) -> dict[str, Any]:
    """Measure through files and raw text, five folds; nothing of a fold's training has seen the fold's filers."""
    rows: list[Row] = []
    spread: list[float] = []
    for fold in range(FOLDS):
        began = time.perf_counter()
        write(scratch, *fit(corpus, (fold,), scorers, scorers.models[fold,]))
        retriever, reader = Retriever.load(scratch), Reader.load(scratch)
        held = [corpus.contracts[c] for c in np.flatnonzero(corpus.fold == fold)]
        part = [row for one in held for row in answer(retriever, reader, one)]
        rows += part
        figures = summary(part)
        spread.append(figures["presence_f1"])
        print(
            f"clauses: fold {fold + 1}/{FOLDS} {figures['presence_f1']} in {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    return {**summary(rows), "presence_f1_over_folds": spread}


def build(out: Path) -> dict[str, Any]:
    """Cross-validate, train on everything, write `clauses.npz` and `clauses.json` into `out`; return the metrics."""
    contracts = read_contracts()
    corpus = gather(contracts)
    print(f"clauses: {len(contracts)} contracts, {corpus.table.shape} passages and n-grams", flush=True)
    scorers = fit_scorers(corpus)
    scratch = out / "scratch"
    metrics = cross_validate(corpus, scorers, scratch)
    for left in ("clauses.npz", "clauses.json"):
        (scratch / left).unlink()
    scratch.rmdir()
    arrays, numbers = fit(corpus, (), scorers, fit_linear(corpus, np.ones(len(contracts), bool)))
    thresholds = arrays["decision"][:, -1].astype(float)
    card = {
        **numbers,
        "clauses": CLAUSES,
        "present_from": dict(zip(CLAUSES, np.round(1 / (1 + np.exp(-thresholds)), 4).tolist(), strict=True)),
        "data": "CUAD v1 (Hendrycks et al., NeurIPS Datasets 2021), CC BY 4.0",
        "contracts": len(contracts),
        "cross_validated": metrics,
    }
    write(out, arrays, card)
    return metrics
