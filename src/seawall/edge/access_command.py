"""`seawall access`: content for an operator's eyes, where there is a reason, for a time, and not unseen."""

import json
import logging
from datetime import UTC, datetime
from typing import Annotated

import typer

from seawall.edge.operator import AsJson, Config, Desk, State, Tenant, at_desk, operator_name
from seawall.foundation.errors import ConfigError
from seawall.foundation.events import ContentRead
from seawall.foundation.subjects.grants import AccessGrants, Grant

access_app = typer.Typer(
    no_args_is_help=True, help="Break-glass access to content: with a reason, for a time."
)
_log = logging.getLogger("seawall.alert")

GrantId = Annotated[str, typer.Option("--grant", help="The grant, as `open` printed it.")]


@access_app.command("open")
def open_access(
    *,
    tenant: Tenant,
    reason: Annotated[str, typer.Option("--reason", help="Why: the incident, and what is looked for.")],
    lasts: Annotated[str, typer.Option("--for", help="How long, at most 4h.")] = "15m",
    config: Config = None,
    state: State = None,
) -> None:
    """Get leave to read a tenant's content; everybody who watches the service is told."""

    async def work(desk: Desk) -> Grant:
        grant = _grants(desk).open(tenant, operator_name(), reason, lasts)
        desk.note("access.opened", tenant, grant.id)
        return grant

    grant = at_desk(config, state, work)
    _log.critical("break-glass access %s to content of %s by %s", grant.id, tenant, grant.operator)
    typer.echo(grant.id)
    typer.echo(f"seawall: it ends at {_time(grant.until)}; each read is noted", err=True)


@access_app.command()
def read(
    run_id: Annotated[str, typer.Argument(help="The run.")],
    *,
    tenant: Tenant,
    grant: GrantId,
    config: Config = None,
    state: State = None,
) -> None:
    """Print what a run was given and came to, under a grant that holds."""

    async def work(desk: Desk) -> str:
        held = _grants(desk).check(grant, tenant, operator_name())
        # Noted before it is seen.
        desk.records.events.publish(ContentRead(run_id, tenant, held.operator, held.id))
        desk.records.audit.flush()
        detail = await desk.runs.get(tenant, run_id, held=True)
        if detail is None:
            raise ConfigError(f"{tenant} has no run {run_id}, or it expired")
        told = {"id": run_id, "agent": detail.run.agent, "input": detail.input, "output": detail.output}
        return json.dumps(told, indent=2, ensure_ascii=False)

    typer.echo(at_desk(config, state, work))


@access_app.command()
def end(grant: GrantId, *, config: Config = None, state: State = None) -> None:
    """End a grant before its time."""

    async def work(desk: Desk) -> bool:
        desk.note("access.ended", about=grant)
        return _grants(desk).end(grant)

    typer.echo("ended" if at_desk(config, state, work) else "it had ended already, or there is none")


@access_app.command("list")
def list_grants(*, config: Config = None, state: State = None, as_json: AsJson = False) -> None:
    """Show every grant there was: whose, when, why."""

    async def work(desk: Desk) -> list[Grant]:
        return _grants(desk).all()

    for one in at_desk(config, state, work):
        if as_json:
            told = {"id": one.id, "tenant": one.tenant, "operator": one.operator, "reason": one.reason}
            typer.echo(
                json.dumps(told | {"opened_at": one.opened_at, "until": one.until, "ended_at": one.ended_at})
            )
        else:
            ended = "" if one.ended_at is None else f", ended {_time(one.ended_at)}"
            typer.echo(
                f"{one.id}  {one.tenant}  {one.operator}  {_time(one.opened_at)} to {_time(one.until)}{ended}: {one.reason}"
            )


def _grants(desk: Desk) -> AccessGrants:
    return AccessGrants(desk.records.people, desk.keyring)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
