"""`seawall compliance`: documents that are made of what runs, each line with what shows it.

None of them says that anything is compliant or certified: they say what is covered, and what is not.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from seawall.edge.art30 import as_markdown, record
from seawall.edge.operator import AsJson, Config
from seawall.edge.settings import read_settings
from seawall.evals.probe import Line, Shown, show

compliance_app = typer.Typer(
    no_args_is_help=True, help="Documents from what runs: what is covered, what is not, and what shows it."
)
_BUILT_IN = "seawall_contracts.service:app"
_COLOURS = {"covered": "green", "partial": "yellow", "not covered": "red"}

App = Annotated[str, typer.Argument(help="Where the Seawall is: module:attribute.")]


@compliance_app.command()
def art30(app: App = _BUILT_IN, *, config: Config = None, as_json: AsJson = False) -> None:
    """Write the record of processing activities (GDPR, Article 30) of a service, from its configuration."""
    told = _record(app, config)
    typer.echo(json.dumps(told, indent=2, ensure_ascii=False) if as_json else as_markdown(told))


@compliance_app.command()
def nist(app: App = _BUILT_IN, *, config: Config = None, as_json: AsJson = False) -> None:
    """Write a profile after NIST's AI Risk Management Framework: a self-assessment."""
    from seawall.evals.nist import profile

    actions = profile(_record(app, config))
    if as_json:
        told = [
            {"id": one.id, "asks": one.asks, "current": one.current, "target": one.target} for one in actions
        ]
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    table = Table(
        "action", "asks that", "in place here", "left to people", title="A self-assessment", show_lines=True
    )
    for one in actions:
        table.add_row(one.id, one.asks, one.current, one.target)
    Console().print(table)


@compliance_app.command("safe-harbor")
def safe_harbor(*, as_json: AsJson = False) -> None:
    """Show, for HIPAA's eighteen identifiers, how text is rid of each before a model reads it; try every line."""
    from seawall.evals.safe_harbor import lines

    _show("HIPAA Safe Harbor, 45 CFR 164.514(b)(2)", lines(), as_json=as_json)
    if not as_json:
        typer.echo("Whether what is left could identify somebody, no program can know (164.514(b)(2)(ii)).")


@compliance_app.command()
def owasp(*, as_json: AsJson = False) -> None:
    """Show OWASP's ten risks of LLM applications and ten of agents; try every line."""
    from seawall.evals.owasp import AGENTIC, LLM

    _show("OWASP Top 10 for LLM and for agentic applications, 2026", [*LLM, *AGENTIC], as_json=as_json)


def _record(app: str, config: Path | None) -> dict[str, Any]:
    from seawall.edge.server import load_app

    return record(load_app(app), read_settings(config))


def _show(title: str, lines: Sequence[Line], *, as_json: bool) -> None:
    # The probes break things on purpose, and what breaks is logged.
    logging.disable(logging.CRITICAL)
    shown = asyncio.run(show(lines))
    logging.disable(logging.NOTSET)
    if as_json:
        typer.echo(json.dumps([_plain(one) for one in shown], indent=2, ensure_ascii=False))
    else:
        _draw(title, shown)
    if not all(one.holds for one in shown):
        raise typer.Exit(1)


def _draw(title: str, shown: Sequence[Shown]) -> None:
    table = Table("", "", "", "by", "not by", "tried", title=title, show_lines=True)
    for one in shown:
        line = one.line
        tried = "\n".join(
            f"[{'green' if ok else 'red'}]{'✓' if ok else '✗'}[/] {_escaped(what)}"
            for what, ok, _ in one.held
        )
        colour = _COLOURS[line.coverage]
        table.add_row(
            line.id,
            line.title,
            f"[{colour}]{line.coverage}[/]",
            line.by,
            line.left,
            tried or "nothing to try",
        )
    Console().print(table)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


def _plain(one: Shown) -> dict[str, Any]:
    line = one.line
    return {
        "id": line.id,
        "title": line.title,
        "coverage": line.coverage,
        "by": line.by,
        "not_by": line.left,
        "tried": [{"what": what, "held": ok, "error": error} for what, ok, error in one.held],
    }
