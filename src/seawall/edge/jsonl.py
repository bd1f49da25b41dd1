"""Files of one JSON object a line, judged line by line: whole or not at all."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from seawall.foundation.errors import ConfigError

Row = dict[str, Any]


def judge_lines(source: Path, target: Path, judge: Callable[[Row], Row], *, doing: str) -> None:
    """Write what `judge` says of each line of `source`, in the same order, to `target`.

    A line must be an object with an `id` and a `text`. Where one is not, or `judge` raises ConfigError, the line is
    named on stderr, the exit code is 2 and `target` is as it was.
    """
    target = target.resolve()
    # Beside the target and renamed, so that a file which is there is whole.
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _check_target(source, target)
        with source.open("rb") as lines, aside.open("w", encoding="utf-8") as out:
            for number, line in _watched(lines, doing):
                row = _read(line, f"{source.name}, line {number}")
                try:
                    answer = judge(row)
                except ConfigError as error:
                    raise ConfigError(
                        f"{source.name}, line {number}: {error}; nothing was written"
                    ) from error
                out.write(json.dumps({"id": row["id"], **answer}) + "\n")
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
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _check_target(source: Path, target: Path) -> None:
    """Refuse to put a file in the place of what is none, of what may not be written, or of the source."""
    if not target.exists():
        return
    if not target.is_file():
        raise ConfigError(f"--out {target} is no regular file; name a file to be written")
    if target.samefile(source):
        raise ConfigError(f"--out {target} is the file that --in reads; name another")
    if not os.access(target, os.W_OK):
        raise ConfigError(f"--out {target} may not be written; name another, or change its mode")


def _read(line: bytes, place: str) -> Row:
    expected = 'expected {"id": ..., "text": "..."}; nothing was written'
    try:
        row: object = json.loads(line.decode("utf-8-sig"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place}: not UTF-8 (byte {error.start}); {expected}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place}: not JSON; {expected}") from error
    fields = cast("Row", row) if isinstance(row, dict) else {}
    if "id" not in fields or not isinstance(fields.get("text"), str):
        raise ConfigError(f"{place}: not an object with an id and a text; {expected}")
    return fields


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _watched(lines: BinaryIO, doing: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank with their numbers, with a bar of the bytes read where someone is watching."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(doing, total=os.fstat(lines.fileno()).st_size)
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, line
            progress.advance(task, len(line))
