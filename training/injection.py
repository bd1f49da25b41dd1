"""The injection classifier: trained, cross-validated, and written as the weights that ship.

Both heads are averaged stochastic-gradient logistic regressions (Bottou 2010). The document head sees windows of
contract text as what must pass, in two rounds: after the first, the windows that scored worst count three times.
"""

import random as _random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import SGDClassifier

from seawall.defense.guards.injection import find_injection
from seawall.defense.guards.injection.classifier import FEW_WORDS, WINDOW, Head, Linear
from seawall.defense.guards.injection.grams import read_grams
from seawall.defense.guards.injection.guard import DISAGREES, FIRM, SURE
from seawall.defense.guards.injection.windows import FEWEST, sentences, sliding
from seawall.defense.guards.reading.normalise import normalise
from training import injection_data as data
from training.gram_matrix import matrix
from training.guard_phrases import (
    ATTACKS,
    BENIGN_IN_CONTRACTS,
    BENIGN_PROMPTS,
    BENIGN_RESULTS,
    EVERYDAY,
    spelled,
)
from training.injection_data import Paragraph, Stretch, pieces, whole

WEIGHTS = "injection.npz"
FOLDS = 5
CLEAN_FLAGGED = 0.003
# Chosen on the validation sets and look-alikes left out: a little recall for half the false alarms.
PROMPT_THRESHOLDS = (0.75, 1.75)
QUESTIONS = (
    "Is this clause acceptable for us? ",
    "Summarise: ",
    "Please review the following section and list the risks.\n\n",
    "What does this mean for the supplier?\n",
    "Please summarise this contract:\n\n",
)

Rows = list[tuple[sp.csr_matrix, NDArray[np.float64], int]]


def build(out: Path) -> dict[str, Any]:
    """Train both heads, write `injection.npz` into `out`, and return what cross-validation says of them."""
    read = data.paragraphs()
    prompt, prompt_metrics = _prompt_head(read)
    document, document_metrics = _document_head(read)
    arrays: dict[str, NDArray[Any]] = {}
    for head, model in (("prompt", prompt), ("document", document)):
        arrays[f"{head}_weights"] = model.weights.astype(np.float16)
        arrays[f"{head}_numbers"] = np.array([model.bias, model.whole, model.stretch])
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / WEIGHTS, **arrays)
    return {"prompt": prompt_metrics, "document": document_metrics, "paragraphs": len(read)}


def fit(rows: Rows, alpha: float, epochs: int, mined: int = 0) -> tuple[NDArray[np.float32], float]:
    """Fit one head on `(matrix, weights, label)` rows; the worst `mined` of the harmless count three times in a second fit."""
    x = sp.vstack([part for part, _, _ in rows]).tocsr()
    y = np.concatenate([np.full(part.shape[0], label) for part, _, label in rows])
    weight = np.concatenate([part for _, part, _ in rows])
    for last in (False, True) if mined else (True,):
        model = SGDClassifier(
            loss="log_loss", alpha=alpha, average=True, max_iter=epochs, tol=None, random_state=0
        ).fit(x, y, sample_weight=weight)
        weights, bias = model.coef_.ravel().astype(np.float32), float(model.intercept_[0])
        if not last:
            score = np.where(y == 0, x @ weights + bias, -np.inf)
            weight[np.argsort(-score)[:mined]] *= 3
    return weights, bias


def _even(x: sp.csr_matrix, weight: float, label: int) -> tuple[sp.csr_matrix, NDArray[np.float64], int]:
    return x, np.full(x.shape[0], weight), label


def _prompt_rows(prompts: data.Labelled, contracts: Sequence[Paragraph], seed: int) -> Rows:
    random = np.random.RandomState(seed)
    attacks = data.attacks_of(prompts)
    chosen = [contracts[i] for i in random.permutation(len(contracts))[:8000]]
    clean: list[Stretch] = []
    for paragraph in chosen:
        count = len(paragraph.grams)
        clean.append((paragraph.grams, 0, count))
        for size in (48, 16):
            if count > size:
                first = random.randint(count - size + 1)
                clean.append((paragraph.grams, first, first + size))
    clean += [
        whole(QUESTIONS[random.randint(len(QUESTIONS))] + paragraph.text) for paragraph in chosen[:2000]
    ]
    for text in data.openings():
        clean.append(whole(QUESTIONS[random.randint(len(QUESTIONS))] + text))
    short = [text for text in attacks if 4 <= len(read_grams(text)) <= 40]
    hidden: list[Stretch] = []
    for _ in range(4000):
        attack = short[random.randint(len(short))]
        before, _, after = data.inserted("\0", chosen[random.randint(len(chosen))].text, random).partition(
            "\0"
        )
        hidden.append(whole(f"{before[-120:]}{attack}{after[:160]}"))
    labelled = [[whole(text) for text, given in prompts if given == label] for label in (0, 1)]
    return [
        _even(matrix(labelled[0]), 1.0, 0),
        _even(matrix(labelled[1]), 1.0, 1),
        _even(matrix([whole(text) for text in spelled(BENIGN_PROMPTS, 12, 0)]), 3.0, 0),
        _even(matrix([whole(text) for text in spelled(EVERYDAY, 20, 0)]), 15.0, 0),
        _even(matrix(clean), 1.0, 0),
        _even(matrix(hidden), 1.5, 1),
    ]


