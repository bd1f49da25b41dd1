"""What a person may ask for, on SQLite and Postgres: erased everywhere with a receipt, given out, restricted, held."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seawall.edge.operator import Desk, open_desk, swept
from seawall.edge.settings import Settings
from seawall.foundation.audit.verify import verify
from seawall.foundation.subjects.book import Erased, LegalHold
from seawall.foundation.subjects.erasure import NOT_COVERED
from seawall.foundation.subjects.personal import Whose
from seawall.testing.clock import FakeClock
from tests.edge.desk import keyring, live, settings_for

ZOE, BOB = "zoe.testperson@example.com", "bob.testperson@example.com"
SECRET = "Zoe's blood group is AB negative"


@pytest.fixture
def settings(where: Path | str, tmp_path: Path) -> Settings:
    """Give the settings of a service, on SQLite and on Postgres."""
    return settings_for(where, tmp_path / "state")


async def known(desk: Desk, tenant: str, person: str) -> dict[str, int]:
    """Return how many records each store has of somebody."""
    people = desk.records.people
    ids = tuple(one.id for one in people.find(tenant, person))
    whose = Whose(tenant, person, ids, people.names(tenant, person))
    return {store.name: await store.count(whose) for store in desk.stores()}


EVERYTHING = {"runs": 3, "ledger": 2, "API keys": 1, "audit log": 2}
NOTHING = dict.fromkeys(EVERYTHING, 0)


async def test_one_is_erased_and_the_others_are_untouched(settings: Settings) -> None:
    """Nothing of them is found, in any store or file; their neighbour and their namesake elsewhere have all they had."""
    async with open_desk(settings, keyring()) as desk:
        for tenant, person in (("acme", ZOE), ("acme", BOB), ("globex", ZOE)):
            await live(desk, tenant, person, SECRET)
        assert await known(desk, "acme", ZOE) == EVERYTHING
        subject = desk.records.people.find("acme", ZOE)[0]
        receipt = await desk.erasures().erase("acme", ZOE, reference="DSR-17")
        with pytest.raises(Erased):
            desk.records.people.get("acme", subject.id)
        assert await known(desk, "acme", ZOE) == NOTHING
        whose = Whose("acme", ZOE, (subject.id,), desk.records.people.names("acme", ZOE))
        assert [await store.count(whose) for store in desk.stores()] == [0, 0, 0, 0]
        for tenant, person in (("acme", BOB), ("globex", ZOE)):
            assert await known(desk, tenant, person) == EVERYTHING
        runs = await desk.runs.list("acme")
        assert len(runs) == 2
        detail = await desk.runs.get("acme", runs[0].id)
        assert detail is not None
        assert detail.output == {"output": SECRET}
        with desk.records.audit.engine.connect() as connection:
            assert verify(connection, desk.records.audit.signer).findings == ()
    assert {one["store"]: one["held"] for one in receipt["stores"]} == EVERYTHING
    assert all(one["left"] == 0 for one in receipt["stores"])
    assert (receipt["keys_destroyed"], receipt["reference"]) == (1, "DSR-17")
    assert set(NOT_COVERED) <= set(receipt["not_covered"])
    assert ZOE not in json.dumps(receipt)


async def test_a_receipt_verifies_without_seawall(settings: Settings, tmp_path: Path) -> None:
    """The script in the documentation takes the receipt and the public key, and refuses one that was changed."""
    async with open_desk(settings, keyring()) as desk:
        receipt = await desk.erasures().erase("acme", ZOE)
        public = desk.erasures().signer.public_key()
    page = Path("docs/mechanisms/erasure.md").read_text()
    found = re.search(r"```python\n(# check_receipt\.py.*?)```", page, re.DOTALL)
    assert found is not None
    script = tmp_path / "check_receipt.py"
    script.write_text(found.group(1))
    assert "seawall" not in found.group(1).replace("seawall.erasure.receipt", "")
    assert len(found.group(1).splitlines()) <= 20

    def told(document: dict[str, Any], key: str) -> int:
        file = tmp_path / "receipt.json"
        file.write_text(json.dumps(document))
        return subprocess.run(
            [sys.executable, script, file, key], check=False, capture_output=True
        ).returncode

    assert await asyncio.to_thread(told, receipt, public) == 0
    assert await asyncio.to_thread(told, receipt | {"keys_destroyed": 7}, public) != 0
    async with open_desk(settings, keyring()) as desk:
        other = desk.records.audit.signer.public_key()
    assert await asyncio.to_thread(told, receipt, other) != 0


async def test_everything_is_given_out(settings: Settings) -> None:
    """An export has what was asked, said and done, under each store, and nothing of another."""
    async with open_desk(settings, keyring()) as desk:
        await live(desk, "acme", ZOE, SECRET)
        await live(desk, "acme", BOB, "Bob's words")
        told = await desk.erasures().export("acme", ZOE)
    records = told["records"]
    assert {name: len(rows) for name, rows in records.items()} == {**EVERYTHING, "runs": 2}
    assert [one["output"] for one in records["runs"]] == [{"output": SECRET}] * 2
    assert records["runs"][0]["events"] == [[1, "delta", {"text": SECRET}]]
    text = json.dumps(told, default=str)
    assert "Bob" not in text
    assert SECRET in text


async def test_a_hold_beats_erasure_and_retention(settings: Settings) -> None:
    """What is held is neither erased nor swept, is not read after its time, and goes when the hold is lifted."""
    clock = FakeClock()
    async with open_desk(settings, keyring(), clock) as desk:
        for person in (ZOE, BOB):
            await live(desk, "acme", person, SECRET)
        desk.records.people.hold("acme", ZOE, "Testperson v. Acme")
        with pytest.raises(LegalHold, match="legal hold"):
            await desk.erasures().erase("acme", ZOE)
        assert await known(desk, "acme", ZOE) == EVERYTHING
        clock.advance(8 * 86_400)
        await swept(desk)
        assert (await known(desk, "acme", ZOE))["runs"] == EVERYTHING["runs"]
        assert (await known(desk, "acme", BOB))["runs"] == 0
        assert await desk.runs.list("acme") == []
        desk.records.people.release("acme", ZOE)
        await swept(desk)
        assert (await known(desk, "acme", ZOE))["runs"] == 0
        assert (await desk.erasures().erase("acme", ZOE))["keys_destroyed"] == 1


async def test_nobody_known_gets_a_receipt_too(settings: Settings) -> None:
    """Whoever was never here is told so, signed."""
    async with open_desk(settings, keyring()) as desk:
        receipt = await desk.erasures().erase("acme", ZOE)
        assert receipt["keys_destroyed"] == 0
        assert await desk.erasures().receipts("acme") == [receipt]


async def test_who_comes_back_is_somebody_new(settings: Settings) -> None:
    """After an erasure the same person may be met again; they have another key and none of the old records."""
    async with open_desk(settings, keyring()) as desk:
        await live(desk, "acme", ZOE, SECRET)
        await desk.erasures().erase("acme", ZOE)
        await live(desk, "acme", ZOE, "A new beginning", runs=1)
        assert await known(desk, "acme", ZOE) == {"runs": 2, "ledger": 1, "API keys": 1, "audit log": 1}
        receipt = await desk.erasures().erase("acme", ZOE)
        assert {one["store"]: one["held"] for one in receipt["stores"]}["runs"] == 2


_DIES = """
import asyncio, os, signal, sys
from pathlib import Path
from seawall.edge.operator import open_desk
from tests.edge.desk import keyring, settings_for
where, folder, at, person = sys.argv[1:]
def told(step):
    if step == at:
        os.kill(os.getpid(), signal.SIGKILL)
