"""`seawall breaker`: the circuits that replicas share, and an operator's word on them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seawall.defense.resilience import CircuitBreaker
from seawall.edge.local import open_keyring
from seawall.edge.operator import State, note_act, operator_name
from seawall.foundation.errors import StoreError

if TYPE_CHECKING:
    from seawall.defense.resilience.shared import SharedBreakers
    from seawall.defense.resilience.shared_breaker import SharedBreaker

breaker_app = typer.Typer(
    no_args_is_help=True, help="Circuit breakers that replicas share: see them, isolate and reset them."
)

Name = Annotated[
    str, typer.Argument(help="The agent and what it depends on, as `list` has it: 'clerk/model gpt-5'.")
]
Url = Annotated[
    str,
    typer.Option("--redis", envvar="SEAWALL_REDIS_URL", help="The Redis that the service's processes share."),
]
Why = Annotated[str, typer.Option(help="What callers are told, and the log: maintenance, say.")]
_COLOURS = {"closed": "green", "half_open": "yellow", "open": "red", "isolated": "magenta"}


@breaker_app.command("list")
def list_breakers(
    *, url: Url, as_json: Annotated[bool, typer.Option("--json", help="One JSON object a circuit.")] = False
) -> None:
    """Show every circuit that was in use within the last hour, and its state."""

    async def look(circuits: "SharedBreakers") -> list[str]:
        return await circuits.names()

    found = _do(url, look)
    if as_json:
        for name, breaker in found:
            said = breaker.snapshot()
            typer.echo(
                json.dumps(
                    {"name": name, "state": said.state, "why": said.why, "retry_after": said.retry_after}
                )
            )
        return
    table = Table("circuit", "state", "again in", "why", box=None)
    for name, breaker in found:
        said = breaker.snapshot()
        wait = f"{said.retry_after:.0f} s" if said.retry_after else ""
        colour = _COLOURS[said.state]
        table.add_row(escape(name), f"[{colour}]{said.state}[/]", wait, escape(said.why))
    Console().print(table)


@breaker_app.command()
def isolate(name: Name, *, url: Url, why: Why = "isolated", state: State = None) -> None:
    """Refuse every call to a dependency, in every replica, until `reset`."""
    _speak(url, name, lambda breaker: breaker.isolate(f"{why} ({operator_name()})"))
    note_act("breaker.isolated", about=name, state=state)


@breaker_app.command()
def reset(name: Name, *, url: Url, why: Why = "reset", state: State = None) -> None:
    """Close a circuit in every replica, whatever it is now, with nothing remembered."""
    _speak(url, name, lambda breaker: breaker.reset(f"{why} ({operator_name()})"))
    note_act("breaker.reset", about=name, state=state)


def _speak(url: str, name: str, word: Callable[["SharedBreaker"], None]) -> None:
    async def tell(circuits: "SharedBreakers") -> list[str]:
        if name not in await circuits.names():
            return []
        breaker = circuits.breaker(name, CircuitBreaker())
        await circuits.exchange()
        word(breaker)
        await circuits.exchange()
        return [name]

    told = _do(url, tell)
    if not told:
        typer.echo(f"seawall: no replica has a circuit {name!r}; `seawall breaker list` has them", err=True)
        raise typer.Exit(2)
    typer.echo(f"{name}: {told[0][1].state}")


def _do(
    url: str, act: Callable[["SharedBreakers"], Awaitable[Sequence[str]]]
) -> "list[tuple[str, SharedBreaker]]":
    # The Redis driver, which few commands need.
    from seawall.edge.shared import open_shared

    async def ask() -> "list[tuple[str, SharedBreaker]]":
        async with open_shared(url, open_keyring(), replicas=1) as shared:
            circuits = shared.circuits
            # The rules of a circuit are its replicas'; what is read and said here needs none.
            found = [(name, circuits.breaker(name, CircuitBreaker())) for name in await act(circuits)]
            await circuits.exchange()
            return found

    try:
        return asyncio.run(ask())
    except StoreError as error:
        typer.echo(
            "seawall: Redis gave no answer, so nothing was read or changed there; check --redis", err=True
        )
        raise typer.Exit(1) from error
