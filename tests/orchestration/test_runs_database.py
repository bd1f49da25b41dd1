"""The database under runs and keys: grouped, bounded, cancelled and broken, it does each operation whole or not at all."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.event import listen

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import StoreError
from seawall.foundation.principal import Principal
from seawall.foundation.storage.database import open_database
from seawall.foundation.subjects.book import SubjectBook
from seawall.orchestration import idempotency_store
from seawall.orchestration.idempotency import Fresh, KeyNames
from seawall.orchestration.idempotency_store import SqlIdempotencyStore
from seawall.orchestration.run_database import KEYS, RunDatabase
from seawall.orchestration.run_store import SqlRunStore, open_run_store
from seawall.orchestration.runs import NewRun, Run, RunExists

MARK = "Zoë Testperson 078-05-1120"


def asked(given: str = "review") -> NewRun:
    return NewRun(Principal("acme", "u-1"), "reviewer", given)


@pytest.fixture
async def runs(tmp_path: Path) -> AsyncIterator[SqlRunStore]:
    async with open_run_store(tmp_path, Keyring.ephemeral()) as store:
        yield store


@contextmanager
def locked(folder: Path):
    """Hold the file for writing, as another process does."""
    other = sqlite3.connect(folder / "runs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def nothing(_connection: sa.Connection) -> None:
    """Write nothing."""


class Gate:
    """Holds a function up where it begins, in whatever thread, until it is opened."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, *given: Any) -> Any:
        self.reached.set()
        assert self.opened.wait(60)
        return self._work(*given)


async def test_operations_of_one_group_fail_each_for_itself(runs: SqlRunStore) -> None:
    """Of operations that are committed together one that fails half-way leaves nothing, and its neighbours all."""
    row = {
        "tenant": "acme",
        "subject": "sub_1",
        "fingerprint": "f",
        "run_id": "r",
        "token": "t",
        "claims": 1,
        "lease_until": 0.0,
        "expires_at": 9e9,
    }

    def good(connection: sa.Connection, name: str = "good") -> None:
        connection.execute(sa.insert(KEYS).values(name=name, **row))

    def bad(connection: sa.Connection) -> None:
        good(connection, "bad")
        raise ValueError("half-way")

    gate = Gate(nothing)
    together = asyncio.gather(
        *(runs.database.write(work) for work in (gate, bad, good, good)), return_exceptions=True
    )
    await asyncio.to_thread(gate.reached.wait)
    gate.opened.set()
    said = await together
    assert [type(one).__name__ for one in said] == ["NoneType", "ValueError", "NoneType", "StoreError"]
    names = await runs.database.read(
        lambda connection: connection.execute(sa.select(KEYS.c.name)).scalars().all()
    )
    assert names == ["good"]


async def test_many_that_store_one_id_are_told_apart(runs: SqlRunStore) -> None:
    """Of those that come together with the same id one stores its run."""
    news = [NewRun(Principal(f"t{n}", "u"), "reviewer", n, id=f"run_{n}") for n in range(4)]
    said = await asyncio.gather(*(runs.create(new) for new in [*news, *news]), return_exceptions=True)
    assert sum(isinstance(one, Run) for one in said) == 4
    assert sum(isinstance(one, RunExists) for one in said) == 4
    assert [len(await runs.list(f"t{n}")) for n in range(4)] == [1] * 4