async def erase():
    settings = settings_for(where if "://" in where else Path(where), Path(folder))
    async with open_desk(settings, keyring()) as desk:
        await desk.erasures(told).erase("acme", person)
asyncio.run(erase())
"""
STEPS = (
    "count",
    "shred",
    *(f"{verb} {store}" for store in EVERYTHING for verb in ("erase", "settle")),
    "look",
    "sign",
    "done",
)


async def test_killed_at_any_step_it_is_finished_by_the_next(where: Path | str, tmp_path: Path) -> None:
    """After kill -9 at each step, erasing again leaves nothing, signs one receipt, and no other's key is lost."""
    settings = settings_for(where, tmp_path / "state")
    steps = STEPS if isinstance(where, Path) else ("shred", "erase runs", "settle ledger", "sign")
    people = {step: f"person-{number}@example.com" for number, step in enumerate(steps)}
    async with open_desk(settings, keyring()) as desk:
        for person in (*people.values(), BOB):
            await live(desk, "acme", person, SECRET, runs=1)
    for step, person in people.items():
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _DIES, str(where), str(tmp_path / "state"), step, person
        )
        assert await child.wait() == -9, step
        async with open_desk(settings, keyring()) as desk:
            receipt = await desk.erasures().erase("acme", person)
            assert all(one["left"] == 0 for one in receipt["stores"]), step
            assert await known(desk, "acme", person) == NOTHING
            assert await desk.erasures().resume() == []
            assert (await known(desk, "acme", BOB))["runs"] == 2
    async with open_desk(settings, keyring()) as desk:
        made = await desk.erasures().receipts("acme")
        # Who was killed before anything was destroyed, or after all was done, has been erased twice over.
        assert len(made) == len(people) + ("done" in people)
        assert sum(one["keys_destroyed"] for one in made) == len(people)
