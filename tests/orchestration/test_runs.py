"""Runs are kept for their tenant, taken by one owner at a time, sealed, bounded and forgotten in time."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import ConfigError, StoreError
from seawall.foundation.principal import Principal
from seawall.foundation.storage.database import open_database
from seawall.orchestration.run_rows import RunLimits
from seawall.orchestration.run_store import SqlRunStore, open_run_store
from seawall.orchestration.runs import (
    Appended,
    Event,
    LeaseLost,
    NewRun,
    QueueFull,
    Run,
    RunEvent,
    RunExists,
    RunLane,
    RunStore,
)
from seawall.testing.clock import FakeClock

ACME = Principal("acme", "zoe@example.com", frozenset({"runs"}))
OTHER = Principal("globex", "u-2")
MARK = "Zoë Testperson 078-05-1120"
SMALL = RunLimits(queued=5, queued_per_tenant=3, content="1 kB", events=4, event_bytes="200 b")


def asked(lane: RunLane = "interactive", given: str = "review", **more: object) -> NewRun:
    return NewRun(ACME, "reviewer", given, lane, **more)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def runs(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqlRunStore]:
    async with open_run_store(tmp_path, Keyring.ephemeral(), limits=SMALL, clock=clock) as store:
        _port: RunStore = store
        yield store


def raw(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def state(runs: RunStore, run_id: str) -> Run:
    found = await runs.get("acme", run_id)
    assert found is not None
    return found.run


async def test_a_run_goes_from_the_queue_to_its_output(runs: SqlRunStore) -> None:
    """What was asked reaches the worker whole, and what came of it reaches the reader."""
    made = await runs.create(asked(given=MARK))
    assert (made.state, made.attempts, made.ended) == ("queued", 0, False)
    (taken,) = await runs.claim("w1")
    assert (taken.principal, taken.input, taken.run.state) == (ACME, MARK, "running")
    ended = await runs.finish(taken.lease, "done", {"clauses": [1, None, "ü"]}, why="")
    assert ended.ended
    detail = await runs.get("acme", made.id)
    assert detail is not None
    assert (detail.run, detail.principal, detail.input) == (ended, ACME, MARK)
    assert detail.output == {"clauses": [1, None, "ü"]}
    assert await runs.claim("w1") == []


async def test_another_tenants_run_is_not_found(runs: SqlRunStore) -> None:
    """Reading, listing, following and cancelling by another tenant is what it is for an id that never was."""
    made = await runs.create(asked())
    for run_id in (made.id, "run_never", "", "a/b", "x" * 65, "\ud800"):
        assert await runs.get("globex", run_id) is None
        assert await runs.cancel("globex", run_id) is None
        assert await runs.events_after("globex", run_id, 0) is None
    assert await runs.list("globex") == []
    assert await runs.list("acme", before="'; --") == []
    assert await state(runs, made.id) == made
    # The same id belongs to each tenant for itself, so that one cannot find out another's.
    assert (await runs.create(NewRun(OTHER, "reviewer", 1, id=made.id))).tenant == "globex"
    with pytest.raises(RunExists, match="already"):
        await runs.create(NewRun(OTHER, "reviewer", 1, id=made.id))


async def test_better_lanes_and_older_runs_go_first(runs: SqlRunStore, clock: FakeClock) -> None:
    """A worker gets interactive before batch before background, the oldest first, of the lanes and agents it asks for."""
    made: dict[str, str] = {}
    lanes: tuple[tuple[str, RunLane], ...] = (
        ("slow", "background"),
        ("mid", "batch"),
        ("first", "interactive"),
    )
    for name, lane in lanes:
        made[(await runs.create(asked(lane))).id] = name
        clock.advance(1)
    made[(await runs.create(NewRun(OTHER, "writer", 1))).id] = "second"
    assert await runs.waiting() == {"interactive": 2, "batch": 1, "background": 1}
    assert await runs.claim("w", agents=[]) == []
    got = [*await runs.claim("w", lanes=["batch"]), *await runs.claim("w", agents=["writer"])]
    got += await runs.claim("w", most=9)
    assert [made[one.run.id] for one in got] == ["mid", "second", "first", "slow"]


async def test_a_lost_owner_is_replaced_until_there_are_no_tries_left(
    runs: SqlRunStore, clock: FakeClock
) -> None:
    """A run goes on under another owner when a lease runs out, the old one is told, and the last try ends it."""
    made = await runs.create(asked(attempts=2))
    (first,) = await runs.claim("w1")
    clock.advance(20)
    beat = await runs.heartbeat(first.lease)
    clock.advance(20)
    assert await runs.claim("w2") == []
    clock.advance("10s")
    (second,) = await runs.claim("w2")
    assert (second.run.attempts, second.lease.owner) == (2, "w2")
    for late in (
        runs.finish(beat, "done", 1),
        runs.heartbeat(beat),
        runs.append_events(beat, [Event("x", 1)]),
    ):
        with pytest.raises(LeaseLost, match="stop working"):
            await late
    clock.advance("30s")
    assert (await runs.sweep()).lost == 1
    assert ((await state(runs, made.id)).state, (await state(runs, made.id)).why) == ("failed", "worker-lost")


async def test_a_run_begun_by_its_caller_is_nobody_elses(runs: SqlRunStore, clock: FakeClock) -> None:
    """A run that never queued fails when its process dies; no worker does it a second time."""
    begun = await runs.begin(asked(), "web1")
    with pytest.raises(RunExists):
        await runs.begin(asked(id=begun.run.id), "web2")
    clock.advance("30s")
    assert await runs.claim("w1") == []
    assert (await state(runs, begun.run.id)).why == "worker-lost"


async def test_cancelling_ends_what_waits_and_tells_what_runs(runs: SqlRunStore, clock: FakeClock) -> None:
    """A queued run is cancelled at once; a running one's owner hears of it, and without an owner it ends cancelled."""
    waiting, running = await runs.create(asked("batch")), await runs.create(asked())
    (taken,) = await runs.claim("w1")
    assert taken.run.id == running.id
    gone, told = await runs.cancel("acme", waiting.id), await runs.cancel("acme", running.id)
    assert gone is not None
    assert told is not None
    assert (gone.state, told.state, told.cancel_requested) == ("cancelled", "running", True)
    assert (await runs.heartbeat(taken.lease)).cancel_requested
    clock.advance("30s")
    assert await runs.claim("w2") == []
    assert (await state(runs, running.id)).state == "cancelled"
    assert (await runs.cancel("acme", running.id)) == await state(runs, running.id)


