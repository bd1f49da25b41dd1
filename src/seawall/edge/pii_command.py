"""`seawall pii`: the personal data in a file of texts, one JSON object a line."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from seawall.foundation.compliance.pii import find_pii
from seawall.foundation.compliance.pii_thorough import find_pii_thorough
from seawall.foundation.errors import ConfigError

_SHAPE = '{"id": ..., "text": "..."}'


def pii(
    source: Annotated[
        Path, typer.Option("--in", help=f"Texts, one {_SHAPE} a line.", dir_okay=False, exists=True)
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
    # Beside the target and renamed, so that a file which is there is whole.
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with source.open("rb") as lines, aside.open("w", encoding="utf-8") as out:
            for number, line in _watched(lines):
                identity, text = _read(line, number, source)
                spans = [{"type": one.kind, "start": one.start, "end": one.end} for one in find(text)]
                out.write(json.dumps({"id": identity, "spans": spans}) + "\n")
            out.flush()
            os.fsync(out.fileno())
        aside.replace(target)
    except ConfigError as error:
        typer.echo(f"seawall: {error}", err=True)
        raise typer.Exit(2) from error
    except OSError as error:
        typer.echo(
            f"seawall: cannot go from {source} to {target}: {error.strerror}; check --in and --out", err=True
        )
        raise typer.Exit(2) from error
    finally:
        aside.unlink(missing_ok=True)


def _read(line: bytes, number: int, source: Path) -> tuple[Any, str]:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{source.name}, line {number}: not JSON; expected {_SHAPE}; nothing was written"
        ) from error
    fields = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    if "id" not in fields or not isinstance(fields.get("text"), str):
        raise ConfigError(
            f"{source.name}, line {number}: an object with an id and a text is expected, as {_SHAPE}; nothing was written"
        )
    return fields["id"], fields["text"]


def _watched(lines: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank with their numbers, with a bar of the bytes read where someone is watching."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("personal data", total=os.fstat(lines.fileno()).st_size)
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, line
            progress.advance(task, len(line))