async def test_what_waits_for_the_disk_is_bounded(tmp_path: Path) -> None:
    """While another process holds the file operations wait, up to a bound; the one beyond it is refused at once."""
    async with open_run_store(tmp_path, Keyring.ephemeral(), most_waiting=3) as runs:
        with locked(tmp_path):
            waiting = [asyncio.ensure_future(runs.create(asked())) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(StoreError, match="3 operations behind"):
                await runs.create(asked())
            with pytest.raises(StoreError, match="3 operations behind"):
                await runs.get("acme", "run_1")
        await asyncio.gather(*waiting)
        assert len(await runs.list("acme")) == 3
    with pytest.raises(StoreError, match="closed"):
        await runs.list("acme")
    with pytest.raises(StoreError, match="closed"):
        await runs.create(asked())


async def test_what_is_cancelled_before_its_turn_is_never_done(runs: SqlRunStore, tmp_path: Path) -> None:
    """An operation that still waits when its caller goes away leaves no trace and no place taken."""
    gate = Gate(nothing)
    first = asyncio.ensure_future(runs.database.write(gate))
    await asyncio.to_thread(gate.reached.wait)
    lost = [asyncio.ensure_future(runs.create(asked())) for _ in range(3)]
    await asyncio.sleep(0)
    for one in lost:
        one.cancel()
    await asyncio.gather(*lost, return_exceptions=True)
    gate.opened.set()
    await first
    assert await runs.list("acme") == []
    assert runs.database._behind == 0


async def test_a_run_claimed_for_nobody_is_back_in_the_queue(
    runs: SqlRunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker cancelled while its claim was under way leaves the run as it was."""
    made = await runs.create(asked())
    gate = Gate(runs._rows.take)
    monkeypatch.setattr(runs._rows, "take", gate)
    await cancel_under_way(runs, gate, runs.claim("w1"))
    assert await runs.list("acme") == [made]
    assert len(await runs.claim("w2")) == 1


async def test_a_run_begun_for_nobody_is_gone(runs: SqlRunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller cancelled while its run was being stored leaves none, for nobody would work on it."""
    gate = Gate(runs._rows.insert)
    monkeypatch.setattr(runs._rows, "insert", gate)
    await cancel_under_way(runs, gate, runs.begin(asked(), "w1"))
    assert await runs.list("acme") == []


async def test_a_key_claimed_for_nobody_is_free(runs: SqlRunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that goes away before it hears that the key is its own leaves it free at once."""
    keys, names = SqlIdempotencyStore(runs.database), KeyNames(Keyring.ephemeral())
    name, body = names.name("acme", "u", "r", "k"), names.fingerprint("acme", b"")
    gate = Gate(idempotency_store.insert_new)
    monkeypatch.setattr(idempotency_store, "insert_new", gate)
    await cancel_under_way(runs, gate, keys.claim(name, body, "run_1"))
    outcome = await keys.claim(name, body, "run_2")
    assert isinstance(outcome, Fresh)
    assert (outcome.run_id, outcome.again) == ("run_2", False)


async def cancel_under_way(runs: SqlRunStore, gate: Gate, work: Any) -> None:
    """Cancel what waits for an operation that a thread has begun; the operation then goes on."""
    task = asyncio.ensure_future(work)
    await asyncio.to_thread(gate.reached.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.opened.set()
    # The first is written after the operation, the second after what takes it back.
    await runs.database.write(nothing)
    await runs.database.write(nothing)


async def test_a_broken_database_is_a_store_error(runs: SqlRunStore, tmp_path: Path) -> None:
    """Whatever the driver raises comes out as StoreError, with no content in it."""
    with sqlite3.connect(tmp_path / "runs.db") as database:
        database.execute("DROP TABLE run_events")
        database.execute("DROP TABLE runs")
    database.close()
    for failing in (runs.create(asked(given=MARK)), runs.list("acme"), runs.claim("w")):
        with pytest.raises(StoreError, match="OperationalError") as broken:
            await failing
        assert "Testperson" not in str(broken.value)


async def opening(folder: Path, code: int, times: int) -> int:
    """Open a database whose first connections fail with this code of SQLite's; how many were tried."""
    engine, tried = open_database(folder, "runs.db"), 0

    def fail(*_: object) -> None:
        nonlocal tried
        tried += 1
        if tried <= times:
            error = sqlite3.OperationalError("refused")
            error.sqlite_errorcode = code
            raise error

    listen(engine, "do_connect", fail)
    ring = Keyring.ephemeral()
    people = SubjectBook(folder / "people", ring)
    database = RunDatabase(engine, ring, people)
    try:
        await database.open()
    except StoreError:
        return -tried
    finally:
        await database.close()
        people.close()
    return tried


async def test_a_file_that_another_process_makes_is_waited_for(tmp_path: Path) -> None:
    """The instant in which a new file is given its journal mode is no failure; a file that cannot be opened is one."""
    assert await opening(tmp_path / "a", sqlite3.SQLITE_BUSY, 3) == 4
    assert await opening(tmp_path / "b", sqlite3.SQLITE_BUSY_RECOVERY, 1) == 2
    assert await opening(tmp_path / "c", sqlite3.SQLITE_CANTOPEN, 1) == -1