def _prompt_head(contracts: Sequence[Paragraph]) -> tuple[Linear, dict[str, Any]]:
    lookalikes = data.notinject()
    training = data.s_labs("train") + data.neuralchemy("train") + data.yanismiraoui()
    known = [paragraph for paragraph in contracts if paragraph.fold]
    rows = _prompt_rows(training, known, seed=1)
    dealt = np.random.RandomState(0).permutation(len(lookalikes)) % FOLDS
    out_of_fold = np.zeros(len(lookalikes), bool)
    for fold in range(FOLDS):
        kept = [whole(text) for text, where in zip(lookalikes, dealt, strict=True) if where != fold]
        model = _prompt_model([*rows, _even(matrix(kept), 30.0, 0)])
        for at in np.flatnonzero(dealt == fold):
            out_of_fold[at] = _flags(model, lookalikes[at], "prompt")
    # The last fold's model judges the rest: what it left out is a fifth of the look-alikes, and none of these.
    metrics = {
        "s-labs validation": _quality(model, data.s_labs("validation")),
        "neuralchemy validation": _quality(model, data.neuralchemy("validation")),
        "notinject flagged": round(float(out_of_fold.mean()), 4),
        "contract paragraphs flagged": _flagged(model, [p.text for p in contracts if not p.fold]),
    }
    everything = training + data.s_labs("validation") + data.neuralchemy("validation")
    final = [*_prompt_rows(everything, contracts, seed=1), _even(matrix([*map(whole, lookalikes)]), 30.0, 0)]
    return _prompt_model(final), metrics


def _prompt_model(rows: Rows) -> Linear:
    return Linear(*fit(rows, alpha=7e-6, epochs=6), *PROMPT_THRESHOLDS)


def _document_rows(clean: Sequence[Paragraph], families: set[str], categories: set[str]) -> Rows:
    size = WINDOW["document"]
    prompts = data.s_labs("train") + data.neuralchemy("train") + data.yanismiraoui()
    own = [text for name, group in ATTACKS.items() if name in families for text in spelled(group, 30, 0)]
    public = [text for text, category in data.bipia() if category in categories]
    # What is harmless as a prompt is an odd thing for a contract to ask.
    harmless = data.attacks_of(prompts, 0)
    negatives = [stretch for paragraph in clean for stretch in strided(paragraph, size)]
    return [
        _even(matrix(negatives), 1.0, 0),
        _even(matrix([whole(text) for text in spelled(BENIGN_IN_CONTRACTS, 12, 0)]), 5.0, 0),
        _even(matrix([piece for text in _elsewhere() for piece in pieces(text)]), 6.0, 0),
        *(
            part
            for texts, weight in ((data.attacks_of(prompts), 1.0), (harmless, 0.3), (own, 1.0), (public, 8.0))
            for part in (_attacks(texts, weight), _glued(texts, weight / 2, clean))
        ),
    ]


def _elsewhere() -> list[str]:
    """What tools return and mails say: documents that are no contracts."""
    return [*spelled(BENIGN_RESULTS, 12, 0), *data.sentences_with_names()]


def strided(paragraph: Paragraph, size: int) -> list[Stretch]:
    """Take a paragraph's windows and sentences for training."""
    return data.strided(paragraph.text, paragraph.grams, size)


def _attacks(texts: Sequence[str], weight: float) -> tuple[sp.csr_matrix, NDArray[np.float64], int]:
    cut = [pieces(text) for text in texts]
    # A long text gives many windows, not all of them an attack: together they count as three.
    weights = [weight / max(1.0, len(part) / 3) for part in cut for _ in part]
    return matrix([stretch for part in cut for stretch in part]), np.array(weights), 1


def _glued(
    texts: Sequence[str], weight: float, clean: Sequence[Paragraph]
) -> tuple[sp.csr_matrix, NDArray[np.float64], int]:
    """A short attack at the head of a window, and contract text in the rest of it."""
    random = _random.Random(0)
    size = WINDOW["document"]
    found: list[Stretch] = []
    for text in texts:
        plain = normalise(text).text
        if 4 <= len(read_grams(plain)) < size:
            grams = read_grams(f"{plain} {random.choice(clean).text[:300]}")
            found.append((grams, 0, min(size, len(grams))))
    return _even(matrix(found), weight, 1)


