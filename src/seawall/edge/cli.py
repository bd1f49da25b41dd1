"""`seawall`: try the guards, and look at what a run left behind."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from seawall.edge.access_command import access_app
from seawall.edge.audit_command import audit_app
from seawall.edge.breaker_command import breaker_app
from seawall.edge.compliance_command import compliance_app
from seawall.edge.guard_command import guard
from seawall.edge.keyring_command import keyring_app
from seawall.edge.keys_command import keys_app
from seawall.edge.operator import Config, State, at_desk, swept
from seawall.edge.pii_command import pii
from seawall.edge.roi_command import roi
from seawall.edge.serve_command import serve
from seawall.edge.subject_command import subject_app
from seawall.edge.trust_command import trust_app
from seawall.foundation.economics.ledger import Ledger
from seawall.foundation.errors import SeawallError

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Seawall, the sea wall round an agent."
)
ledger_app = typer.Typer(no_args_is_help=True, help="The ledger: one row a transaction.")
retention_app = typer.Typer(no_args_is_help=True, help="Retention: what has expired goes.")
app.add_typer(ledger_app, name="ledger")
app.add_typer(retention_app, name="retention")
app.add_typer(trust_app, name="trust")
app.add_typer(breaker_app, name="breaker")
app.add_typer(keys_app, name="keys")
app.add_typer(keyring_app, name="keyring")
app.add_typer(audit_app, name="audit")
app.add_typer(access_app, name="access")
app.add_typer(compliance_app, name="compliance")
app.add_typer(subject_app, name="subject")
app.command("guard")(guard)
app.command("pii")(pii)
app.command("serve")(serve)
app.command("roi")(roi)

LedgerFile = Annotated[
    Path, typer.Argument(help="The ledger's database, such as out/.seawall/ledger.db", dir_okay=False)
]


@ledger_app.command("list")
def list_rows(
    database: LedgerFile,
    limit: Annotated[int, typer.Option(help="How many rows, the newest.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a row.")] = False,
) -> None:
    """Show the newest transactions that have not expired."""
    ledger = _open(database)
    rows = list(ledger.rows())[-limit:]
    ledger.close()
    if as_json:
        for row in rows:
            typer.echo(json.dumps({**asdict(row), "tokens_saved": row.tokens_saved}, default=str))
        return
    table = Table(
        "started (UTC)", "agent", "model", "outcome", "ms", "tokens in", "saved", "cost $", box=None
    )
    for row in rows:
        started = datetime.fromtimestamp(row.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        cost = "unknown" if row.cost_usd is None else f"{row.cost_usd:f}"
        table.add_row(
            started, row.agent, row.model or "-", row.outcome, f"{row.seconds * 1000:.1f}", str(row.input_tokens),
            str(row.tokens_saved), cost,
        )  # fmt: skip
    Console().print(table)


@retention_app.command("run")
def run_retention(
    database: Annotated[
        Path | None,
        typer.Argument(help="A ledger alone; default: all stores of the service.", dir_okay=False),
    ] = None,
    *,
    config: Config = None,
    state: State = None,
) -> None:
    """Delete what has expired, in every store, some rows at a time; a service beside it goes on."""
    if database is not None:
        ledger = _open(database)
        gone = ledger.sweep()
        ledger.close()
        typer.echo(f"{gone} expired rows deleted")
        return
    for store, rows in at_desk(config, state, swept).items():
        typer.echo(f"{store}: {rows} expired rows deleted")


def _open(database: Path) -> Ledger:
    if not database.exists():
        typer.echo(
            f"seawall: no ledger at {database}; a review keeps its own in DIR/.seawall/ledger.db", err=True
        )
        raise typer.Exit(2)
    return Ledger(database)


def main() -> None:
    """Run the command line; errors of our own are one line, not a traceback."""
    try:
        app()
    except SeawallError as error:
        typer.echo(f"seawall: {error}", err=True)
        raise SystemExit(2) from error
