"""Nothing is read after its time, whichever way it is asked for, whether or not a sweep came by."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.edge.operator import Desk, open_desk, swept
from seawall.foundation.audit.record import AuditRecord
from seawall.foundation.events import TransactionFinished
from seawall.foundation.ids import new_id
from seawall.foundation.principal import Principal
from seawall.orchestration.idempotency import Fresh, KeyNames, Replay
from seawall.orchestration.idempotency_store import SqlIdempotencyStore
from seawall.orchestration.runs import Event, NewRun
from seawall.testing.clock import FakeClock
from tests.edge.desk import keyring, settings_for, transaction

TENANTS = ("acme", "globex")
# As the settings below have them, in days.
CONTENT = {"acme": 2, "globex": 5}
REPLIES, LEDGER, AUDIT = 1, 3, 200
RETENTION = {
    "content": "5d",
    "replies": "1d",
    "ledger": "3d",
    "audit": "200d",
    "tenants": {"acme": {"content": "2d"}},
}
DAY = 86_400.0
Steps = st.lists(
    st.one_of(
        st.tuples(st.just("live"), st.sampled_from(TENANTS)),
        st.tuples(st.just("pass"), st.sampled_from([0.4, 0.999, 1.0, 1.0001, 2.5, 120.0])),
        st.tuples(st.just("sweep"), st.none()),
    ),
    min_size=2,
    max_size=9,
)


class Lives:
    """What was stored when, and everything that can be read of it."""

    def __init__(self, desk: Desk, clock: FakeClock) -> None:
        self.desk, self.clock = desk, clock
        retention = desk.settings.retention
        self.keys = SqlIdempotencyStore(
            desk.runs.database, ttl=lambda tenant: retention.of("replies", tenant)
        )
        self.born: list[tuple[str, str, float, Any]] = []

    async def live(self, tenant: str) -> None:
        """Store one of everything."""
        now, desk = self.clock.time(), self.desk
        keep = desk.settings.retention.of("content", tenant)
        run = await desk.runs.create(NewRun(Principal(tenant, "zoe"), "clerk", {"input": "x"}, keep=keep))
        (taken,) = await desk.runs.claim("w")
        await desk.runs.append_events(taken.lease, [Event("delta", "x")])
        await desk.runs.finish(taken.lease, "done", "x")
        name = KeyNames(desk.keyring).name(tenant, "zoe", "POST /", new_id("key"))
        claimed = await self.keys.claim(name, "f", run.id)
        assert isinstance(claimed, Fresh)
        await self.keys.complete(claimed.claim, 200, [], b"x")
        row = transaction(tenant, "s-1", now)
        desk.records.events.publish(TransactionFinished(row))
        desk.records.audit.append(AuditRecord(tenant=tenant, kind="test", at=now, facts={"id": run.id}))
        desk.records.ledger.flush()
        desk.records.audit.flush()
        self.born.append((tenant, run.id, now, (name, row.id)))

    async def check(self) -> None:
        """Ask for everything in every way; what comes back is of its time, and what is of its time comes back."""
        now, desk = self.clock.time(), self.desk
        rows = {one.id for one in desk.records.ledger.rows()}
        audited = {one["facts"].get("id") for one in desk.records.audit.read()}
        for tenant, run_id, born, (name, row_id) in self.born:
            age = now - born
            content = age < CONTENT[tenant] * DAY
            assert (await desk.runs.get(tenant, run_id) is not None) == content
            assert (await desk.runs.events_after(tenant, run_id, 0) is not None) == content
            assert (run_id in {one.id for one in await desk.runs.list(tenant)}) == content
            told = await desk.erasures().export(tenant, "zoe")
            assert (run_id in {one["id"] for one in told["records"]["runs"]}) == content
            assert (row_id in rows) == (age < LEDGER * DAY)
            assert (run_id in audited) == (age < AUDIT * DAY)
            if age >= REPLIES * DAY:
                again = await self.keys.claim(name, "f", new_id("run"))
                assert not isinstance(again, Replay)
                if isinstance(again, Fresh):
                    await self.keys.release(again.claim)
        assert await desk.runs.claim("w") == []


async def _lived(folder: Path, steps: list[tuple[str, Any]]) -> None:
    clock = FakeClock()
    async with open_desk(settings_for(folder, folder, retention=RETENTION), keyring(), clock) as desk:
        lives = Lives(desk, clock)
        for what, about in steps:
            if what == "live":
                await lives.live(about)
            elif what == "pass":
                clock.advance(about * DAY)
            else:
                await swept(desk)
            await lives.check()


@settings(max_examples=25, deadline=None)
@given(Steps)
def test_no_way_of_reading_returns_what_expired(steps: list[tuple[str, Any]]) -> None:
    """Whatever is stored, however time passes, with sweeps or without: readable before its time is over, and never after."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_lived(Path(folder), steps))
