"""`seawall trust`: how far a caller is trusted, and an operator's word on it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated

import typer

from seawall.defense.abuse import Standing, Tenant, TrustStore
from seawall.edge.local import open_keyring
from seawall.edge.operator import State, note_act, operator_name
from seawall.foundation.compliance.pseudonyms import Pseudonyms
from seawall.foundation.errors import StoreError
from seawall.foundation.principal import Principal

trust_app = typer.Typer(
    no_args_is_help=True, help="Trust: where a caller stands, and an operator's word on it."
)

Who = Principal | Tenant
TenantName = Annotated[str, typer.Argument(help="The tenant.")]
SubjectName = Annotated[
    str | None, typer.Argument(help="The subject; without it the tenant as a whole is meant.")
]
Url = Annotated[
    str,
    typer.Option("--redis", envvar="SEAWALL_REDIS_URL", help="The Redis that the service's processes share."),
]
Time = Annotated[str, typer.Option("--for", help="How long it holds, at most 30d.")]


@trust_app.command()
def status(tenant: TenantName, subject: SubjectName = None, *, url: Url) -> None:
    """Show on which step a subject or a tenant stands."""
    _do(url, _who(tenant, subject), lambda trust, who: trust.status(who))


@trust_app.command()
def ban(
    tenant: TenantName, subject: SubjectName = None, *, url: Url, time: Time = "24h", state: State = None
) -> None:
    """Refuse a subject or a tenant for a time, whatever it did."""
    _do(url, _who(tenant, subject), lambda trust, who: trust.ban(who, time, by=operator_name()))
    note_act("trust.banned", tenant, _named(tenant, subject), state=state)


@trust_app.command()
def pardon(
    tenant: TenantName, subject: SubjectName = None, *, url: Url, time: Time = "1h", state: State = None
) -> None:
    """Forget what a subject or a tenant did, and hold nothing against it for a time."""
    _do(url, _who(tenant, subject), lambda trust, who: trust.pardon(who, time, by=operator_name()))
    note_act("trust.pardoned", tenant, _named(tenant, subject), state=state)


def _who(tenant: str, subject: str | None) -> Who:
    return Tenant(tenant) if subject is None else Principal(tenant, subject)


def _named(tenant: str, subject: str | None) -> str:
    """Return what a caller is called in records."""
    return "the tenant" if subject is None else Pseudonyms(open_keyring(), tenant).subject(subject)


def _do(url: str, who: Who, act: Callable[[TrustStore, Who], Awaitable[Standing]]) -> None:
    # The Redis driver, which no other command needs.
    from seawall.edge.shared import open_shared

    async def ask() -> Standing | None:
        async with open_shared(url, open_keyring(), replicas=1) as shared:
            with suppress(StoreError):
                standing = await act(shared.trust, who)
                return None if shared.trust.degraded else standing
            return None

    standing = asyncio.run(ask())
    if standing is None:
        typer.echo(
            "seawall: Redis gave no answer, so nothing was read or changed there; check --redis", err=True
        )
        raise typer.Exit(1)
    wait = "" if standing.retry_after is None else f", heard again in {standing.retry_after:.0f} s"
    said = " by an operator's word" if standing.by_operator else ""
    typer.echo(f"{standing.step}{said}{wait}; {standing.owed} hits owed, requests weigh {standing.weight}")
