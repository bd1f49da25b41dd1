"""`seawall keys`: make, list, rotate and revoke API keys."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from seawall.edge.auth.key_store import KeyStore, open_key_store
from seawall.edge.auth.keys import ApiKey, NewKey
from seawall.edge.local import open_keyring
from seawall.edge.operator import note_act
from seawall.foundation.clock import SYSTEM_CLOCK

keys_app = typer.Typer(no_args_is_help=True, help="API keys: who may call, and until when.")

State = Annotated[
    Path, typer.Option("--state", envvar="SEAWALL_STATE", help="The service's state folder.", file_okay=False)
]
KeyId = Annotated[str, typer.Argument(help="The key's id, as `list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a key.")]
_STATE = Path(".seawall")


@keys_app.command()
def create(
    tenant: Annotated[str, typer.Option(help="The customer whose data the caller sees.")],
    subject: Annotated[str, typer.Option(help="The person or machine that calls.")],
    *,
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; may be given again.")] = None,
    name: Annotated[str, typer.Option(help="What the key is for, in your words.")] = "",
    lasts: Annotated[
        str | None, typer.Option(help="How long it holds, such as 90d; else until revoked.")
    ] = None,
    state: State = _STATE,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: only a digest of it is kept."""
    with _opened(state) as keys:
        made = keys.create(tenant, subject, scopes=scope or (), name=name, lasts=lasts)
    note_act("key.created", tenant, made.key.id, state=state)
    _show_new(made, as_json=as_json)


@keys_app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="This tenant's only.")] = None,
    *,
    state: State = _STATE,
    as_json: AsJson = False,
) -> None:
    """Show all keys there are, without their secrets."""
    with _opened(state) as keys:
        found = keys.all(tenant)
    if as_json:
        for key in found:
            typer.echo(json.dumps(_plain(key)))
        return
    table = Table(
        Column("id", no_wrap=True),
        "tenant",
        "subject",
        "scopes",
        "name",
        "state",
        "created",
        "expires",
        "last used",
        box=None,
    )
    now = SYSTEM_CLOCK.time()
    for key in found:
        table.add_row(
            key.id, key.tenant, key.subject, " ".join(sorted(key.scopes)), key.name, _standing(key, now),
            _day(key.created_at), _day(key.expires_at), _day(key.last_used_at),
        )  # fmt: skip
    Console().print(table)


@keys_app.command()
def revoke(key_id: KeyId, *, state: State = _STATE, as_json: AsJson = False) -> None:
    """End a key, now and for good; running processes hear of it within half a second."""
    with _opened(state) as keys:
        key = keys.revoke(key_id)
    note_act("key.revoked", key.tenant, key.id, state=state)
    typer.echo(json.dumps(_plain(key)) if as_json else f"{key.id} is revoked")


@keys_app.command()
def rotate(
    key_id: KeyId,
    *,
    overlap: Annotated[str, typer.Option(help="How long the old key still holds.")] = "24h",
    state: State = _STATE,
    as_json: AsJson = False,
) -> None:
    """Make a key's successor and print it, this once; the old key goes on for a while."""
    with _opened(state) as keys:
        made = keys.rotate(key_id, overlap=overlap)
    note_act("key.rotated", made.key.tenant, f"{key_id} to {made.key.id}", state=state)
    _show_new(made, as_json=as_json)


@contextmanager
def _opened(state: Path) -> Generator[KeyStore]:
    keys = open_key_store(state, open_keyring())
    try:
        yield keys
    finally:
        keys.close()


def _show_new(made: NewKey, *, as_json: bool) -> None:
    # The key alone on standard output, so that it can be piped to where it is kept.
    if as_json:
        typer.echo(json.dumps(_plain(made.key) | {"api_key": made.token}))
        return
    typer.echo(made.token)
    until = f"until {_day(made.key.expires_at)}" if made.key.expires_at else "until it is revoked"
    typer.echo(
        f"seawall: this is key {made.key.id}, good {until}; it is not shown again, so put it where secrets are kept",
        err=True,
    )


def _plain(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "subject": key.subject,
        "scopes": sorted(key.scopes),
        "name": key.name,
        "state": _standing(key, SYSTEM_CLOCK.time()),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
        "rotated_to": key.rotated_to,
    }


def _standing(key: ApiKey, now: float) -> str:
    return key.fault(now) or ("valid" if key.rotated_to is None else "rotated")


def _day(at: float | None) -> str:
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
