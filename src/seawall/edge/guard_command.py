"""`seawall guard`: what the layers against injection and abuse say of a file of texts, one JSON object a line."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from seawall.defense.guards import GuardInput, Verdict, injection, size
from seawall.edge.jsonl import Row, judge_lines
from seawall.foundation.errors import ConfigError


class TextContext(StrEnum):
    """What a text is to a model."""

    prompt = "prompt"
    document = "document"


def guard(
    source: Annotated[
        Path,
        typer.Option(
            "--in", help='Texts, one {"id": ..., "text": "..."} a line.', dir_okay=False, exists=True
        ),
    ],
    target: Annotated[
        Path, typer.Option("--out", help="Where the verdicts go, one object a line.", dir_okay=False)
    ],
    context: Annotated[
        TextContext, typer.Option(help="What the texts are; a line's own `context` wins.")
    ] = TextContext.prompt,
) -> None:
    """Judge each text as a guarded agent would: allow or block, how certain, by which guard, and where."""
    guards = (size("4 MB"), injection())

    def judge(row: Row) -> Row:
        given = row.get("context", context.value)
        if given not in ("prompt", "document"):
            raise ConfigError(f"context {given!r} is neither 'prompt' nor 'document'")
        value = GuardInput(row["text"], given)
        verdict = Verdict(outcome="allow", guard="")
        for one in guards:
            verdict = one(value)
            if verdict.outcome == "block":
                break
        return {
            "verdict": verdict.outcome,
            "score": round(verdict.score, 4),
            "guard": verdict.guard,
            "spans": verdict.spans,
        }

    judge_lines(source, target, judge, doing="guards")
