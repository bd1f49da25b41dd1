"""CUAD as training documents, segmented as inference does (Hendrycks et al. 2021, CC BY 4.0)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seawall_contracts.finder.names import CLAUSES
from seawall_contracts.finder.segments import Segment, segment

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "cuad"
OVERLAP = 20


@dataclass(frozen=True, slots=True)
class Contract:
    """A labelled contract; `gold[s, c]` marks passages of clause `c` for training, `spans[c]` are CUAD's own."""

    file: str
    filer: str
    text: str
    segments: tuple[Segment, ...]
    present: NDArray[np.bool_]
    gold: NDArray[np.bool_]
    spans: tuple[tuple[tuple[int, int], ...], ...]


def available(folder: Path = FOLDER) -> bool:
    """Whether the data folder is at hand."""
    return (folder / "labels.jsonl").exists()


def read_contracts(folder: Path = FOLDER) -> list[Contract]:
    """Read all labelled contracts, ordered by file name."""
    if not available(folder):
        raise FileNotFoundError(
            f"no labels.jsonl in {folder}: training needs CUAD's labels and texts there; see docs/decisions/0003-local-reviewer.md"
        )
    lines = (folder / "labels.jsonl").read_text("utf-8").splitlines()
    return [_contract(json.loads(line), folder) for line in sorted(lines)]


def _contract(label: dict[str, object], folder: Path) -> Contract:
    file = str(label["file"])
    # Bytes, so that line ends are as the spans count them.
    text = (folder / "txt" / file).read_bytes().decode("utf-8")
    segments = tuple(segment(text))
    present: dict[str, bool] = label["present"]  # type: ignore[assignment]
    spans: dict[str, list[tuple[int, int]]] = label["spans"]  # type: ignore[assignment]
    gold = np.zeros((len(segments), len(CLAUSES)), bool)
    own = tuple(tuple((int(a), int(b)) for a, b in spans.get(name, [])) for name in CLAUSES)
    for column, found in enumerate(own):
        for start, end in found:
            gold[[_marks(part, start, end) for part in segments], column] = True
    return Contract(
        file,
        file.split("_", maxsplit=1)[0],
        text,
        segments,
        np.array([present[name] for name in CLAUSES]),
        gold,
        own,
    )


def _marks(part: Segment, start: int, end: int) -> bool:
    shared = min(part.end, end) - max(part.start, start)
    return shared >= min(OVERLAP, end - start, part.end - part.start)


def folds(groups: list[str], parts: int, seed: int) -> NDArray[np.int64]:
    """Deal groups out over folds, evenly by members and at random otherwise: a fold number a member."""
    names = sorted(set(groups))
    order = np.random.RandomState(seed).permutation(len(names))
    size = np.zeros(parts, int)
    where: dict[str, int] = {}
    for i in sorted(order, key=lambda i: -groups.count(names[i])) if len(names) < 5000 else order:
        where[names[i]] = int(size.argmin())
        size[where[names[i]]] += groups.count(names[i])
    return np.array([where[group] for group in groups])
