"""Measures the clause finder through the shipped pipeline: raw text, segments, retrieval, and the reader's answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seawall_contracts.finder.names import CLAUSES, CORE_CLAUSES
from seawall_contracts.finder.reader import Passage, Reader
from seawall_contracts.finder.retriever import Retriever, worth_asking
from seawall_contracts.finder.segments import segment
from training.data import Contract

TOP = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class Row:
    """One contract and clause: the truth, the answer, and the rank of the first passage that overlaps a gold span.

    `hit` is -1 where no passage returned does, and None where the contract has no span of that clause.
    """

    clause: str
    gold: bool
    present: bool
    probability: float
    abstained: bool
    hit: int | None


def answer(retriever: Retriever, reader: Reader, contract: Contract) -> list[Row]:
    """Run the shipped pipeline on the raw text."""
    text = contract.text
    segments = segment(text)
    found = retriever.retrieve(text, segments)
    asked = {name: worth_asking(some) for name, some in found.items()}
    questions = {name: [(f"P{one.segment}", one.score) for one in some] for name, some in asked.items()}
    shown = sorted({one.segment for some in asked.values() for one in some})
    passages = {
        f"P{i}": Passage(f"P{i}", segments[i].heading, text[segments[i].start : segments[i].end])
        for i in shown
    }
    rows: list[Row] = []
    for one in reader.read(passages, questions):
        column = CLAUSES.index(one.clause)
        # As a review lists them: the reader's choice, then the retriever's order.
        order = dict.fromkeys(
            [*(int(key[1:]) for key in one.ranking[:1]), *(c.segment for c in found[one.clause])]
        )
        bounds = [(segments[at].start, segments[at].end) for at in order]
        hit = _first_hit(bounds, contract.spans[column]) if contract.spans[column] else None
        gold = bool(contract.present[column])
        rows.append(Row(one.clause, gold, one.present, one.probability, one.abstained, hit))
    return rows


def _first_hit(bounds: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> int:
    for rank, (start, end) in enumerate(bounds):
        if any(min(end, b) > max(start, a) for a, b in spans):
            return rank
    return -1


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Give the figures over the scored types, and each type's own."""
    each = {name: _figures([row for row in rows if row.clause == name]) for name in CLAUSES}
    core = [each[name] for name in CORE_CLAUSES]
    scored = [row for row in rows if row.clause in CORE_CLAUSES]

    def mean(key: str) -> float:
        return round(float(np.mean([one[key] for one in core])), 4)

    return {
        "presence_f1": mean("f1"),
        "presence_f1_kept": mean("f1_kept"),
        "answered": round(float(np.mean([not row.abstained for row in scored])), 4),
        "top1": mean("top1"),
        "top3": mean("top3"),
        "top5": mean("top5"),
        "calibration_error": _calibration_error(scored),
        "log_loss": _log_loss(scored),
        "by_clause": each,
    }


def _figures(rows: Sequence[Row]) -> dict[str, float]:
    hits = [row.hit for row in rows if row.gold and row.hit is not None]
    kept = [row for row in rows if not row.abstained]
    return {
        "contracts": len(rows),
        "with_clause": sum(row.gold for row in rows),
        "f1": _f1(rows),
        "f1_kept": _f1(kept),
        "answered": round(len(kept) / max(1, len(rows)), 4),
        **{f"top{k}": round(float(np.mean([0 <= hit < k for hit in hits])), 4) if hits else 0.0 for k in TOP},
    }


def _f1(rows: Sequence[Row]) -> float:
    both = sum(row.gold and row.present for row in rows)
    either = sum(row.gold for row in rows) + sum(row.present for row in rows)
    return round(2 * both / either, 4) if either else 1.0


def _arrays(rows: Sequence[Row]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([row.probability for row in rows]), np.array([row.gold for row in rows])


def _calibration_error(rows: Sequence[Row]) -> float:
    sure, gold = _arrays(rows)
    bins = np.minimum((sure * 10).astype(int), 9)
    gaps = [
        abs(gold[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)
    ]
    return round(float(sum(gaps)), 4)


def _log_loss(rows: Sequence[Row]) -> float:
    sure, gold = _arrays(rows)
    return round(float(-np.log(np.clip(np.where(gold, sure, 1 - sure), 1e-6, 1)).mean()), 4)
