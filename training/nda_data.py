"""ContractNLI as training documents: 111 NDAs in full, and pseudo-NDAs rebuilt from its train pairs.

Gold evidence is in ContractNLI's own spans; a passage of ours is evidence where it overlaps one.
"""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seawall_contracts.finder.hypotheses import HYPOTHESES
from seawall_contracts.finder.nda_features import sentences
from seawall_contracts.finder.nda_reader import LABELS
from seawall_contracts.finder.segments import segment

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "contractnli"
ENTAILS, CONTRADICTS, SILENT = range(3)
SAME_PASSAGE_BELOW = 220
IDS = tuple(HYPOTHESES)
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Nda:
    """`evidence[p, h]` is 1 where passage `p` bears on hypothesis `h`; `labels[h]` indexes `LABELS`.

    `sentences`, and `sentence_evidence` like `evidence`, hold the passages' sentences in order, and `of[s]` the
    passage of each. `text` is empty for a pseudo-NDA, which is for training only.
    """

    name: str
    text: str
    passages: tuple[str, ...]
    evidence: Array
    sentences: tuple[str, ...]
    of: Array
    sentence_evidence: Array
    labels: Array


def mark(
    pieces: Sequence[tuple[int, int]], gold: Sequence[tuple[int, int]], bears: Array, enough: int
) -> Array:
    """Mark the pieces that have half of a gold span, are half of one, or share `enough` characters with one.

    `bears[g, h]` says whether gold span `g` bears on hypothesis `h`.
    """
    one, other = np.array(pieces)[:, None], np.array(gold).reshape(-1, 2)[None]
    shared = np.minimum(one[..., 1], other[..., 1]) - np.maximum(one[..., 0], other[..., 0])
    shorter = np.minimum(one[..., 1] - one[..., 0], other[..., 1] - other[..., 0])
    same = (shared > 0) & ((2 * shared >= shorter) | (shared >= enough))
    return (same.astype(np.int64) @ bears > 0).astype(np.int8)


def make(
    text: str, pieces: Sequence[tuple[int, int]], gold: Sequence[tuple[int, int]], bears: Array
) -> dict[str, Any]:
    """Give an `Nda`'s passages and sentences with their evidence."""
    parts = [
        (p, start + a, start + b)
        for p, (start, end) in enumerate(pieces)
        for a, b in sentences(text[start:end])
    ]
    spans = [(a, b) for _, a, b in parts]
    return {
        "passages": tuple(text[a:b] for a, b in pieces),
        "evidence": mark(pieces, gold, bears, 40),
        "sentences": tuple(text[a:b] for a, b in spans),
        "of": np.array([p for p, _, _ in parts]),
        "sentence_evidence": mark(spans, gold, bears, len(text) + 1),
    }


def read_nda(document: dict[str, Any]) -> Nda:
    """Segment one ContractNLI document as inference does, and map its gold evidence."""
    text = document["text"]
    annotations = document["annotation_sets"][0]["annotations"]
    bears = np.zeros((len(document["spans"]), len(IDS)), np.int64)
    for column, name in enumerate(IDS):
        bears[annotations[name]["spans"], column] = 1
    labels = np.array([LABELS.index(annotations[name]["choice"]) for name in IDS])
    pieces = [(part.start, part.end) for part in segment(text)]
    gold = [tuple(span) for span in document["spans"]]
    return Nda(name=str(document["id"]), text=text, labels=labels, **make(text, pieces, gold, bears))


def full_ndas(folder: Path = FOLDER) -> list[Nda]:
    """Read the NDAs whose whole text is at hand, dev first."""
    files = (folder / "dev.json", folder / "train_50.json")
    missing = [file.name for file in (*files, folder / "train_pairs.csv") if not file.exists()]
    if missing:
        raise FileNotFoundError(
            f"no {', '.join(missing)} in {folder}: training needs ContractNLI's files there"
        )
    return [read_nda(one) for file in files for one in json.loads(file.read_text("utf-8"))["documents"]]


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def _rebuild(name: str, rows: Sequence[dict[str, str]]) -> Nda:
    """Join the lines of one document's rows; lines that one hypothesis's evidence put together share a passage."""
    column = {text: i for i, text in enumerate(HYPOTHESES.values())}
    labels = np.zeros(len(IDS), np.int64)
    lines: dict[str, Array] = {}
    for row in rows:
        place = column[row["hypothesis"]]
        labels[place] = int(row["label"])
        for line in filter(None, map(str.strip, row["concatenated_spans"].split("\n"))):
            lines.setdefault(line, np.zeros(len(IDS), np.int64))[place] |= labels[place] != SILENT
    bears = np.array(list(lines.values()))
    end = np.cumsum([len(line) + 1 for line in lines]) - 1
    gold = [(int(b) - len(line), int(b)) for b, line in zip(end, lines, strict=True)]
    pieces: list[tuple[int, int]] = []
    text = "\n".join(lines)
    together = np.zeros(len(IDS), np.int64)
    for span, bearing in zip(gold, bears, strict=True):
        unfinished = pieces and span[0] - pieces[-1][0] <= SAME_PASSAGE_BELOW and text[span[0] - 2] != "."
        if unfinished and (together & bearing).any():
            pieces[-1] = (pieces[-1][0], span[1])
            together |= bearing
        else:
            pieces.append(span)
            together = bearing.copy()
    return Nda(name=name, text="", labels=labels, **make(text, pieces, gold, bears))


def pseudo_ndas(full: Sequence[Nda], folder: Path = FOLDER) -> list[Nda]:
    """Rebuild the train documents from their 17 rows each, leaving out any that is among `full`."""
    with (folder / "train_pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    known = [_plain(one.text) for one in full]
    out: list[Nda] = []
    for first in range(0, len(rows), len(IDS)):
        group = rows[first : first + len(IDS)]
        if {row["hypothesis"] for row in group} != set(HYPOTHESES.values()):
            raise ValueError(f"train_pairs.csv: rows {first} to {first + len(IDS)} are not one document's")
        one = _rebuild(f"pairs-{first // len(IDS)}", group)
        lines = [_plain(line) for text in one.passages for line in text.split("\n") if len(line) > 60]
        if max(sum(line in text for line in lines) for text in known) <= 0.8 * len(lines):
            out.append(one)
    return out
