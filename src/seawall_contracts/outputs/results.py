"""`results.jsonl` and `run.json`: what machines read."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from seawall_contracts.schema import ContractReview, ReviewedRow, ReviewTransaction


@dataclass(frozen=True, slots=True)
class Row:
    """A row of `results.jsonl` as it is counted and written: `line` is its JSON object. A copy has cost nothing.

    `degraded` says that a part is missing. A row that `supersedes` its file's earlier one costs what it adds to that.
    """

    file: str
    line: str
    error: str | None = None
    cost_usd: float | None = 0.0
    input_tokens: int = 0
    tokens_whole_document: int = 0
    degraded: bool = False
    supersedes: bool = False


def row_body(sha256: str, review: ContractReview, transaction: ReviewTransaction) -> str:
    """Write what a reviewed contract's row says but for its file name, as a JSON object."""
    facts = review.facts
    # Every part is a validated model already, and there are many: validating them once more would cost a millisecond.
    row = ReviewedRow.model_construct(
        sha256=sha256,
        document_type=facts.document_type,
        title=facts.title,
        parties=facts.parties,
        governing_law=facts.governing_law,
        **{name: getattr(review, name) for name in ContractReview.model_fields},
        transaction=transaction,
    )
    return row.model_dump_json()


def reviewed_rows(
    files: Sequence[str], body: str, transaction: ReviewTransaction, *, degraded: bool = False
) -> list[Row]:
    """Make the rows of one reviewed document: the first file's with its cost, a free one for each copy."""
    first, *copies = (json_safe(file) for file in files)
    spent = (transaction.cost_usd, transaction.input_tokens, transaction.tokens_whole_document)
    return [
        Row(first, _line(first, body, None), None, *spent, degraded),
        *(Row(copy, _line(copy, body, first), degraded=degraded) for copy in copies),
    ]


def better_rows(files: Sequence[str], body: str, *, cost_usd: float | None, input_tokens: int) -> list[Row]:
    """Make the rows that take the place of a document's degraded ones; `cost_usd` and tokens are what the part cost."""
    first, *copies = (json_safe(file) for file in files)
    return [
        Row(first, _line(first, body, None), None, cost_usd, input_tokens, supersedes=True),
        *(Row(copy, _line(copy, body, first), supersedes=True) for copy in copies),
    ]


def failed_row(file: str, sha256: str | None, error: str) -> Row:
    """Make the row of a file that could not be reviewed."""
    body = json.dumps({"sha256": sha256, "status": "failed", "error": error}, ensure_ascii=False)
    return Row(json_safe(file), _line(json_safe(file), body, None), error)


def _line(file: str, body: str, duplicate_of: str | None) -> str:
    head = json.dumps(file, ensure_ascii=False)
    return f'{{"file":{head},{body[1:-1]},"duplicate_of":{json.dumps(duplicate_of, ensure_ascii=False)}}}'


def json_safe(name: str) -> str:
    """Spell undecodable bytes of a file name out, so that the row is valid UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class ResultsFile:
    """Appends rows as they come, each line whole; `finish` puts the newest of each file in the files' order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("w+b")
        self._places: list[tuple[str, int, int]] = []
        self._newest: dict[str, int] = {}
        self._end = 0

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows and hand them to the operating system."""
        for row in rows:
            # A lone surrogate (in a garbled name, say) is written as its JSON escape.
            line = (row.line + "\n").encode("utf-8", "backslashreplace")
            self._file.write(line)
            place = (row.file, self._end, len(line))
            if row.supersedes:
                self._places[self._newest[row.file]] = place
            else:
                self._newest[row.file] = len(self._places)
                self._places.append(place)
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


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read rows back, one at a time."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def write_json(path: Path, data: Mapping[str, object]) -> None:
    """Write a small JSON file for people and machines, in one step."""
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)
