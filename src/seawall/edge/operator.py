"""What commands of an operator have in common: the settings they read, the stores they open, the record they leave."""

import asyncio
import getpass
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from seawall.edge.auth.key_records import KeyRecords
from seawall.edge.auth.key_store import KeyStore, open_key_store
from seawall.edge.local import open_keyring
from seawall.edge.records import Records, open_records, sweep_records
from seawall.edge.settings import Settings, read_settings
from seawall.foundation.audit.personal import AuditedRecords
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.economics.ledger_records import LedgerRecords
from seawall.foundation.events import OperatorActed
from seawall.foundation.subjects.erasure import Erasures
from seawall.foundation.subjects.personal import PersonalRecords
from seawall.orchestration.run_records import RunRecords
from seawall.orchestration.run_store import SqlRunStore, open_run_store

T = TypeVar("T")
State = Annotated[
    Path | None,
    typer.Option("--state", envvar="SEAWALL_STATE", help="The service's state folder.", file_okay=False),
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings; default: seawall.toml.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for a program.")]
Tenant = Annotated[str, typer.Option("--tenant", help="The customer.")]


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that an operator's command may look into."""

    settings: Settings
    keyring: Keyring
    records: Records
    runs: SqlRunStore
    keys: KeyStore

    def note(self, act: str, tenant: str = "", about: str = "") -> None:
        """Leave a record of what the operator does."""
        self.records.events.publish(OperatorActed(operator_name(), act, tenant, about))

    def stores(self) -> list[PersonalRecords]:
        """Return every store of personal data."""
        return [
            RunRecords(self.runs.database),
            LedgerRecords(self.records.ledger),
            KeyRecords(self.keys),
            AuditedRecords(self.records.audit),
        ]

    def erasures(self, told: Callable[[str], object] = str) -> Erasures:
        """Return what erases people from all of them."""
        folder = self.settings.state if self.settings.database_url is None else None
        return Erasures(self.records.people, self.stores(), self.keyring, folder, told)


def operator_name() -> str:
    """Return who is at the terminal, as the operating system says."""
    return f"operator {getpass.getuser()}"


def note_act(
    act: str, tenant: str = "", about: str = "", *, config: Path | None = None, state: Path | None = None
) -> None:
    """Leave a record of what an operator did, for commands that need no store but that one."""
    with open_records(read_settings(config, state=state), open_keyring()) as records:
        records.events.publish(OperatorActed(operator_name(), act, tenant, about))


@asynccontextmanager
async def open_desk(
    settings: Settings, keyring: Keyring, clock: Clock = SYSTEM_CLOCK
) -> AsyncGenerator[Desk]:
    """Open all stores of a service, beside the service if it runs."""
    with open_records(settings, keyring, clock) as records:
        keys = open_key_store(settings.state, keyring, clock=clock)
        try:
            opening = open_run_store(settings.where, keyring, people=records.people, clock=clock)
            async with opening as runs:
                yield Desk(settings, keyring, records, runs, keys)
        finally:
            keys.close()


def at_desk(config: Path | None, state: Path | None, work: Callable[[Desk], Awaitable[T]]) -> T:
    """Do something at the desk of the service that these settings describe."""
    settings = read_settings(config, state=state)

    async def do() -> T:
        async with open_desk(settings, open_keyring()) as desk:
            return await work(desk)

    return asyncio.run(do())


async def swept(desk: Desk) -> dict[str, int]:
    """Delete what has expired from every store; how many rows of each."""
    runs = await desk.runs.sweep()
    gone = await asyncio.to_thread(sweep_records, desk.records, desk.settings.retention)
    desk.note("retention.run", about=" ".join(f"{name}={count}" for name, count in gone.items()))
    return {"runs": runs.runs, "kept answers": runs.keys, **gone}
