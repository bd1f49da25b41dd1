"""Runs in a database: one file `runs.db` in a state folder that several worker processes share.

Inputs, outputs, events and subjects are sealed (AES-256-GCM) under the key of the person whose run it is, each to its
place. In plain text stand ids, tenants, names of agents and owners, lanes, states, codes, times and sizes. Leases compare the
clocks of the processes: on one machine there is one, several must agree to much less than a lease.

The statements are SQLAlchemy's, for SQLite and Postgres.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.storage.database import open_database
from seawall.foundation.subjects.book import SubjectBook
from seawall.orchestration import run_events
from seawall.orchestration.engine import Json
from seawall.orchestration.run_database import KEYS, RUNS, RunDatabase, to_bytes
from seawall.orchestration.run_rows import (
    AT_ONCE,
    FACTS,
    RunLimits,
    RunRows,
    place_of,
    to_lease,
    to_run,
    update,
)
from seawall.orchestration.runs import (
    LANES,
    Appended,
    EndState,
    Event,
    EventPage,
    Lease,
    NewRun,
    Run,
    RunDetail,
    RunLane,
    Swept,
    Taken,
    check_code,
    known_id,
)

# Their inputs are all in memory at once.
_MOST_CLAIMED = 50


@asynccontextmanager
async def open_run_store(
    where: Path | str,
    keyring: Keyring,
    *,
    limits: RunLimits | None = None,
    people: SubjectBook | None = None,
    clock: Clock = SYSTEM_CLOCK,
    most_waiting: int = 1_000,
) -> "AsyncGenerator[SqlRunStore]":
    """Open the runs of a state folder (or a Postgres URL); StoreError where they were written under another master key.

    Content is sealed under the keys of `people`, by default those of the same place. An operation that finds
    `most_waiting` before it is refused with StoreError.
    """
    book = people or await asyncio.to_thread(SubjectBook, where, keyring, clock=clock)
    database = RunDatabase(
        open_database(where, "runs.db"), keyring, book, clock=clock, most_waiting=most_waiting
    )
    try:
        await database.open()
        yield SqlRunStore(database, limits or RunLimits())
    finally:
        await database.close()
        if people is None:
            book.close()


class SqlRunStore:
    """A `RunStore` on SQLite. `database` is for the store of idempotency keys that stands beside it."""

    def __init__(self, database: RunDatabase, limits: RunLimits) -> None:
        self.database = database
        self.limits = limits
        self._rows = RunRows(database, limits)
        self._clock = database.clock

    async def create(self, new: NewRun) -> Run:
        """Queue a run; QueueFull where too many wait, RunExists where the tenant has one of this id."""

        def work(connection: sa.Connection) -> Run:
            self._rows.check_room(connection, new.principal.tenant)
            return to_run(self._rows.insert(connection, new, {}))

        return await self.database.write(work)

    async def begin(self, new: NewRun, owner: str) -> Taken:
        """Store a run that its caller works on at once; where the lease runs out it has failed, and no other tries.

        RunExists as for `create`. Where the caller is cancelled before it hears, there is no run.
        """

        def work(connection: sa.Connection) -> Taken:
            taking = self._rows.taking(owner, {"fence": 0, "attempts": 0})
            row = self._rows.insert(connection, new, taking | {"most_attempts": 1})
            return Taken(to_run(row), new.principal, new.input, to_lease(row))

        return await self.database.write(work, self._rows.forget)

    async def claim(
        self,
        owner: str,
        *,
        most: int = 1,
        lanes: Sequence[RunLane] = LANES,
        agents: Sequence[str] | None = None,
    ) -> Sequence[Taken]:
        """Take up to `most` (and 50) queued runs, better lanes first, the oldest first within a lane; no two get one.

        Where the caller is cancelled before it hears, they are back in the queue.
        """
        found = sa.and_(
            RUNS.c.state == "queued",
            RUNS.c.lane.in_([LANES.index(lane) for lane in lanes]),
            RUNS.c.agent.in_(agents) if agents is not None else sa.true(),
        )
        query = (
            sa.select(RUNS)
            .order_by(RUNS.c.lane, RUNS.c.created_at, RUNS.c.id)
            .limit(max(0, min(most, _MOST_CLAIMED)))
            # Where rows are locked one by one (not on SQLite), pass over those that another is taking.
            .with_for_update(skip_locked=True)
        )

        def work(connection: sa.Connection) -> list[Taken]:
            self._rows.take_from_the_lost(connection)
            rows = connection.execute(query.where(found, self._rows.readable())).mappings().all()
            taken = (self._rows.take(connection, dict(row), owner) for row in rows)
            return [one for one in taken if one is not None]

        return await self.database.write(work, self._rows.let_all_go)

    async def heartbeat(self, lease: Lease) -> Lease:
        """Keep the run for another lease time; the new lease says whether somebody asked to cancel."""

        def work(connection: sa.Connection) -> Lease:
            row = self._rows.held(connection, lease)
            row["lease_until"] = self._clock.time() + self._rows.lease
            update(connection, row, "lease_until")
            return to_lease(row)

        return await self.database.write(work)

    async def release(self, lease: Lease) -> None:
        """Give the run back to the queue, undone; the try does not count."""

        def work(connection: sa.Connection) -> None:
            self._rows.let_go(connection, lease)

        await self.database.write(work)

    async def finish(self, lease: Lease, state: EndState, output: Json = None, why: str = "") -> Run:
        """End the run. `why` is a code such as `timed-out`, stored in plain text; what else there is goes into `output`."""
        check_code(why)

        def work(connection: sa.Connection) -> Run:
            row = self._rows.held(connection, lease)
            content = to_bytes(output, self._rows.content)
            row["output"] = self.database.seal(place_of(row, "output"), content)
            row |= {"state": state, "why": why, "ended_at": self._clock.time()}
            update(connection, row, "output", "state", "why", "ended_at")
            return to_run(row)

        return await self.database.write(work)

    async def cancel(self, tenant: str, run_id: str) -> Run | None:
        """End a queued run; ask the owner of a running one to stop; leave an ended one. None where there is none."""

        def work(connection: sa.Connection) -> Run | None:
            row = self._rows.find(connection, tenant, run_id, lock=True)
            if row is None or to_run(row).ended:
                return None if row is None else to_run(row)
            row["cancel_requested"] = True
            if row["state"] == "queued":
                row |= {"state": "cancelled", "ended_at": self._clock.time()}
            update(connection, row, "cancel_requested", "state", "ended_at")
            return to_run(row)

        return await self.database.write(work)

    async def get(self, tenant: str, run_id: str, *, held: bool = False) -> RunDetail | None:
        """Read one run; with `held` one that expired as well, if its person's data is held for a legal claim."""

        def work(connection: sa.Connection) -> RunDetail | None:
            row = self._rows.find(connection, tenant, run_id, content=True, held=held)
            if row is None:
                return None
            principal, given = self._rows.asked(row)
            output: Json = None
            if row["output"] is not None:
                output = json.loads(self.database.unseal(place_of(row, "output"), row["output"]))
            return RunDetail(to_run(row), principal, given, output)

        return await self.database.read(work)

    async def list(self, tenant: str, *, most: int = 50, before: str | None = None) -> Sequence[Run]:
        """Read a tenant's runs, newest first; `before` is the id of the last one of the page before."""
        if before is not None and not known_id(before):
            return []
        query = sa.select(*FACTS).where(RUNS.c.tenant == tenant, self._rows.readable())
        if before is not None:
            query = query.where(RUNS.c.id < before)
        # Ids begin with the time at which they were made.
        query = query.order_by(RUNS.c.id.desc()).limit(max(0, min(most, AT_ONCE)))

        def work(connection: sa.Connection) -> Sequence[Run]:
            return [to_run(dict(row)) for row in connection.execute(query).mappings()]

        return await self.database.read(work)

    async def append_events(self, lease: Lease, events: Sequence[Event]) -> Appended:
        """Append a group of events, all in one write, up to the run's bound."""

        def work(connection: sa.Connection) -> Appended:
            row = self._rows.held(connection, lease)
            group = run_events.fit(events, row["last_seq"], row["event_bytes"], self._rows.bounds)
            if group.content and not row["truncated"]:
                run_events.insert(connection, self.database, row, group)
                row["last_seq"] += len(group.content)
                row["event_bytes"] += group.size
                row["truncated"] = group.truncated
                update(connection, row, "last_seq", "event_bytes", "truncated")
            return Appended(row["last_seq"], row["truncated"])

        return await self.database.write(work)

    async def events_after(self, tenant: str, run_id: str, seq: int, *, most: int = 500) -> EventPage | None:
        """Read the events after `seq` (0: from the first), at most `most`; None where there is no such run."""

        def work(connection: sa.Connection) -> EventPage | None:
            # The run before its events: then an ended run's page lacks nothing that it announces.
            row = self._rows.find(connection, tenant, run_id)
            if row is None:
                return None
            found = run_events.read(connection, self.database, row, seq, most)
            return EventPage(to_run(row), found, seq)

        return await self.database.read(work)

    async def waiting(self) -> Mapping[RunLane, int]:
        """How many runs are queued in each lane."""
        query = sa.select(RUNS.c.lane, sa.func.count()).where(RUNS.c.state == "queued", self._rows.readable())

        def work(connection: sa.Connection) -> Mapping[RunLane, int]:
            rows = connection.execute(query.group_by(RUNS.c.lane)).all()
            found: dict[int, int] = {row[0]: row[1] for row in rows}
            return {lane: found.get(place, 0) for place, lane in enumerate(LANES)}

        return await self.database.read(work)

    async def sweep(self) -> Swept:
        """Delete what expired, and put back or end what dead owners left. Call it every minute.

        In steps of 500 rows, so that others write meanwhile. What belongs to somebody whose data is held stays, unread.
        """
        lost = await self.database.write(self._rows.take_from_the_lost)
        return Swept(await self._delete_expired(RUNS), await self._delete_expired(KEYS), lost)

    async def _delete_expired(self, table: sa.Table) -> int:
        keys = list(table.primary_key.columns)
        gone = 0
        while True:
            free = ~table.c.subject.in_(self.database.people.held())
            some = sa.select(*keys).where(table.c.expires_at <= self._clock.time(), free).limit(AT_ONCE)
            done = await self.database.write(
                lambda connection, some=some: (
                    connection.execute(sa.delete(table).where(sa.tuple_(*keys).in_(some))).rowcount
                )
            )
            gone += done
            if done < AT_ONCE:
                return gone
