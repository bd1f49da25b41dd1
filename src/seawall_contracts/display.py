"""What a person at a terminal sees of a run."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from seawall_contracts import batch
from seawall_contracts.outputs.results import Row
from seawall_contracts.outputs.rows import say_missing


class RateColumn(ProgressColumn):
    """Contracts a second, over the last while."""

    def render(self, task: Task) -> Text:
        """Show the rate, or nothing before there is one."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="cyan")


class Display:
    """A progress bar with rate, time left, cost and failures; each failure is a line above it."""

    def __init__(self, console: Console, progress: "batch.Progress") -> None:
        self._console = console
        self._counts = progress
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("reviewing"),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[cost]}"),
            TextColumn("[red]{task.fields[failures]}"),
            TextColumn("[yellow]{task.fields[degraded]}"),
            console=console,
            disable=console.quiet,
        )
        self._task = self._bar.add_task("review", total=None, cost="", failures="", degraded="")

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self._bar.__exit__(kind, error, trace)

    def advance(self, row: Row) -> None:
        """Count one row."""
        counts = self._counts
        if row.error is not None:
            self._console.print(
                f"[red]failed[/] {escape(repr(row.file))}: {escape(row.error)}", soft_wrap=True
            )
        cost = "cost unknown" if counts.cost_usd is None else f"${counts.cost_usd:.2f}"
        failures = f"{counts.failed} failed" if counts.failed else ""
        degraded = f"{counts.degraded} degraded" if counts.degraded else ""
        self._bar.update(
            self._task,
            total=counts.total,
            completed=counts.done,
            cost=cost,
            failures=failures,
            degraded=degraded,
        )


def summary_table(facts: Mapping[str, Any], out: Path) -> Table:
    """Sum a run up."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    cost = "unknown" if facts["cost_usd"] is None else f"${facts['cost_usd']:.2f}"
    table.add_row(
        "reviewed", f"{facts['reviewed']} of {facts['contracts']}  ({facts['resumed']} from earlier runs)"
    )
    table.add_row("failed", str(facts["failed"]))
    table.add_row("time", f"{facts['seconds']:.1f} s, {facts['contracts_per_second']:.1f} contracts/s")
    table.add_row(
        "cost",
        f"{cost}; {facts['tokens_sent']:,} tokens sent, whole documents have {facts['tokens_whole_documents']:,}",
    )
    if facts["degraded"]:
        (said,) = say_missing(["risk"])
        table.add_row("degraded", f"[yellow]{facts['degraded']}[/]: {said}")
    table.add_row("report", escape(str(out / "report.html")))
    return table
