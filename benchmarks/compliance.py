"""What compliance costs: `python -m benchmarks.compliance [--people 10000] [--rows 1000000]`.

A request's share (pseudonyms, encryption, audit) in CPU, audit rows a second, one person erased among many, keys rotated
while a service reads and writes. Prints one JSON object as its last line.
"""

import argparse
import asyncio
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from seawall.edge.operator import Desk, open_desk
from seawall.edge.settings import read_settings
from seawall.foundation.audit.record import AuditRecord
from seawall.foundation.audit.verify import verify
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault
from seawall.foundation.economics.ledger import LEDGER
from seawall.foundation.events import TransactionFinished
from seawall.foundation.ids import new_id
from seawall.foundation.principal import Principal
from seawall.foundation.subjects.book import Erased, Subject
from seawall.foundation.transaction import Transaction
from seawall.orchestration.run_database import RUNS, Place
from seawall.orchestration.runs import NewRun

_TENANT = "acme"
_AT_ONCE = 5_000
_KEPT = 1e10
_PROMPT = (
    "Please look at the enclosed agreement. Jane Roe (jane.roe@clinic.example.com, 202-555-0143) signed it on behalf of "
    "the Supplier; the Customer's counsel, Attention: John Whitfield, asks whether the liability cap of twelve months' "
    "fees applies to claims for indemnification. "
)


def main() -> None:
    """Run all parts, and print what they came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="compliance-") as folder:
        print(json.dumps(asyncio.run(_measured(Path(folder), given.people, given.rows))))


async def _measured(folder: Path, people: int, rows: int) -> dict[str, Any]:
    ring = Keyring.ephemeral()
    settings = read_settings(Path("/dev/null"), state=folder / "state")
    async with open_desk(settings, ring) as desk:
        told: dict[str, Any] = {"request": _request(desk), "audit": _audit(desk)}
        began = time.monotonic()
        known = _filled(desk, people, rows)
        told["filled_seconds"] = round(time.monotonic() - began, 1)
        told["rotate"] = await _rotated(desk, known)
        told["erase"] = await _erased(desk, rows)
        return told


def _request(desk: Desk, count: int = 2_000) -> dict[str, float]:
    """Measure CPU of the whole process, the audit's own thread included."""
    text = (_PROMPT * 4)[:1_000]
    person = desk.records.people.meet(_TENANT, "bench")
    desk.records.audit.flush()

    def each(work: Any) -> float:
        began = time.process_time()
        for number in range(count):
            work(number)
        desk.records.audit.flush()
        return round((time.process_time() - began) / count * 1e3, 4)

    def names(number: int) -> None:
        Vault(Pseudonyms(desk.keyring, _TENANT)).pseudonymise(text)

    def seals(number: int) -> None:
        place = Place(_TENANT, person.id, str(number), "asked")
        for _ in range(2):
            desk.runs.database.seal(place, text.encode())

    row = _transaction(desk.records.people.names(_TENANT, "bench")[0], 0)

    def audits(number: int) -> None:
        desk.records.trail(TransactionFinished(row))

    def everything(number: int) -> None:
        names(number)
        seals(number)
        audits(number)

    def copies(number: int) -> None:
        text.upper()

    parts = {"pseudonymise": names, "encrypt_twice": seals, "audit": audits, "all": everything}
    return {f"{name}_ms": each(work) for name, work in parts.items()} | {"baseline_copy_ms": each(copies)}


def _audit(desk: Desk, count: int = 60_000) -> dict[str, float]:
    record = AuditRecord(tenant=_TENANT, kind="guard.tripped", at=time.time(), actor="s-1", facts={"n": 1})
    best = 0.0
    for _ in range(3):
        began = time.monotonic()
        for number in range(count):
            if number % 30_000 == 29_999:
                desk.records.audit.flush()
            desk.records.audit.append(record)
        desk.records.audit.flush()
        best = max(best, count / (time.monotonic() - began))
    began = time.monotonic()
    with desk.records.audit.engine.connect() as connection:
        found = verify(connection, desk.records.audit.signer)
    assert not found.findings
    return {
        "rows_per_second": round(best),
        "verified_per_second": round(found.records / (time.monotonic() - began)),
    }


def _filled(desk: Desk, people: int, rows: int) -> list[Subject]:
    """Write half of the rows as runs, half as ledger rows, evenly over the people."""
    book = desk.records.people
    named = {book.names(_TENANT, f"person-{number}@example.com")[0]: number for number in range(people)}
    met: dict[str, Subject] = {}
    names = list(named)
    for at in range(0, people, _AT_ONCE):
        met |= book.meet_named(_TENANT, names[at : at + _AT_ONCE])
    known = [met[name] for name in names]
    half = rows // 2
    _insert(desk.runs.database._engine, RUNS, (_run(known[n % people]) for n in range(half)))  # noqa: SLF001  as fast as it goes
    _insert(desk.records.ledger.engine, LEDGER, (_ledger_row(names[n % people]) for n in range(half)))
    for name in names[:200]:
        desk.records.trail(TransactionFinished(_transaction(name, 1)))
    desk.records.audit.flush()
    return known


