"""`seawall audit`: look whether anything was changed, and give records out."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from seawall.edge.operator import AsJson, Config, Desk, State, at_desk
from seawall.foundation.audit.ai_act import log_entry
from seawall.foundation.audit.verify import Verified, verify
from seawall.foundation.errors import ConfigError

audit_app = typer.Typer(no_args_is_help=True, help="The audit log: verify it, give it out.")

Heads = Annotated[
    Path | None,
    typer.Option(
        "--heads", help="Heads of chains that an earlier look saved here; taken into account, and saved anew."
    ),
]
TenantOnly = Annotated[str | None, typer.Option("--tenant", help="This tenant's only.")]
Day = Annotated[str | None, typer.Option(help="A day or moment, such as 2026-11-24 or 2026-11-24T10:00Z.")]


@audit_app.command("verify")
def verify_log(
    *, heads: Heads = None, config: Config = None, state: State = None, as_json: AsJson = False
) -> None:
    """Find any edit, deletion, reordering or truncation, and name the first record that does not fit.

    A log that was put back whole to an earlier state shows only to who kept its heads elsewhere: give --heads a file on
    another machine's disk, each time.
    """
    expected = _read_heads(heads)

    async def work(desk: Desk) -> Verified:
        desk.note("audit.verified")
        desk.records.audit.flush()
        with desk.records.audit.engine.connect() as connection:
            return verify(connection, desk.records.audit.signer, expected)

    found = at_desk(config, state, work)
    if heads is not None and not found.findings:
        heads.write_text(json.dumps(found.heads, indent=1) + "\n")
    if as_json:
        told = [{"tenant": one.tenant, "record": one.seq, "what": one.what} for one in found.findings]
        typer.echo(json.dumps({"records": found.records, "chains": len(found.heads), "findings": told}))
    else:
        _show(found)
    if found.findings:
        raise typer.Exit(1)


@audit_app.command()
def export(
    *,
    ai_act: Annotated[
        bool, typer.Option("--ai-act", help="As the AI Act, Article 12, names things.")
    ] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One record a line; the default.")] = False,
    since: Annotated[str | None, typer.Option("--from", help="From this day or moment on.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="To before this day or moment.")] = None,
    tenant: TenantOnly = None,
    config: Config = None,
    state: State = None,
) -> None:
    """Print records, one JSON object a line, in the order of their chains."""
    if ai_act and jsonl:
        raise ConfigError("give --ai-act or --jsonl, not both")
    begin, end = _moment(since, 0.0), _moment(until, float("inf"))

    async def work(desk: Desk) -> None:
        desk.note("audit.exported", tenant or "")
        for record in desk.records.audit.read(tenant, since=begin, until=end):
            typer.echo(json.dumps(log_entry(record) if ai_act else record, ensure_ascii=False))

    at_desk(config, state, work)


@audit_app.command()
def key(*, config: Config = None, state: State = None) -> None:
    """Print the public keys that heads and checkpoints, and receipts of erasures, are signed with, by version."""

    async def work(desk: Desk) -> dict[str, Any]:
        return {
            "audit": desk.records.audit.signer.public_keys(),
            "receipts": desk.erasures().signer.public_keys(),
        }

    typer.echo(json.dumps(at_desk(config, state, work), indent=1))


def _show(found: Verified) -> None:
    console = Console()
    for one in found.findings:
        where = f"record {one.seq}" if one.seq else "the chain"
        console.print(f"[red]changed[/]  {one.tenant or 'the service'}, {where}: {one.what}", soft_wrap=True)
    verdict = "[red]does not hold[/]" if found.findings else "[green]holds[/]"
    console.print(f"{verdict}: {found.records:,} records in {len(found.heads)} chains")


def _read_heads(path: Path | None) -> dict[str, tuple[int, str]] | None:
    if path is None or not path.exists():
        return None
    try:
        return {tenant: (int(seq), str(head)) for tenant, (seq, head) in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} holds no heads of an audit log; give the file that --heads wrote"
        ) from error


def _moment(text: str | None, otherwise: float) -> float:
    if text is None:
        return otherwise
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no day or moment; expected such as 2026-11-24 or 2026-11-24T10:00Z"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
