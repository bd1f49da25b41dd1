"""Keys are changed while a service works, and in spite of kill -9: nothing becomes unreadable, no key is lost."""

import asyncio
import json
import random
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seawall.edge.cli import app
from seawall.edge.operator import open_desk
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.principal import Principal
from seawall.orchestration.runs import NewRun
from seawall.testing.clock import FakeClock
from tests.edge.desk import keyring, live, settings_for

PEOPLE = 700


async def test_a_service_works_while_keys_change(where: Path | str, tmp_path: Path) -> None:
    """Runs are stored and read without one error while the tenant's key and the master key change under them."""
    file = tmp_path / "keys" / "master.key"
    settings = settings_for(where, tmp_path / "state")
    served = Keyring.from_file(file, create=True)
    async with (
        open_desk(settings, served) as service,
        open_desk(settings, Keyring.from_file(file)) as operator,
    ):
        service.records.people.meet_named("acme", [f"s-{number}" for number in range(PEOPLE)])
        stored: list[str] = []
        done = asyncio.Event()

        async def work() -> None:
            while not done.is_set():
                person = Principal("acme", f"u-{len(stored) % 40}")
                run = await service.runs.create(NewRun(person, "clerk", {"input": f"n {len(stored)}"}))
                stored.append(run.id)
                detail = await service.runs.get("acme", stored[len(stored) // 2])
                assert detail is not None

        async def change() -> None:
            for turn in range(1, 4):
                while len(stored) < 15 * turn:
                    await asyncio.sleep(0.005)
                await asyncio.to_thread(operator.records.people.rotate, "acme")
                await asyncio.to_thread(operator.keyring.append)
                await asyncio.to_thread(operator.records.people.wrap_anew)
            done.set()

        await asyncio.gather(work(), change())
        assert len(stored) >= 45
        for run_id in stored:
            assert await service.runs.get("acme", run_id) is not None
    async with open_desk(settings, Keyring.from_file(file)) as later:
        details = [await later.runs.get("acme", run_id) for run_id in stored]
        assert [one and one.input for one in details] == [{"input": f"n {n}"} for n in range(len(stored))]
        assert len(later.records.people.find("acme", "u-7")) == 1


_ROTATES = """
import asyncio, sys
from pathlib import Path
from seawall.edge.operator import open_desk
from tests.edge.desk import keyring, settings_for
where, folder = sys.argv[1:]
async def rotate():
    settings = settings_for(where if "://" in where else Path(where), Path(folder))
    async with open_desk(settings, keyring()) as desk:
        print("begin", flush=True)
        while True:
            desk.records.people.rotate("acme")
asyncio.run(rotate())
"""


async def test_killed_while_a_key_is_rotated(where: Path | str, tmp_path: Path) -> None:
    """After kill -9 at any moment every person's key opens, and the next rotation finishes."""
    settings = settings_for(where, tmp_path / "state")
    async with open_desk(settings, keyring()) as desk:
        names = [f"s-{number}" for number in range(PEOPLE)]
        met = desk.records.people.meet_named("acme", names)
        sealed = {one.id: one.key.seal(b"kept", b"here") for one in met.values()}
    rng = random.Random(11)
    for _ in range(3):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _ROTATES,
            str(where),
            str(tmp_path / "state"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        await child.stdout.readline()
        await asyncio.sleep(rng.uniform(0.02, 0.4))
        child.kill()
        await child.wait()
        async with open_desk(settings, keyring()) as desk:
            people = desk.records.people
            opened = [people.get("acme", one).key.open(content, b"here") for one, content in sealed.items()]
            assert opened == [b"kept"] * PEOPLE
    async with open_desk(settings, keyring()) as desk:
        desk.records.people.rotate("acme")
        people = desk.records.people
        assert all(people.get("acme", one).key.open(content, b"here") for one, content in sealed.items())


_SWEEPS = """
import asyncio, sys
from pathlib import Path
from seawall.edge.operator import open_desk, swept
from seawall.testing.clock import FakeClock
from tests.edge.desk import keyring, settings_for
where, folder = sys.argv[1:]
async def sweep():
    clock = FakeClock()
    clock.advance(40 * 86_400)
    settings = settings_for(where if "://" in where else Path(where), Path(folder))
    async with open_desk(settings, keyring(), clock) as desk:
        print("begin", flush=True)
        await swept(desk)
asyncio.run(sweep())
"""


async def test_killed_while_it_sweeps(tmp_path: Path) -> None:
    """After kill -9 the next sweep takes the rest, and a person's other runs are there."""
    settings = settings_for(tmp_path / "state", tmp_path)
    clock = FakeClock()
    async with open_desk(settings, keyring(), clock) as desk:
        for number in range(1_200):
            await desk.runs.create(NewRun(Principal(f"t-{number % 2}", "zoe"), "clerk", {"input": "old"}))
        clock.advance(40 * 86_400)
        kept = await desk.runs.create(NewRun(Principal("acme", "zoe"), "clerk", {"input": "new"}, keep="9d"))
    for wait in (0.01, 0.05):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _SWEEPS, str(tmp_path / "state"), "x", stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        await child.stdout.readline()
        await asyncio.sleep(wait)
        child.kill()
        await child.wait()
    async with open_desk(settings, keyring(), clock) as desk:
        await desk.runs.sweep()
        assert (await desk.runs.sweep()).runs == 0
        for tenant in ("t-0", "t-1"):
            assert await desk.runs.list(tenant) == []
        detail = await desk.runs.get("acme", kept.id)
        assert detail is not None
        assert detail.input == {"input": "new"}


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new master key, a new key for a tenant, each noted in an audit log that verifies, from a shell."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SEAWALL_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("SEAWALL_MASTER_KEY", raising=False)
    shell = CliRunner()

    def said(*arguments: str) -> str:
        result = shell.invoke(app, [*arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    key = said("keys", "create", "--tenant", "acme", "--subject", "zoe@example.com").split()[0]
    assert json.loads(said("keyring", "show", "--json"))["current"] == 1
    assert "master key 2 is current" in said("keyring", "rotate")
    assert "wrapped under a new key" in said("keyring", "rotate", "--tenant", "acme")
    assert "holds" in said("audit", "verify", "--heads", str(tmp_path / "heads.json"))
    assert "holds" in said("audit", "verify", "--heads", str(tmp_path / "heads.json"))
    records = [json.loads(line) for line in said("audit", "export").splitlines()]
    kinds = [one["kind"] for one in records]
    assert {"key.created", "master_key.rotated", "tenant_key.rotated", "audit.verified"} <= set(kinds)
    assert "zoe@example.com" not in json.dumps(records)
    assert key.startswith("sw_")


async def test_a_person_is_one_under_both_names(tmp_path: Path) -> None:
    """What a person did before and after a new master key is found, given out and erased as one."""
    file = tmp_path / "keys" / "master.key"
    settings = settings_for(tmp_path / "state", tmp_path)
    ring = Keyring.from_file(file, create=True)
    async with open_desk(settings, ring) as desk:
        await live(desk, "acme", "zoe", "before")
    Keyring.from_file(file).append()
    async with open_desk(settings, Keyring.from_file(file)) as desk:
        await live(desk, "acme", "zoe", "after")
        told = await desk.erasures().export("acme", "zoe")
        assert {name: len(rows) for name, rows in told["records"].items()} == {
            "runs": 4,
            "ledger": 4,
            "API keys": 2,
            "audit log": 4,
        }
        receipt = await desk.erasures().erase("acme", "zoe")
        assert all(one["left"] == 0 for one in receipt["stores"])
