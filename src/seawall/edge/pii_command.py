"""`seawall pii`: the personal data in a file of texts, one JSON object a line."""

from pathlib import Path
from typing import Annotated

import typer

from seawall.edge.jsonl import Row, judge_lines
from seawall.foundation.compliance.pii import find_pii
from seawall.foundation.compliance.pii_thorough import find_pii_thorough


def pii(
    source: Annotated[
        Path,
        typer.Option(
            "--in", help='Texts, one {"id": ..., "text": "..."} a line.', dir_okay=False, exists=True
        ),
    ],
    target: Annotated[
        Path, typer.Option("--out", help="Where the spans go, one object a line.", dir_okay=False)
    ],
    *,
    cautious: Annotated[
        bool,
        typer.Option("--cautious", help="Only what rules are sure of, as agents replace it in contracts."),
    ] = False,
) -> None:
    """Find personal data: type, start and end (half open, in characters) of each, line by line in the same order."""
    find = find_pii if cautious else find_pii_thorough

    def judge(row: Row) -> Row:
        spans = [{"type": one.kind, "start": one.start, "end": one.end} for one in find(row["text"])]
        return {"spans": spans}

    judge_lines(source, target, judge, doing="personal data")
