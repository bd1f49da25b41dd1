"""`seawall subject`: what a person may ask for, whose data is kept."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from seawall.edge.operator import AsJson, Config, Desk, State, Tenant, at_desk

subject_app = typer.Typer(
    no_args_is_help=True, help="People whose data is kept: give it out, erase it, restrict or hold it."
)

Subject = Annotated[str, typer.Argument(help="Who it is: the subject that their key or token names.")]
Reference = Annotated[str, typer.Option("--reference", help="What the request is known as, for the receipt.")]


@subject_app.command()
def export(
    subject: Subject,
    *,
    tenant: Tenant,
    out: Annotated[Path | None, typer.Option("--out", help="A new file for it, for your eyes only.")] = None,
    config: Config = None,
    state: State = None,
) -> None:
    """Give out everything that is kept of somebody, as JSON."""

    async def work(desk: Desk) -> dict[str, Any]:
        desk.note("subject.exported", tenant, _name(desk, tenant, subject))
        return await desk.erasures().export(tenant, subject)

    told = json.dumps(at_desk(config, state, work), indent=2, ensure_ascii=False, default=str)
    if out is None:
        typer.echo(told)
        return
    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(told)
    typer.echo(f"{out}: personal data in plain text; delete it when it was handed over", err=True)


@subject_app.command()
def erase(
    subject: Subject,
    *,
    tenant: Tenant,
    reference: Reference = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it cannot be undone.")] = False,
    receipt: Annotated[Path | None, typer.Option("--receipt", help="A file for the receipt.")] = None,
    config: Config = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Erase somebody from every store: destroy their key, delete their records, look, and sign a receipt."""
    if not yes:
        typer.confirm(f"Erase all that is kept of {subject!r}? It cannot be undone", abort=True)
    with _progress() as progress:
        task = progress.add_task("begin")

        async def work(desk: Desk) -> dict[str, Any]:
            erasures = desk.erasures(lambda step: progress.update(task, description=step))
            made = await erasures.erase(tenant, subject, reference=reference)
            desk.note("subject.erased", tenant, made["id"])
            return made

        made = at_desk(config, state, work)
    text = json.dumps(made, indent=2, ensure_ascii=False)
    if receipt is not None:
        receipt.write_text(text + "\n")
    if as_json:
        typer.echo(text)
        return
    _show(made)
    if receipt is None:
        typer.echo("the receipt is kept, too: seawall subject receipts", err=True)


@subject_app.command()
def resume(*, config: Config = None, state: State = None) -> None:
    """Finish erasures that were cut off, by a crash or a kill."""

    async def work(desk: Desk) -> list[dict[str, Any]]:
        finished = await desk.erasures().resume()
        for made in finished:
            desk.note("subject.erased", made["tenant"], made["id"])
        return finished

    finished = at_desk(config, state, work)
    typer.echo(f"{len(finished)} finished")
    for made in finished:
        _show(made)


@subject_app.command()
def receipts(*, tenant: Tenant, config: Config = None, state: State = None) -> None:
    """Print the receipts of a tenant's erasures, one JSON object a line."""

    async def work(desk: Desk) -> list[dict[str, Any]]:
        return await desk.erasures().receipts(tenant)

    for made in at_desk(config, state, work):
        typer.echo(json.dumps(made, ensure_ascii=False))


@subject_app.command()
def restrict(
    subject: Subject,
    *,
    tenant: Tenant,
    off: Annotated[bool, typer.Option("--off", help="Lift the restriction.")] = False,
    config: Config = None,
    state: State = None,
) -> None:
    """Have nothing new done with somebody's data; what is kept stays, and can be read."""

    async def work(desk: Desk) -> None:
        desk.records.people.restrict(tenant, subject, on=not off)
        act = "subject.unrestricted" if off else "subject.restricted"
        desk.note(act, tenant, _name(desk, tenant, subject))

    at_desk(config, state, work)
    typer.echo(
        "the restriction is lifted" if off else "restricted: running services refuse new work within a second"
    )


@subject_app.command()
def hold(
    subject: Subject,
    *,
    tenant: Tenant,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept sealed.")],
    config: Config = None,
    state: State = None,
) -> None:
    """Keep somebody's data from being deleted, for a legal claim: neither erasure nor retention takes it."""

    async def work(desk: Desk) -> None:
        desk.records.people.hold(tenant, subject, reason)
        desk.note("subject.held", tenant, _name(desk, tenant, subject))

    at_desk(config, state, work)
    typer.echo("held until `seawall subject release`")


@subject_app.command()
def release(subject: Subject, *, tenant: Tenant, config: Config = None, state: State = None) -> None:
    """End a legal hold; what expired meanwhile goes with the next sweep."""

    async def work(desk: Desk) -> bool:
        there = desk.records.people.release(tenant, subject)
        desk.note("subject.released", tenant, _name(desk, tenant, subject))
        return there

    typer.echo("released" if at_desk(config, state, work) else "there was no hold")


def _name(desk: Desk, tenant: str, subject: str) -> str:
    """Return what the person is called in records: an operator's acts are no place for who they are."""
    return desk.records.people.names(tenant, subject)[0]


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True
    )


def _show(made: Mapping[str, Any]) -> None:
    table = Table("store", "held", "left", "how", box=None)
    for one in made["stores"]:
        left = f"[red]{one['left']}[/]" if one["left"] else "[green]0[/]"
        table.add_row(one["store"], str(one["held"]), left, one["how"])
    console = Console()
    console.print(f"[bold]{made['id']}[/]  keys destroyed: {made['keys_destroyed']}, due {made['due_at']}")
    console.print(table)
    looked: Any = made["raw_files"]
    if isinstance(looked, str):
        console.print(f"raw files: {looked}")
    else:
        found = " ".join(looked["found_in"]) or "nothing found"
        console.print(f"looked through {looked['files']} files, {looked['bytes']:,} bytes: {found}")
    console.print("not covered:")
    for one in made["not_covered"]:
        console.print(f"  - {one}", soft_wrap=True)
