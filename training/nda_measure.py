"""Measures the NDA model through the shipped pipeline: raw text, segments, retrieval, and the reader's answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seawall_contracts.finder.nda_reader import LABELS, NdaReader
from seawall_contracts.finder.nda_retriever import NdaRetriever
from seawall_contracts.finder.reader import Passage
from seawall_contracts.finder.segments import segment
from training.nda_data import Nda

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One measured pair of document and hypothesis."""

    hypothesis: str
    gold: str
    label: str
    probability: float
    abstained: bool
    found: bool


def answer(retriever: NdaRetriever, reader: NdaReader, nda: Nda) -> list[Row]:
    """Run the shipped pipeline on the raw text."""
    segments = segment(nda.text)
    found = retriever.retrieve(nda.text, segments)
    ids = {name: [(f"p{one.segment}", one.score) for one in some] for name, some in found.items()}
    shown = sorted({one.segment for some in found.values() for one in some})
    passages = {f"p{i}": Passage(f"p{i}", segments[i].heading, nda.passages[i]) for i in shown}
    rows: list[Row] = []
    for h, got in enumerate(reader.read(passages, ids)):
        hit = any(nda.evidence[int(key[1:]), h] for key in got.ranking)
        rows.append(Row(got.id, LABELS[nda.labels[h]], got.label, got.probability, got.abstained, hit))
    return rows


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Give accuracy, micro contradiction F1, calibration, and the same without the abstentions."""
    right = np.array([row.gold == row.label for row in rows])
    gold = np.array([row.gold == "Contradiction" for row in rows])
    said = np.array([row.label == "Contradiction" for row in rows])
    kept = np.array([not row.abstained for row in rows])
    sure = np.array([row.probability for row in rows])
    bins = np.minimum((sure * 10).astype(int), 9)
    gaps = [
        abs(right[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist())
    ]
    known = [row.found for row in rows if row.gold != "NotMentioned"]

    def f1(mask: Array) -> float:
        return round(
            float(2 * (gold & said & mask).sum() / max(1, (gold & mask).sum() + (said & mask).sum())), 4
        )

    return {
        "pairs": len(rows),
        "accuracy": round(float(right.mean()), 4),
        "contradiction_f1": f1(np.ones_like(kept)),
        "contradictions": int(gold.sum()),
        "abstained": round(float(1 - kept.mean()), 4),
        "accuracy_kept": round(float(right[kept].mean()), 4) if kept.any() else None,
        "contradiction_f1_kept": f1(kept),
        "calibration_error": round(float(sum(gaps)), 4),
        "evidence_retrieved": round(float(np.mean(known)), 4) if known else None,
    }
