"""`results.jsonl` and `run.json`: what machines read."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from seawall_contracts.schema import ContractReview, ReviewTransaction

Row = dict[str, Any]


def reviewed_row(file: str, sha256: str, review: ContractReview, transaction: ReviewTransaction) -> Row:
    """Make the results row of a reviewed contract; see the README for the fields."""
    data = review.model_dump(mode="json")
    facts = cast("dict[str, Any]", data["facts"])
    cost = transaction.model_dump(mode="json")
    cost["cost_usd"] = None if transaction.cost_usd is None else float(transaction.cost_usd)
    return {
        "file": json_safe(file),
        "sha256": sha256,
        "status": "reviewed",
        "error": None,
        "document_type": facts["document_type"],
        "title": facts["title"],
        "parties": facts["parties"],
        "governing_law": facts["governing_law"],
        **data,
        "transaction": cost,
        "duplicate_of": None,
    }


def failed_row(file: str, sha256: str | None, error: str) -> Row:
    """Make the results row of a file that could not be reviewed."""
    return {
        "file": json_safe(file),
        "sha256": sha256,
        "status": "failed",
        "error": error,
        "duplicate_of": None,
    }


def json_safe(name: str) -> str:
    """Spell undecodable bytes of a file name out, so that the row is valid UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class ResultsFile:
    """Appends rows as they come, each line whole; `finish` puts them in the files' order, once each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("w+b")
        self._places: list[tuple[str, int, int]] = []
        self._end = 0

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows and hand them to the operating system."""
        for row in rows:
            # A lone surrogate (a garbled title, say) is written as its JSON escape.
            line = (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
            self._file.write(line)
            self._places.append((row["file"], self._end, len(line)))
            self._end += len(line)
        self._file.flush()

    def finish(self, order: Mapping[str, int]) -> None:
        """Sort the rows by `order` (file to place) and put the sorted file in place in one step."""
        aside = self._path.with_suffix(".part")
        with self._file, aside.open("wb") as ordered:
            for _, start, length in sorted(self._places, key=lambda place: order[place[0]]):
                self._file.seek(start)
                ordered.write(self._file.read(length))
            ordered.flush()
            os.fsync(ordered.fileno())
        aside.replace(self._path)


def read_rows(path: Path) -> Iterator[Row]:
    """Read rows back, one at a time."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def write_json(path: Path, data: Mapping[str, object]) -> None:
    """Write a small JSON file for people and machines, in one step."""
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)
