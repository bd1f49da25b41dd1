"""Trains the NDA model and measures it, end to end and nested, on ContractNLI's NDAs.

Three steps, each fitted on out-of-fold scores of the one before: a linear scorer finds evidence, linear
scorers say which way a passage points, and two logistic models a hypothesis decide. A measured document is only
ever seen as raw text by a retriever and a reader that were trained without it.
"""

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

from seawall_contracts.finder.nda_cues import CueCounter
from seawall_contracts.finder.nda_features import HASH_BITS, Grams, hashed
from seawall_contracts.finder.nda_reader import (
    LABELS,
    STANCES,
    NdaReader,
    examined,
    gather,
    own_features,
    shared_features,
    softmax,
)
from seawall_contracts.finder.nda_retriever import CANDIDATES, SCORE_DIGITS, NdaRetriever
from training.nda_data import CONTRADICTS, ENTAILS, IDS, Nda, full_ndas, pseudo_ndas
from training.nda_measure import Row, answer, summary

Array = NDArray[Any]
OUTER, INNER = 5, 4
ABSTAIN = 0.2
FIND_C, STANCE_C, DIRECTION_C, RELEVANCE_C, OWN_C, FULL_C = 0.1, 0.5, 0.3, 0.3, 0.008, 0.002
POSITIVE_WEIGHT = 3
LEAST = 3
UNSEEN = -20.0


@dataclass(frozen=True, slots=True)
class Table:
    """Pieces of all documents, in order: piece `i` is of document `document[i]`."""

    document: Array
    evidence: Array
    words: sp.csr_matrix
    chars: sp.csr_matrix
    cues: Array

    def within(self, documents: Array) -> Array:
        """Give the pieces of the marked documents."""
        return np.flatnonzero(documents[self.document])


@dataclass(frozen=True, slots=True)
class Corpus:
    """All documents' passages and sentences; passage `p` has the sentences `first[p]` to `first[p + 1]`."""

    ndas: tuple[Nda, ...]
    labels: Array
    passages: Table
    sentences: Table
    first: Array


@dataclass(frozen=True, slots=True)
class Linear:
    """Fitted scorers: columns of the hash table, their idf, and coefficients with the intercept last."""

    columns: tuple[Array, ...]
    idf: tuple[Array, ...]
    weights: Array
    bias: Array


def counts(grams: Grams, texts: int) -> sp.csr_matrix:
    ones = np.ones(len(grams.text), np.float32)
    table = sp.csr_matrix((ones, (grams.text, grams.bucket)), shape=(texts, 1 << HASH_BITS))
    table.sum_duplicates()
    table.data = 1 + np.log(table.data)
    return table


def tabulate(texts: Sequence[Sequence[str]], evidence: Sequence[Array], *, chars: bool) -> Table:
    grams = hashed([text for some in texts for text in some], chars=chars)
    return Table(
        np.repeat(np.arange(len(texts)), [len(some) for some in texts]),
        np.concatenate(evidence),
        counts(grams.words, grams.count),
        counts(grams.chars, grams.count),
        CueCounter().presence(grams.words, grams.count),
    )


def gather_corpus(ndas: Sequence[Nda]) -> Corpus:
    each = np.concatenate([np.bincount(one.of, minlength=len(one.passages)) for one in ndas])
    return Corpus(
        tuple(ndas),
        np.array([one.labels for one in ndas]),
        tabulate([one.passages for one in ndas], [one.evidence for one in ndas], chars=True),
        tabulate([one.sentences for one in ndas], [one.sentence_evidence for one in ndas], chars=False),
        np.concatenate(([0], np.cumsum(each))),
    )


def folds(ndas: Sequence[Nda], parts: int, seed: int) -> Array:
    """Deal full and pseudo documents out separately, so that every fold has its share of both."""
    out = np.zeros(len(ndas), int)
    full = np.array([bool(one.text) for one in ndas])
    for kind in (full, ~full):
        places = np.flatnonzero(kind)
        out[np.random.RandomState(seed).permutation(places)] = np.arange(len(places)) % parts
    return out


def vocabulary(table: sp.csr_matrix, least: int) -> tuple[Array, Array]:
    """Give the buckets in at least so many passages, and their smoothed idf at the precision that ships."""
    frequency = np.bincount(table.indices, minlength=table.shape[1])
    columns = np.flatnonzero(frequency >= least)
    idf = np.log((1 + table.shape[0]) / (1 + frequency[columns])) + 1
    return columns, idf.astype(np.float16).astype(np.float64)


