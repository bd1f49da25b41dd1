"""Records of people at an operator's desk: runs, kept answers, ledger rows, keys and audit records of each."""

from pathlib import Path
from typing import Any

from seawall.edge.operator import Desk
from seawall.edge.settings import Settings, read_settings
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.events import TransactionFinished
from seawall.foundation.ids import new_id
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Transaction
from seawall.orchestration.idempotency import Fresh, KeyNames
from seawall.orchestration.idempotency_store import SqlIdempotencyStore
from seawall.orchestration.runs import Event, NewRun

RING = "".join(f"{(11 * n * n + 17 * n + 5) % 256:02x}" for n in range(32))
NEVER = 4_000_000_000.0


def keyring() -> Keyring:
    """Return the same ring in every process."""
    return Keyring.from_hex(RING)


def settings_for(where: Path | str, folder: Path, **more: Any) -> Settings:
    """Return settings of a service that keeps its records there."""
    if isinstance(where, str):
        return read_settings(Path("/dev/null"), state=folder, database_url=where, **more)
    return read_settings(Path("/dev/null"), state=where, **more)


async def live(desk: Desk, tenant: str, person: str, said: str, runs: int = 2) -> None:
    """Have somebody do what leaves a record in every store."""
    principal = Principal(tenant, person)
    for number in range(runs):
        run = await desk.runs.create(NewRun(principal, "clerk", {"input": f"{said} {number}"}))
        (taken,) = await desk.runs.claim("worker")
        await desk.runs.append_events(taken.lease, [Event("delta", {"text": said})])
        await desk.runs.finish(taken.lease, "done", {"output": said})
        row = transaction(tenant, desk.records.people.names(tenant, person)[0], run.created_at)
        desk.records.events.publish(TransactionFinished(row))
    store = SqlIdempotencyStore(desk.runs.database)
    name = KeyNames(desk.keyring).name(tenant, person, "POST /v1/agents/clerk/runs", new_id("key"))
    claimed = await store.claim(name, "f", new_id("run"))
    assert isinstance(claimed, Fresh)
    await store.complete(claimed.claim, 200, [], said.encode())
    desk.keys.create(tenant, person, name=said)
    desk.records.ledger.flush()
    desk.records.audit.flush()


def transaction(tenant: str, subject: str, at: float) -> Transaction:
    """Make a ledger row."""
    return Transaction(
        id=new_id("txn"),
        tenant=tenant,
        subject=subject,
        agent="clerk",
        model="test",
        started_at=at,
        expires_at=NEVER,
        outcome="ok",
    )