def _document_head(contracts: Sequence[Paragraph]) -> tuple[Linear, dict[str, Any]]:
    families = _dealt(list(ATTACKS), seed=0)
    categories = _dealt(sorted({category for _, category in data.bipia()}), seed=2)
    found: list[list[NDArray[np.float64]]] = [[], [], []]
    quantiles: list[float] = []
    for fold in range(FOLDS):
        held = [paragraph for paragraph in contracts if paragraph.fold == fold]
        rows = _document_rows(
            [paragraph for paragraph in contracts if paragraph.fold != fold],
            {name for name, where in families.items() if where != fold},
            {name for name, where in categories.items() if where != fold},
        )
        model = Linear(*fit(rows, alpha=1e-6, epochs=4, mined=15_000), 0.0, 0.0)
        del rows
        threshold = _threshold([highest(model, paragraph.text, paragraph.grams) for paragraph in held])
        quantiles.append(threshold)
        public = [text for text, category in data.bipia() if categories[category] == fold]
        own = [t for name, group in ATTACKS.items() if families[name] == fold for t in spelled(group, 5, 9)]
        for place, texts in enumerate((public * 8, own)):
            found[place].append(_in_paragraphs(model, texts, held, fold) > threshold)
        print(
            f"document head, fold {fold}: threshold {threshold:.2f}, found {found[0][-1].mean():.3f}",
            flush=True,
        )
    rows = _document_rows(contracts, set(families), set(categories))
    weights, bias = fit(rows, alpha=1e-6, epochs=4, mined=15_000)
    metrics = {
        "clean paragraphs flagged": CLEAN_FLAGGED,
        "BIPIA found, categories left out": round(float(np.concatenate(found[0]).mean()), 4),
        "own templates found, families left out": round(float(np.concatenate(found[1]).mean()), 4),
        "thresholds": [round(one, 3) for one in quantiles],
    }
    threshold = float(np.mean(quantiles))
    return Linear(weights, bias, threshold, threshold), metrics


def highest(model: Linear, text: str, grams: Any = None) -> float:
    """Score a paragraph as run time does: its worst stretch."""
    read = read_grams(text) if grams is None else grams
    stretches = np.concatenate((sliding(read, WINDOW["document"]), sentences(read, text)))
    return float(model.scores(read, stretches).max(initial=-np.inf)) if len(read) else -np.inf


def _threshold(scores: list[float]) -> float:
    ordered = np.sort(scores)
    return float(ordered[-max(1, int(len(ordered) * CLEAN_FLAGGED))])


def _in_paragraphs(
    model: Linear, texts: Sequence[str], held: Sequence[Paragraph], seed: int
) -> NDArray[np.float64]:
    random = np.random.RandomState(seed)
    hosts = [paragraph.text for paragraph in held if 200 < len(paragraph.text) < 1500]
    put = (data.inserted(text, hosts[random.randint(len(hosts))], random) for text in texts)
    return np.array([highest(model, normalise(text).text) for text in put])


def _dealt(names: list[str], seed: int) -> dict[str, int]:
    order = np.random.RandomState(seed).permutation(names)
    return {str(name): at % FOLDS for at, name in enumerate(order)}


def _flags(model: Linear, text: str, head: Head) -> bool:
    """Say what the shipped guard would, with signatures and the classifier: see `find_attacks`."""
    plain = normalise(text).text
    grams = read_grams(plain)
    stretches = np.concatenate((sliding(grams, WINDOW[head]), sentences(grams, plain)))
    worst = float(model.scores(grams, stretches).max(initial=-np.inf)) - model.stretch
    if len(grams):
        few = FEW_WORDS if len(grams) < FEWEST else 0.0
        worst = max(worst, float(model.scores(grams, np.array([[0, len(grams)]]))[0]) - model.whole - few)
    signed = max((hit.score for hit in find_injection(text, head)), default=0.0)
    return worst > 0 or signed >= FIRM or (signed >= SURE and worst > DISAGREES)


def _flagged(model: Linear, texts: Sequence[str]) -> float:
    return round(float(np.mean([_flags(model, text, "prompt") for text in texts])), 4)


def _quality(model: Linear, rows: data.Labelled) -> dict[str, float]:
    said = np.array([_flags(model, text, "prompt") for text, _ in rows])
    truth = np.array([label == 1 for _, label in rows])
    hits = float((said & truth).sum())
    return {
        "precision": round(hits / max(1.0, float(said.sum())), 4),
        "recall": round(hits / float(truth.sum()), 4),
        "f1": round(2 * hits / float(said.sum() + truth.sum()), 4),
    }