def weighed(table: sp.csr_matrix, columns: Array, idf: Array) -> sp.csr_matrix:
    chosen = (table[:, columns] @ sp.diags(idf)).tocsr()
    length = np.sqrt(np.asarray(chosen.multiply(chosen).sum(1)).ravel())
    return (sp.diags(1 / np.maximum(length, 1e-6)) @ chosen).tocsr()


def machine(x: sp.csr_matrix, y: Array, c: float, weight: Any) -> tuple[Array, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # liblinear stops at a loose tolerance on purpose
        model = LinearSVC(C=c, class_weight=weight, tol=0.02, max_iter=150, random_state=0).fit(x, y)
    return model.coef_[0], float(model.intercept_[0])


def fit_finder(table: Table, rows: Array) -> Linear:
    parts = [vocabulary(table.words[rows], LEAST), vocabulary(table.chars[rows], LEAST)]
    x = sp.hstack(
        [weighed(t[rows], *p) for t, p in zip((table.words, table.chars), parts, strict=True)]
    ).tocsr()
    fitted = [machine(x, table.evidence[rows, h], FIND_C, {1: POSITIVE_WEIGHT}) for h in range(len(IDS))]
    return Linear(
        tuple(p[0] for p in parts),
        tuple(p[1] for p in parts),
        np.array([f[0] for f in fitted]).T,
        np.array([f[1] for f in fitted]),
    )


def fit_stance(table: Table, labels: Array, rows: Array, *, relevance: bool) -> Linear:
    """Fit, for each hypothesis, "entails", "contradicts", and among the evidence "contradicts, not entails".

    With `relevance`, "is evidence" comes before these.
    """
    columns, idf = vocabulary(table.words[rows], LEAST)
    x = weighed(table.words[rows], columns, idf)
    label = labels[table.document[rows]]
    weights = np.zeros((4, len(IDS), len(columns)))
    bias = np.full((4, len(IDS)), -1.0)
    for h in range(len(IDS)):
        evidence = table.evidence[rows, h]
        for_, against = (evidence * (label[:, h] == side) for side in (ENTAILS, CONTRADICTS))
        if relevance:
            weights[0, h], bias[0, h] = machine(x, evidence, RELEVANCE_C, {1: POSITIVE_WEIGHT})
        for i, y in ((1, for_), (2, against)):
            if y.sum() >= 3:
                weights[i, h], bias[i, h] = machine(x, y, STANCE_C, {1: POSITIVE_WEIGHT})
        bias[3, h] = 0
        if min(for_.sum(), against.sum()) >= 5:
            some = np.flatnonzero(for_ + against)
            weights[3, h], bias[3, h] = machine(x[some], against[some], DIRECTION_C, "balanced")
    kept = slice(0 if relevance else 1, None)
    return Linear((columns,), (idf,), weights[kept].reshape(-1, len(columns)).T, bias[kept].ravel())


def apply(model: Linear, tables: Sequence[sp.csr_matrix]) -> Array:
    x = sp.hstack(
        [weighed(t, c, i) for t, c, i in zip(tables, model.columns, model.idf, strict=True)]
    ).tocsr()
    return (x @ model.weights + model.bias).astype(np.float32)


def out_of_fold(corpus: Corpus, train: Array, seed: int) -> tuple[Array, Array, Array]:
    """Give margins `[passages, 17]`, stances `[passages, 3, 17]` and sentences' scores `[sentences, 4, 17]`.

    Each is from models that were fitted without that document.
    """
    part = np.where(train, folds(corpus.ndas, INNER, seed), -1)
    whole, parts = corpus.passages, corpus.sentences
    margins = np.zeros((len(whole.document), len(IDS)), np.float32)
    stance = np.zeros((len(whole.document), STANCES * len(IDS)), np.float32)
    sentence = np.zeros((len(parts.document), (STANCES + 1) * len(IDS)), np.float32)
    for fold in range(INNER):
        rest = (part != fold) & (part >= 0)
        held = whole.within(part == fold)
        margins[held] = apply(fit_finder(whole, whole.within(rest)), (whole.words[held], whole.chars[held]))
        model = fit_stance(whole, corpus.labels, whole.within(rest), relevance=False)
        stance[held] = apply(model, (whole.words[held],))
        held = parts.within(part == fold)
        model = fit_stance(parts, corpus.labels, parts.within(rest), relevance=True)
        sentence[held] = apply(model, (parts.words[held],))
    return margins, stance.reshape(-1, STANCES, len(IDS)), sentence.reshape(-1, STANCES + 1, len(IDS))


def fit_platt(margins: Array, evidence: Array) -> Array:
    """Fit one logistic a hypothesis: `[slope and intercept, 17]`."""
    out = np.zeros((2, margins.shape[1]), np.float32)
    for h in range(margins.shape[1]):
        model = LogisticRegression(C=100.0).fit(margins[:, h : h + 1], evidence[:, h])
        out[:, h] = model.coef_[0, 0], model.intercept_[0]
    return out


def candidates(margins: Array, platt: Array) -> tuple[Array, Array]:
    """Give one document's candidates as the retriever would, padded: `[17, 3]` places and probabilities."""
    order = np.argsort(-margins, axis=0, kind="stable")[:CANDIDATES]
    order = np.concatenate((order, np.repeat(order[-1:], CANDIDATES - len(order), axis=0)))
    odds = platt[0] * np.take_along_axis(margins, order, 0) + platt[1]
    return order.T, np.round(1 / (1 + np.exp(-odds)), SCORE_DIGITS).T.astype(np.float32)


def question_features(
    corpus: Corpus, train: Array, scored: tuple[Array, Array, Array], platt: Array
) -> tuple[Array, Array]:
    """Give what the reader would see of each training document: own `[documents, 17, f]` and full features."""
    margins, stance, sentence = scored
    own: list[Array] = []
    full: list[Array] = []
    start = np.searchsorted(corpus.passages.document, np.arange(len(corpus.ndas) + 1))
    for d in np.flatnonzero(train):
        order, chance = candidates(margins[start[d] : start[d + 1]], platt)
        shown, place = np.unique(order + start[d], return_inverse=True)
        spans = [np.arange(corpus.first[p], corpus.first[p + 1]) for p in shown]
        inside = np.concatenate(spans)
        seen = examined(
            (stance[shown], corpus.passages.cues[shown]),
            (sentence[inside], corpus.sentences.cues[inside]),
            np.cumsum([0, *map(len, spans)]),
        )
        evidence, shared = gather(np.arange(len(IDS)), place.reshape(order.shape), chance, seen)
        own.append(own_features(evidence))
        full.append(np.concatenate((own[-1], shared_features(shared)), axis=1))
    return np.array(own), np.array(full)


def fit_decision(x: Array, labels: Array, c: float) -> Array:
    """Fit one multinomial logistic a hypothesis; standardising is folded into `[17, features + 1, 3]`."""
    out = np.zeros((len(IDS), x.shape[2] + 1, len(LABELS)), np.float32)
    for h in range(len(IDS)):
        mean, spread = x[:, h].mean(0), x[:, h].std(0)
        spread = np.where(spread < 1e-6, np.inf, spread)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a loose tolerance on purpose
            model = LogisticRegression(C=c, max_iter=300, tol=1e-3).fit(
                (x[:, h] - mean) / spread, labels[:, h]
            )
        coefficients, intercept = model.coef_, model.intercept_
        if len(model.classes_) == 2:
            coefficients, intercept = (
                np.array([-coefficients[0], coefficients[0]]) / 2,
                np.array([-1, 1]) * intercept / 2,
            )
        out[h, -1] = UNSEEN
        out[h, :-1, model.classes_] = coefficients / spread
        out[h, -1, model.classes_] = intercept - coefficients @ (mean / spread)
    return out


def decide(x: Array, model: Array) -> Array:
    return softmax(np.einsum("dhf,hfl->dhl", x, model[:, :-1]) + model[:, -1])


def calibrate(own: Array, full: Array, labels: Array, group: Array) -> tuple[float, float]:
    """Give the temperature, and the probability under which a fifth abstain, from held-out full NDAs.

    `group` is each document's fold, or -1 for a document which is trained on only.
    """
    chances = np.zeros((*own.shape[:2], len(LABELS)))
    for fold in range(int(group.max()) + 1):
        fit, held = group != fold, group == fold
        first = decide(own[held], fit_decision(own[fit], labels[fit], OWN_C))
        chances[held] = (first + decide(full[held], fit_decision(full[fit], labels[fit], FULL_C))) / 2
    p, y = chances[group >= 0].reshape(-1, len(LABELS)), labels[group >= 0].ravel()
    logs = np.log(np.maximum(p, 1e-9))

    def loss(temperature: float) -> float:
        return float(-np.log(softmax(logs / temperature)[np.arange(len(y)), y]).mean())

    temperature = min(np.arange(0.5, 2.01, 0.05), key=loss)
    sure = softmax(logs / temperature).max(1)
    return round(float(temperature), 2), round(float(np.quantile(sure, ABSTAIN)), 4)


def int8(weights: Array) -> tuple[NDArray[np.int8], Array]:
    scale = np.maximum(np.abs(weights).max(0), 1e-9) / 127
    return np.round(weights / scale).astype(np.int8), scale.astype(np.float32)


def fit(corpus: Corpus, train: Array, seed: int) -> tuple[dict[str, Array], dict[str, float]]:
    """Fit everything that ships on the marked documents: the arrays of `nda.npz`, and two numbers."""
    scored = out_of_fold(corpus, train, seed)
    rows = corpus.passages.within(train)
    platt = fit_platt(scored[0][rows], corpus.passages.evidence[rows])
    own, full = question_features(corpus, train, scored, platt)
    labels = corpus.labels[train]
    real = np.array([bool(one.text) for one in corpus.ndas])[train]
    group = np.where(real, folds(corpus.ndas, OUTER, seed + 50)[train], -1)
    temperature, threshold = calibrate(own, full, labels, group)
    finder = fit_finder(corpus.passages, rows)
    sides = fit_stance(corpus.passages, corpus.labels, rows, relevance=False)
    parts = fit_stance(corpus.sentences, corpus.labels, corpus.sentences.within(train), relevance=True)
    cut = len(finder.columns[0])
    find_words, words_scale = int8(finder.weights[:cut])
    find_chars, chars_scale = int8(finder.weights[cut:])
    arrays = {
        "words": finder.columns[0].astype(np.int32),
        "words_idf": finder.idf[0].astype(np.float16),
        "chars": finder.columns[1].astype(np.int32),
        "chars_idf": finder.idf[1].astype(np.float16),
        "find_words": find_words,
        "find_chars": find_chars,
        "find_scale": np.array((words_scale, chars_scale)),
        "find_bias": finder.bias.astype(np.float32),
        "find_platt": platt,
        "sentence_words": parts.columns[0].astype(np.int32),
        "sentence_idf": parts.idf[0].astype(np.float16),
        "own": fit_decision(own, labels, OWN_C),
        "full": fit_decision(full, labels, FULL_C),
    }
    for name, model in (("stance", sides), ("sentence", parts)):
        arrays[f"{name}_weights"], arrays[f"{name}_scale"] = int8(model.weights)
        arrays[f"{name}_bias"] = model.bias.astype(np.float32)
    return arrays, {"temperature": temperature, "abstain_below": threshold}


def write(out: Path, arrays: dict[str, Array], card: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "nda.npz", **arrays)
    (out / "nda.json").write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def cross_validate(corpus: Corpus, scratch: Path) -> dict[str, Any]:
    """Measure on the full NDAs, five folds; nothing of a fold's training has seen the fold."""
    real = np.array([bool(one.text) for one in corpus.ndas])
    outer = np.where(real, folds(corpus.ndas, OUTER, 0), -1)
    rows: list[Row] = []
    each: list[dict[str, Any]] = []
    for fold in range(OUTER):
        began = time.perf_counter()
        arrays, numbers = fit(corpus, outer != fold, seed=1 + fold)
        write(scratch, arrays, numbers)
        retriever, reader = NdaRetriever.load(scratch), NdaReader.load(scratch)
        held = [corpus.ndas[d] for d in np.flatnonzero(outer == fold)]
        part = [row for nda in held for row in answer(retriever, reader, nda)]
        rows += part
        each.append(summary(part))
        print(f"nda fold {fold + 1}/{OUTER}: {each[-1]} in {time.perf_counter() - began:.0f} s", flush=True)
    by = {name: summary([row for row in rows if row.hypothesis == name]) for name in IDS}
    spread = {
        key: round(float(np.std([one[key] for one in each])), 4) for key in ("accuracy", "contradiction_f1")
    }
    return {"all": summary(rows), "spread_over_folds": spread, "by_hypothesis": by}


def build(out: Path) -> dict[str, Any]:
    """Cross-validate, train on everything, write `nda.npz` and `nda.json` into `out`; return the metrics."""
    full = full_ndas()
    corpus = gather_corpus([*full, *pseudo_ndas(full)])
    print(f"nda: {len(full)} full and {len(corpus.ndas) - len(full)} pseudo documents", flush=True)
    metrics = cross_validate(corpus, out / "scratch")
    for left in ("nda.npz", "nda.json"):
        (out / "scratch" / left).unlink()
    (out / "scratch").rmdir()
    arrays, numbers = fit(corpus, np.ones(len(corpus.ndas), bool), seed=9)
    card = {
        **numbers,
        "data": "ContractNLI (Koreeda and Manning, EMNLP Findings 2021), CC BY 4.0",
        "documents": {"full": len(full), "pseudo": len(corpus.ndas) - len(full)},
        "cross_validated": metrics,
    }
    write(out, arrays, card)
    return metrics
