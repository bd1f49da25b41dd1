"""The durable engine does keyed work once, keeps records sealed, and forgets them in time."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import StoreError
from seawall.orchestration.batch import run_batch
from seawall.orchestration.dbos_engine import AlreadyRunning, DbosEngine
from seawall.orchestration.engine import Json

# DBOS keeps one engine a process: these tests must not share a process with one another's engines.
pytestmark = pytest.mark.xdist_group("dbos")
SECRET = "Zoë Testperson, 078-05-1120"


class Counting:
    """Work that counts how often each key was worked on."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    async def __call__(self, key: str, payload: Json) -> Json:
        self.calls[key] = self.calls.get(key, 0) + 1
        if payload == "fail":
            raise RuntimeError("broken on purpose")
        return {"key": key, "payload": payload}


async def test_a_recorded_result_is_never_worked_on_again(tmp_path: Path) -> None:
    """The second run, in the same process or after a restart, returns the record."""
    keyring, work = Keyring.ephemeral(), Counting()
    async with DbosEngine(tmp_path, work, keyring) as engine:
        first = await engine.run("k1", {"n": 1})
        assert await engine.run("k1", {"n": 2}) == first
    async with DbosEngine(tmp_path, work, keyring) as engine:
        assert await engine.run("k1", None) == first
        assert dict(engine_results := {k: r async for k, r in engine.results(["k1", "k2"])}) == {"k1": first}
        assert set(await engine.recorded()) == set(engine_results)
    assert work.calls == {"k1": 1}


async def test_forgotten_work_is_done_again(tmp_path: Path) -> None:
    """Deleting a record makes its key new."""
    work = Counting()
    async with DbosEngine(tmp_path, work, Keyring.ephemeral()) as engine:
        await engine.run("k1", 1)
        await engine.forget(["k1"])
        await engine.run("k1", 2)
    assert work.calls == {"k1": 2}


async def test_records_are_sealed(tmp_path: Path) -> None:
    """Neither what went in nor what came out can be found in the database files."""
    async with DbosEngine(tmp_path, Counting(), Keyring.ephemeral()) as engine:
        await engine.run("k1", SECRET)
        raw = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert b"k1" in raw
    assert SECRET.encode() not in raw
    assert b"078-05-1120" not in raw


async def test_another_key_is_an_error_that_says_so(tmp_path: Path) -> None:
    """State written under one master key does not open under another."""
    async with DbosEngine(tmp_path, Counting(), Keyring.ephemeral()) as engine:
        await engine.run("k1", 1)
    with pytest.raises(StoreError, match="another master key"):
        async with DbosEngine(tmp_path, Counting(), Keyring.ephemeral()):
            pass


async def test_expired_records_are_gone_at_the_next_start(tmp_path: Path) -> None:
    """Retention is enforced: after it, the record is deleted and the work would be done anew."""
    keyring, work = Keyring.ephemeral(), Counting()
    async with DbosEngine(tmp_path, work, keyring) as engine:
        await engine.run("k1", 1)
    async with DbosEngine(tmp_path, work, keyring, retention="1ms") as engine:
        assert await engine.recorded() == {}


async def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    """The folder has one owner at a time; the other gets one line that says what to do."""
    async with DbosEngine(tmp_path, Counting(), Keyring.ephemeral()):
        with pytest.raises(AlreadyRunning, match="another process is working"):
            async with DbosEngine(tmp_path, Counting(), Keyring.ephemeral()):
                pass


async def test_a_batch_goes_on_past_failures_and_bounds_what_is_under_way(tmp_path: Path) -> None:
    """Every item gets its answer or its error, and never more than asked for run at once."""
    running = peak = 0

    async def work(key: str, payload: Json) -> Json:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        try:
            await asyncio.sleep(0)
            if payload == 3:
                raise RuntimeError("three")
            return payload
        finally:
            running -= 1

    async with DbosEngine(tmp_path, work, Keyring.ephemeral()) as engine:
        items: list[tuple[str, Json]] = [(f"k{n}", n) for n in range(12)]
        done = {found.key: found async for found in run_batch(engine, items, concurrency=4)}
    assert len(done) == 12
    assert [key for key, found in done.items() if found.error] == ["k3"]
    assert peak <= 4


async def test_stop_finishes_what_is_under_way_and_starts_nothing(tmp_path: Path) -> None:
    """A stopped batch yields what had begun and leaves the rest for the next run."""
    stop, work = asyncio.Event(), Counting()
    async with DbosEngine(tmp_path, work, Keyring.ephemeral()) as engine:
        seen = 0
        items: list[tuple[str, Json]] = [(f"k{n}", n) for n in range(50)]
        async for _ in run_batch(engine, items, concurrency=3, stop=stop):
            seen += 1
            stop.set()
    assert seen == len(work.calls) <= 4


CRASH = """
import asyncio, os, sys
from pathlib import Path
from seawall.foundation.compliance.keyring import Keyring
from seawall.orchestration.batch import run_batch
from seawall.orchestration.dbos_engine import DbosEngine
folder, die_after = Path(sys.argv[1]), int(sys.argv[2])
log = (folder / "log").open("a", buffering=1)
async def work(key, payload):
    log.write(f"start {key}\\n")
    await asyncio.sleep(0.001)
    return payload
async def main():
    async with DbosEngine(folder, work, Keyring.from_file(folder / "master.key", create=True)) as engine:
        count = 0
        async for done in run_batch(engine, [(f"k{n}", n) for n in range(40)], concurrency=5):
            log.write(f"recorded {done.key} {done.result}\\n")
            count += 1
            if count == die_after:
                os.kill(os.getpid(), 9)
asyncio.run(main())
"""


def test_killed_three_times_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    """After kill -9, recorded keys are not started again and every key ends with its result."""
    for die_after in (7, 15, 22, 0):
        subprocess.run([sys.executable, "-c", CRASH, str(tmp_path), str(die_after)], check=False, timeout=60)
    started_after_record: list[str] = []
    recorded: dict[str, str] = {}
    for line in (tmp_path / "log").read_text().splitlines():
        verb, key, *result = line.split()
        if verb == "recorded":
            assert recorded.setdefault(key, result[0]) == result[0]
        elif key in recorded:
            started_after_record.append(key)
    assert started_after_record == []
    assert recorded == {f"k{n}": str(n) for n in range(40)}
