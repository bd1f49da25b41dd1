"""`seawall keyring`: the keys above all others, and new ones for them."""

import json
from typing import Annotated, Any

import typer

from seawall.edge.local import open_keyring
from seawall.edge.operator import AsJson, Config, Desk, State, at_desk

keyring_app = typer.Typer(no_args_is_help=True, help="Keys at rest: the master key, and each tenant's.")

OneTenant = Annotated[str | None, typer.Option("--tenant", help="A new key for this tenant alone.")]


@keyring_app.command()
def show(*, as_json: AsJson = False) -> None:
    """Show which versions of the master key there are, by fingerprint."""
    ring = open_keyring()
    told: dict[str, Any] = {
        "current": ring.current,
        "versions": list(ring.versions),
        "fingerprint": ring.fingerprint(),
    }
    if as_json:
        typer.echo(json.dumps(told))
        return
    typer.echo(f"current: {told['current']} ({told['fingerprint']}), on the ring: {told['versions']}")


@keyring_app.command()
def rotate(*, tenant: OneTenant = None, config: Config = None, state: State = None) -> None:
    """Make a new master key, or a new key for one tenant, and wrap the keys below it anew; content is not touched.

    Services go on meanwhile. Killed in between and run again, it goes on where it was.
    """

    async def of_tenant(desk: Desk) -> str:
        assert tenant is not None
        done = desk.records.people.rotate(tenant)
        desk.note("tenant_key.rotated", tenant, str(done))
        return f"{done} people's keys of {tenant} are wrapped under a new key"

    async def of_master(desk: Desk) -> str:
        desk.keyring.append()
        return _wrapped(desk)

    typer.echo(at_desk(config, state, of_tenant if tenant is not None else of_master))


@keyring_app.command()
def wrap(*, config: Config = None, state: State = None) -> None:
    """Wrap all tenants' keys under the current master key: after a rotation that was cut off, or in the environment."""

    async def work(desk: Desk) -> str:
        return _wrapped(desk)

    typer.echo(at_desk(config, state, work))


def _wrapped(desk: Desk) -> str:
    done, version = desk.records.people.wrap_anew(), desk.keyring.current
    desk.note("master_key.rotated", about=str(version))
    return f"master key {version} is current; {done} tenants' keys are wrapped under it"