def _insert(engine: sa.Engine, table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
    while True:
        some = list(islice(rows, _AT_ONCE))
        if not some:
            return
        with engine.begin() as connection:
            connection.execute(sa.insert(table), some)


def _run(person: Subject) -> dict[str, Any]:
    run_id = new_id("run")
    context = json.dumps(["seawall.runs", *Place(_TENANT, person.id, run_id, "asked")]).encode()
    asked = json.dumps([person.id, [], {"input": _PROMPT}]).encode()
    now = time.time()
    return {
        "tenant": _TENANT, "id": run_id, "subject": person.id, "agent": "clerk", "lane": 0, "state": "done",
        "created_at": now, "expires_at": _KEPT, "started_at": now, "ended_at": now, "attempts": 1, "most_attempts": 1,
        "fence": 1, "owner": "", "lease_until": 0.0, "cancel_requested": False, "why": "",
        "asked": person.key.seal(asked, context), "output": None, "last_seq": 0, "event_bytes": 0, "truncated": False,
    }  # fmt: skip


def _ledger_row(name: str) -> dict[str, Any]:
    row = _transaction(name, 0)
    return {field: getattr(row, field) for field in Transaction.__dataclass_fields__} | {
        "missing": [], "verdicts": [], "attempts": []
    }  # fmt: skip


def _transaction(name: str, seconds: float) -> Transaction:
    return Transaction(
        id=new_id("txn"), tenant=_TENANT, subject=name, agent="clerk", model="m", started_at=time.time(),
        expires_at=_KEPT, outcome="ok", seconds=seconds,
    )  # fmt: skip


async def _rotated(desk: Desk, known: list[Subject]) -> dict[str, Any]:
    """Rotate the tenant's key and the master's wrapping while runs are stored and read."""
    done = asyncio.Event()
    took: list[float] = []
    failed = 0

    async def serve() -> None:
        nonlocal failed
        number = 0
        while not done.is_set():
            began = time.monotonic()
            number += 1
            try:
                run = await desk.runs.create(
                    NewRun(Principal(_TENANT, f"u-{number % 50}"), "clerk", {"input": "x"})
                )
                failed += await desk.runs.get(_TENANT, run.id) is None
            except Exception:  # noqa: BLE001  any error is one too many
                failed += 1
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.002)

    working = asyncio.create_task(serve())
    await asyncio.sleep(0.5)
    before = len(took)
    began = time.monotonic()
    wrapped = await asyncio.to_thread(desk.records.people.rotate, _TENANT)
    tenants = await asyncio.to_thread(desk.records.people.wrap_anew)
    seconds = time.monotonic() - began
    during = sorted(took[before:]) or [0.0]
    done.set()
    await working
    opened = sum(1 for one in known if desk.records.people.get(_TENANT, one.id).key)
    return {
        "people": wrapped,
        "tenant_keys": tenants,
        "seconds": round(seconds, 2),
        "requests_failed": failed,
        "p50_ms_idle": round(statistics.median(took[:before]) * 1e3, 1),
        "p50_ms_during": round(statistics.median(during) * 1e3, 1),
        "max_ms_during": round(during[-1] * 1e3, 1),
        "keys_that_open": opened,
    }


async def _erased(desk: Desk, rows: int) -> dict[str, Any]:
    person, other = "person-7@example.com", "person-8@example.com"
    steps: list[tuple[str, float]] = []
    (before,) = desk.records.people.find(_TENANT, person)
    kept = len((await desk.erasures().export(_TENANT, other))["records"]["runs"])
    began = time.monotonic()
    receipt = await desk.erasures(lambda step: steps.append((step, time.monotonic() - began))).erase(
        _TENANT, person
    )
    seconds = time.monotonic() - began
    gone = False
    try:
        desk.records.people.get(_TENANT, before.id)
    except Erased:
        gone = True
    with desk.records.audit.engine.connect() as connection:
        holds = not verify(connection, desk.records.audit.signer).findings
    return {
        "rows": rows,
        "seconds": round(seconds, 2),
        "steps": {step: round(at, 2) for step, at in steps},
        "held": {one["store"]: one["held"] for one in receipt["stores"]},
        "left": sum(one["left"] for one in receipt["stores"]),
        "key_gone": gone,
        "neighbour_untouched": kept == len((await desk.erasures().export(_TENANT, other))["records"]["runs"]),
        "audit_holds": holds,
        "raw_files": receipt["raw_files"],
    }


if __name__ == "__main__":
    main()
