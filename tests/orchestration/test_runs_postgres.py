"""Runs and keys on a real Postgres: one life, taken once however many ask, sealed, erased, swept."""

import asyncio
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.principal import Principal
from seawall.foundation.storage.database import open_database
from seawall.foundation.subjects.book import Erased
from seawall.orchestration.idempotency import Fresh, InFlight, KeyNames, Replay
from seawall.orchestration.idempotency_store import SqlIdempotencyStore
from seawall.orchestration.run_rows import RunLimits
from seawall.orchestration.run_store import SqlRunStore, open_run_store
from seawall.orchestration.runs import Event, LeaseLost, NewRun, RunExists
from seawall.testing.clock import FakeClock

MARK = "Zoë Testperson 078-05-1120"
ZOE = Principal("acme", "zoe@example.com", frozenset({"runs"}))


async def test_a_run_lives_and_is_forgotten(postgres: str) -> None:
    """Created, claimed, followed, finished, read back and swept; nothing of it in plain text."""
    clock = FakeClock()
    async with open_run_store(postgres, Keyring.ephemeral(), clock=clock) as runs:
        new = NewRun(ZOE, "reviewer", {"text": MARK}, "interactive")
        created = await runs.create(new)
        with pytest.raises(RunExists):
            await runs.create(new)
        (taken,) = await runs.claim("w1")
        assert (taken.principal, taken.input) == (ZOE, {"text": MARK})
        await runs.append_events(taken.lease, [Event("said", MARK), Event("said", "more")])
        await runs.heartbeat(taken.lease)
        await runs.finish(taken.lease, "done", {"answer": MARK})
        with pytest.raises(LeaseLost):
            await runs.heartbeat(taken.lease)
        page = await runs.events_after("acme", created.id, 0)
        assert page is not None
        assert [event.data for event in page.events] == [MARK, "more"]
        found = await runs.get("acme", created.id)
        assert found is not None
        assert found.output == {"answer": MARK}
        assert await runs.get("globex", created.id) is None
        assert [run.id for run in await runs.list("acme")] == [created.id]
        assert not any(word in _everything(postgres) for word in ("Testperson", "zoe@example"))
        clock.advance(8 * 86_400)
        assert await runs.get("acme", created.id) is None
        assert (await runs.sweep()).runs == 1


async def test_each_run_is_taken_once(postgres: str) -> None:
    """Two processes that ask at the same time share the queue, and lose nothing of it."""
    ring = Keyring.ephemeral()
    limits = RunLimits(queued_per_tenant=1_000)
    async with (
        open_run_store(postgres, ring, limits=limits) as one,
        open_run_store(postgres, ring, limits=limits) as two,
    ):
        await asyncio.gather(*(one.create(NewRun(ZOE, "reviewer", n)) for n in range(60)))
        taken: list[str] = []

        async def work(runs: SqlRunStore, owner: str) -> None:
            while found := await runs.claim(owner, most=4):
                taken.extend(one.run.id for one in found)

        await asyncio.gather(*(work(runs, f"w{n}") for n, runs in enumerate((one, two, one, two))))
        assert len(taken) == 60
        assert set(Counter(taken).values()) == {1}


async def test_a_key_is_claimed_once(postgres: str) -> None:
    """Of many at the same time one does the work; the others hear that it is done, and then what came of it."""
    ring = Keyring.ephemeral()
    name = KeyNames(ring).name("acme", "zoe@example.com", "POST /v1/x", "k")
    async with open_run_store(postgres, ring) as one, open_run_store(postgres, ring) as two:
        stores = [SqlIdempotencyStore(runs.database) for runs in (one, two)]
        outcomes = await asyncio.gather(*(stores[n % 2].claim(name, "print", f"run_{n}") for n in range(20)))
        (fresh,) = [outcome for outcome in outcomes if isinstance(outcome, Fresh)]
        assert sum(isinstance(outcome, InFlight) for outcome in outcomes) == 19
        await stores[0].complete(fresh.claim, 200, [("x", "y")], MARK.encode())
        replay = await stores[1].claim(name, "print", "run_x")
        assert isinstance(replay, Replay)
        assert (replay.body.decode(), replay.headers) == (MARK, (("x", "y"),))
        assert "Testperson" not in _everything(postgres)


async def test_who_was_erased_is_written_about_no_more(postgres: str) -> None:
    """A run under way ends unkept when its person's key is shredded by another process; a new one begins anew."""
    ring = Keyring.ephemeral()
    async with open_run_store(postgres, ring) as one, open_run_store(postgres, ring) as two:
        begun = await one.begin(NewRun(ZOE, "reviewer", MARK), "w1")
        people = two.database.people
        before = people.find("acme", ZOE.subject)
        people.shred("acme", [subject.id for subject in before])
        with pytest.raises(Erased):
            await one.finish(begun.lease, "done", MARK)
        with pytest.raises(Erased):
            await two.get("acme", begun.run.id)
        again = await one.begin(NewRun(ZOE, "reviewer", "anew"), "w1")
        found = await two.get("acme", again.run.id)
        assert found is not None
        assert found.input == "anew"


def _everything(url: str) -> str:
    """Return every row of every table, as text."""
    engine = open_database(url, "")
    with engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = [connection.execute(sa.text(f'SELECT * FROM "{table}"')).all() for table in tables]
    engine.dispose()
    return repr([[tuple(_plain(value) for value in row) for row in table] for table in rows])


def _plain(value: Any) -> Any:
    return value.tobytes() if isinstance(value, memoryview) else value
