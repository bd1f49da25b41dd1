"""Several real processes work on one store: each run and each key is one's alone, and the dead are replaced."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.principal import Principal
from seawall.orchestration.idempotency import Fresh, InFlight, KeyNames
from seawall.orchestration.idempotency_store import SqlIdempotencyStore
from seawall.orchestration.run_rows import RunLimits
from seawall.orchestration.run_store import open_run_store
from seawall.orchestration.runs import LeaseLost, NewRun
from seawall.testing.clock import FakeClock

WORKER = """
import asyncio, json, sys
from pathlib import Path
from seawall.foundation.compliance.keyring import Keyring
from seawall.orchestration.idempotency import Fresh, KeyNames
from seawall.orchestration.idempotency_store import SqlIdempotencyStore
from seawall.orchestration.run_store import open_run_store

async def claim_all(runs, ring, me):
    mine = []
    while taken := await runs.claim(me, most=3):
        mine += [one.run.id for one in taken]
        for one in taken:
            await runs.finish(one.lease, "done", me)
    return mine

async def claim_one(runs, ring, me):
    (taken,) = await runs.claim(me)
    return taken.run.id

async def claim_key(runs, ring, me):
    keys, names = SqlIdempotencyStore(runs.database), KeyNames(ring)
    name, body = names.name("acme", "u", "POST /runs", "k"), names.fingerprint("acme", b"{}")
    said = await asyncio.gather(*(keys.claim(name, body, f"run_{me}_{n}") for n in range(32)))
    return [[type(one).__name__, one.run_id] for one in said]

async def main():
    folder, me, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    ring = Keyring.from_file(folder / "key")
    async with open_run_store(folder / "state", ring) as runs:
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(await globals()[what](runs, ring, me)), flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


class Process:
    """A worker process that opens the store, waits for `go`, says one line, and waits again."""

    def __init__(self, folder: Path, me: str, what: str) -> None:
        command = [sys.executable, "-c", WORKER, str(folder), me, what]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def ready(self) -> None:
        assert self.pipes()[1].readline() == "ready\n"

    def go(self) -> None:
        self.pipes()[0].write("go\n")
        self.pipes()[0].flush()

    def says(self) -> list[str]:
        return json.loads(self.pipes()[1].readline())

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait() == -signal.SIGKILL

    def close(self) -> None:
        for pipe in self.pipes():
            pipe.close()
        self._process.wait()


@contextmanager
def processes(folder: Path, *what: str) -> Generator[list[Process]]:
    """Start one for each, all at the same time, and end them."""
    started = [Process(folder, f"w{n}", one) for n, one in enumerate(what)]
    try:
        for one in started:
            one.ready()
        for one in started:
            one.go()
        yield started
    finally:
        for one in started:
            one.close()


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring.from_file(tmp_path / "key", create=True)


async def test_two_processes_claim_each_run_once(tmp_path: Path, ring: Keyring) -> None:
    """Of 500 queued runs each is taken by exactly one of two processes, and all are done."""
    async with open_run_store(tmp_path / "state", ring) as runs:
        news = [NewRun(Principal(f"t{n % 7}", "u"), "reviewer", n) for n in range(500)]
        await asyncio.gather(*(runs.create(new) for new in news))
        with processes(tmp_path, "claim_all", "claim_all") as started:
            taken = [await asyncio.to_thread(one.says) for one in started]
        assert sorted(taken[0] + taken[1]) == sorted(new.id for new in news)
        assert all(taken)
        for new in news[::50]:
            found = await runs.get(new.principal.tenant, new.id)
            assert found is not None
            assert (found.run.state, found.run.attempts) == ("done", 1)
            assert found.output == ("w0" if new.id in taken[0] else "w1")


async def test_a_killed_owners_run_is_taken_by_another(tmp_path: Path, ring: Keyring) -> None:
    """After kill -9 the run stays the dead owner's until the lease is over, then the next worker has it."""
    clock = FakeClock(time=time.time())
    async with open_run_store(tmp_path / "state", ring, clock=clock, limits=RunLimits(lease="30s")) as runs:
        made = await runs.create(NewRun(Principal("acme", "u"), "reviewer", "text"))
        with processes(tmp_path, "claim_one") as (worker,):
            assert await asyncio.to_thread(worker.says) == made.id
            worker.kill()
        assert await runs.claim("w9") == []
        clock.advance("10m")
        (taken,) = await runs.claim("w9")
        assert (taken.run.id, taken.run.attempts, taken.input) == (made.id, 2, "text")
        assert (await runs.finish(taken.lease, "done", "by another")).state == "done"
        with pytest.raises(LeaseLost):
            await runs.heartbeat(taken.lease)


async def test_of_many_claims_of_one_key_one_is_fresh(tmp_path: Path, ring: Keyring) -> None:
    """64 claims in two processes that open a new store together: one does the work, all others hear of its run."""
    with processes(tmp_path, "claim_key", "claim_key") as started:
        said = [tuple(one) for worker in started for one in worker.says()]
    assert len(said) == 64
    fresh = [run_id for kind, run_id in said if kind == "Fresh"]
    assert len(fresh) == 1
    assert {one for one in said if one[0] != "Fresh"} == {("InFlight", fresh[0])}
    assert ring.versions == (1,)


async def test_a_killed_claimants_key_tells_its_run(tmp_path: Path, ring: Keyring) -> None:
    """After kill -9 of the process that claimed a key the next one, when the lease is over, may do it, under the same run id."""
    clock, names = FakeClock(time=time.time()), KeyNames(ring)
    with processes(tmp_path, "claim_key") as (worker,):
        fresh = next(run_id for kind, run_id in await asyncio.to_thread(worker.says) if kind == "Fresh")
        worker.kill()
    name, body = names.name("acme", "u", "POST /runs", "k"), names.fingerprint("acme", b"{}")
    async with open_run_store(tmp_path / "state", ring, clock=clock) as runs:
        keys = SqlIdempotencyStore(runs.database)
        waits = await keys.claim(name, body, "run_mine")
        assert isinstance(waits, InFlight)
        assert waits.run_id == fresh
        clock.advance("10m")
        taken = await keys.claim(name, body, "run_mine")
        assert isinstance(taken, Fresh)
        assert (taken.run_id, taken.again) == (fresh, True)
