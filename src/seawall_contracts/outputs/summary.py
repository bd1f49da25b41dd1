"""`summary.csv`: one line a contract, for a spreadsheet."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from seawall_contracts.outputs.rows import ContractRow, parse_row, say_missing

COLUMNS = (
    "file",
    "status",
    "error",
    "document_type",
    "parties",
    "governing_law",
    "risk",
    "route",
    "deviations",
    "missing",
    "needs_lawyer",
    "alerts",
    "cost_usd",
    "tokens",
    "seconds",
    "assessed_risk",
    "degraded",
)
# Spreadsheets take these for the start of a formula, the full-width ones too after normalisation
# (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write_summary(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write one CSV line (UTF-8, no byte order mark) for each row, in their order, and put it in place in one step.

    Every text comes from hostile documents: a cell that a spreadsheet would run as a formula starts with an
    apostrophe, and control characters are spaces, so that a contract is always exactly one line. Several values in a
    cell are joined by "; ". A cost nobody knows is an empty cell.
    """
    aside = path.with_suffix(".part")
    with aside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([safe_cell(cell) for cell in _cells(parse_row(row))])
    aside.replace(path)


def safe_cell(text: str) -> str:
    """Return the text as a cell that no spreadsheet runs and no line break splits."""
    printable = "".join(" " if ord(char) < 32 or char in "\x7f\x85\u2028\u2029" else char for char in text)
    if text.startswith(_FORMULA) or printable.lstrip().startswith(_FORMULA):
        return "'" + printable
    return printable


def _cells(row: ContractRow) -> list[str]:
    spent = row.transaction
    known = spent is not None and spent.cost_usd is not None
    reviewed = row.status == "reviewed"
    return [
        row.file,
        row.status,
        row.error or "",
        row.document_type if reviewed else "",
        "; ".join(party.name for party in row.parties),
        row.governing_law or "",
        row.risk or "",
        row.route or "",
        "; ".join(row.titles("deviation")),
        "; ".join(row.titles("missing")),
        "; ".join(row.titles("needs a lawyer")),
        "; ".join(alert.kind for alert in row.alerts),
        f"{spent.cost_usd:f}" if spent is not None and known else "",
        str(spent.input_tokens + spent.output_tokens) if spent is not None else "",
        f"{spent.seconds:.3f}" if spent is not None else "",
        "" if row.risk_assessment is None else row.risk_assessment.level,
        "; ".join(say_missing(row.degraded)),
    ]