async def test_a_run_given_back_counts_no_try(runs: SqlRunStore) -> None:
    """A worker that shuts down gives its run back, and another does it as if it had never been begun."""
    await runs.create(asked(attempts=1))
    for owner in ("w1", "w2", "w3"):
        (taken,) = await runs.claim(owner)
        assert taken.run.attempts == 1
        await runs.release(taken.lease)
    with pytest.raises(LeaseLost):
        await runs.release(taken.lease)


async def test_what_expired_is_gone_before_it_is_swept(
    runs: SqlRunStore, clock: FakeClock, tmp_path: Path
) -> None:
    """From the moment itself nothing reads, claims, counts or changes the run; the sweep then deletes it and its events."""
    kept = await runs.create(asked("batch"))
    short = await runs.create(asked(keep="10s"))
    (taken,) = await runs.claim("w1")
    await runs.append_events(taken.lease, [Event("x", 1)])
    clock.advance(10)
    assert await runs.get("acme", short.id) is None
    assert await runs.events_after("acme", short.id, 0) is None
    assert [run.id for run in await runs.list("acme")] == [kept.id]
    with pytest.raises(LeaseLost):
        await runs.heartbeat(taken.lease)
    with sqlite3.connect(tmp_path / "runs.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)
        assert (await runs.sweep()).runs == 1
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM run_events").fetchone() == (0,)
    database.close()
    clock.advance("7d")
    assert await runs.claim("w1") == []
    assert sum((await runs.waiting()).values()) == 0
    assert (await runs.create(asked(id=kept.id))).created_at == clock.time()


async def test_no_content_stands_in_the_files(tmp_path: Path) -> None:
    """Neither input, output, events nor subject can be found in the database, its log or its index, open or closed."""
    async with open_run_store(tmp_path, Keyring.ephemeral()) as runs:
        await runs.create(asked(given=MARK))
        (taken,) = await runs.claim("w1")
        await runs.append_events(taken.lease, [Event("kind-078-05-1120", {"said": MARK})])
        await runs.finish(taken.lease, "done", [MARK])
        names = {path.name for path in tmp_path.iterdir()}
        databases = {f"{name}.db{end}" for name in ("runs", "subjects") for end in ("", "-wal", "-shm")}
        assert names == {*databases, "runs.db.lock"}
        files = raw(tmp_path)
        assert all((path.stat().st_mode & 0o777) == 0o600 for path in tmp_path.iterdir())
    assert taken.run.id.encode() in files
    for found in (files, raw(tmp_path)):
        assert not any(secret in found for secret in (b"078-05-1120", b"Testperson", b"zoe@example.com"))


async def test_another_key_is_refused_and_a_rotated_one_opens(tmp_path: Path) -> None:
    """State written under one master key opens under none but it; a key that was added leaves all readable."""
    first, second = Keyring.ephemeral(), Keyring.ephemeral()
    old = first.key("test master")
    async with open_run_store(tmp_path, Keyring({1: old})) as runs:
        made = await runs.create(asked(given=MARK))
    with pytest.raises(StoreError, match="another master key"):
        async with open_run_store(tmp_path, second):
            pass
    async with open_run_store(tmp_path, Keyring({1: old, 2: second.key("test master")})) as runs:
        detail = await runs.get("acme", made.id)
        assert detail is not None
        assert detail.input == MARK


async def test_a_damaged_run_does_not_stop_the_queue(tmp_path: Path, runs: SqlRunStore) -> None:
    """A run whose input was altered, or moved to another run, fails; the next one is taken."""
    first, second = await runs.create(asked(given="first")), await runs.create(asked(given="second"))
    with sqlite3.connect(tmp_path / "runs.db") as database:
        database.execute(
            "UPDATE runs SET asked = (SELECT asked FROM runs WHERE id = ?) WHERE id = ?",
            (second.id, first.id),
        )
    database.close()
    taken = await runs.claim("w1", most=2)
    assert [one.input for one in taken] == ["second"]
    with sqlite3.connect(tmp_path / "runs.db") as database:
        found = database.execute("SELECT state, why FROM runs WHERE id = ?", (first.id,)).fetchone()
    database.close()
    assert found == ("failed", "unreadable")


async def test_events_come_in_order_without_gaps(runs: SqlRunStore) -> None:
    """Groups appended one after the other read as one sequence from any place, and the page says when it is the last."""
    begun = await runs.begin(asked(), "w1")
    assert await runs.append_events(begun.lease, []) == (0, False)
    assert await runs.append_events(begun.lease, [Event("word", 1), Event("word", 2)]) == (2, False)
    assert await runs.append_events(begun.lease, [Event("word", 3)]) == (3, False)
    everything = [RunEvent(n, "word", n) for n in (1, 2, 3)]
    for after in range(5):
        for most in range(5):
            page = await runs.events_after("acme", begun.run.id, after, most=most)
            assert page is not None
            assert (list(page.events), page.complete) == (everything[after:][:most], False)
    await runs.finish(begun.lease, "done", "ok")
    for after, most, complete in ((0, 500, True), (0, 2, False), (2, 2, True), (3, 2, True)):
        page = await runs.events_after("acme", begun.run.id, after, most=most)
        assert page is not None
        assert page.complete is complete


@pytest.mark.parametrize(
    ("groups", "kept"), [([["w"] * 3, ["w"] * 3], 4), ([["w"] * 9], 4), ([["x" * 80]] * 4, 2)]
)
async def test_events_are_bounded(runs: SqlRunStore, groups: list[list[str]], kept: int) -> None:
    """Beyond the bound in number or bytes the first are kept, one mark says so, and nothing follows."""
    begun = await runs.begin(asked(), "w1")
    said = Appended(0, truncated=False)
    for group in groups:
        said = await runs.append_events(begun.lease, [Event("word", text) for text in group])
    assert said == (kept + 1, True)
    assert await runs.append_events(begun.lease, [Event("word", "w")]) == said
    page = await runs.events_after("acme", begun.run.id, 0)
    assert page is not None
    assert [event.seq for event in page.events] == list(range(1, kept + 2))
    assert page.events[-1][1:] == ("truncated", {"kept": kept})
    assert page.run.truncated


async def test_a_missing_group_of_events_is_noticed(tmp_path: Path, runs: SqlRunStore) -> None:
    """Events that somebody deleted are an error, not a shorter run."""
    begun = await runs.begin(asked(), "w1")
    for number in range(3):
        await runs.append_events(begun.lease, [Event("word", number)])
    with sqlite3.connect(tmp_path / "runs.db") as database:
        database.execute("DELETE FROM run_events WHERE first_seq = 2")
    database.close()
    with pytest.raises(StoreError, match="event 2 of run"):
        await runs.events_after("acme", begun.run.id, 0)


async def test_the_queue_is_bounded_for_each_tenant_and_for_all(runs: SqlRunStore, clock: FakeClock) -> None:
    """One run more than may wait is refused, with a time to come back that the queue's pace gives."""
    for _ in range(3):
        await runs.create(asked())
    clock.advance(60)
    with pytest.raises(QueueFull, match="3 runs of this tenant") as refused:
        await runs.create(asked())
    assert (refused.value.by, refused.value.retry_after) == ("run queue", 20.0)
    for _ in range(2):
        await runs.create(NewRun(OTHER, "reviewer", 1))
    with pytest.raises(QueueFull, match="5 runs of all tenants"):
        await runs.create(NewRun(Principal("third", "u"), "reviewer", 1))
    await runs.claim("w1")
    await runs.create(asked())


async def test_what_is_no_run_is_refused(runs: SqlRunStore) -> None:
    """Content that is too long or no JSON, codes with content in them, and odd ids and lanes do not get in."""
    with pytest.raises(StoreError, match="too many to store, at most 1000"):
        await runs.create(asked(given="x" * 1000))
    for no_json in (float("nan"), object()):
        with pytest.raises((ValueError, TypeError)):
            await runs.create(asked(given=no_json))  # pyright: ignore[reportArgumentType]
    begun = await runs.begin(asked(), "w1")
    with pytest.raises(ConfigError, match="a reason is a code"):
        await runs.finish(begun.lease, "failed", None, why="Zoë said no")
    for wrong in ({"id": "a b"}, {"lane": "fast"}, {"attempts": 0}):
        with pytest.raises(ConfigError):
            asked(**wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="postgresql://"):
        open_database("mysql://somewhere/db", "x")
