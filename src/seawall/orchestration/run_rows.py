"""Runs as rows: every step of a run's life, within a transaction that somebody else began."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from seawall.foundation.compliance.retention import expires_at
from seawall.foundation.errors import StoreError
from seawall.foundation.principal import Principal
from seawall.foundation.storage.database import insert_new
from seawall.foundation.units import Period, seconds, size
from seawall.orchestration import run_events
from seawall.orchestration.engine import Json
from seawall.orchestration.run_database import RUNS, Place, RunDatabase, to_bytes
from seawall.orchestration.runs import (
    LANES,
    Lease,
    LeaseLost,
    NewRun,
    QueueFull,
    Run,
    RunExists,
    Taken,
    after_lost_lease,
    known_id,
)

AT_ONCE = 500
FACTS = [column for column in RUNS.c if column.name not in {"asked", "output"}]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """Bounds of a run store; sizes are of the JSON, before it is sealed.

    `lease` is how long a run belongs to an owner of whom nothing is heard: let it beat each third of that. A run is
    kept for `retention` from its creation, whatever becomes of it.
    """

    retention: Period = "7d"
    lease: Period = "30s"
    queued: int = 10_000
    queued_per_tenant: int = 1_000
    content: int | str = "4 MiB"
    events: int = 10_000
    event_bytes: int | str = "4 MiB"


class RunRows:
    """The rows of one database under these limits. Nothing here begins or ends a transaction."""

    def __init__(self, database: RunDatabase, limits: RunLimits) -> None:
        self._database = database
        self._clock = database.clock
        self._limits = limits
        self.lease = seconds(limits.lease)
        self.content = size(limits.content)
        self.bounds = run_events.Bounds(limits.events, size(limits.event_bytes))

    def check_room(self, connection: sa.Connection, tenant: str) -> None:
        """Refuse one more run with QueueFull where as many wait as may."""
        limits, queued = self._limits, RUNS.c.state == "queued"
        bounds = (
            ("this tenant", limits.queued_per_tenant, sa.and_(queued, RUNS.c.tenant == tenant)),
            ("all tenants", limits.queued, queued),
        )
        for whose, limit, which in bounds:
            some = sa.select(RUNS.c.created_at).where(which, self.readable()).limit(limit).subquery()
            waiting, oldest = connection.execute(
                sa.select(sa.func.count(), sa.func.min(some.c.created_at)).select_from(some)
            ).one()
            if waiting >= limit:
                # As many as wait have come since the oldest did: that long, shared, is when the next one goes.
                each = (self._clock.time() - oldest) / waiting if waiting else 1.0
                raise QueueFull(limit, whose, min(max(each, 1.0), 60.0))

    def insert(self, connection: sa.Connection, new: NewRun, taking: Row) -> dict[str, Any]:
        """Store a run, `taking` in place of what a queued one has; RunExists where there is one."""
        now, of = self._clock.time(), new.principal
        whose = self._database.people.meet(of.tenant, of.subject).id
        asked = to_bytes([of.subject, sorted(of.scopes), new.input], self.content)
        row = {
            "tenant": of.tenant,
            "id": new.id,
            "subject": whose,
            "agent": new.agent,
            "lane": LANES.index(new.lane),
            "state": "queued",
            "created_at": now,
            "expires_at": expires_at(now, new.keep or self._limits.retention),
            "started_at": None,
            "ended_at": None,
            "attempts": 0,
            "most_attempts": new.attempts,
            "fence": 0,
            "owner": "",
            "lease_until": 0.0,
            "cancel_requested": False,
            "why": "",
            "asked": self._database.seal(Place(of.tenant, whose, new.id, "asked"), asked),
            "output": None,
            "last_seq": 0,
            "event_bytes": 0,
            "truncated": False,
        } | dict(taking)
        gone = RUNS.c.expires_at <= now
        connection.execute(sa.delete(RUNS).where(RUNS.c.tenant == of.tenant, RUNS.c.id == new.id, gone))
        if not insert_new(connection, RUNS, row):
            raise RunExists(f"there is a run {new.id} already; read it, or give the new one another id")
        return row

    def taking(self, owner: str, row: Row) -> dict[str, Any]:
        """Return what changes in a row when somebody takes the run."""
        now = self._clock.time()
        return {
            "state": "running",
            "owner": owner,
            "fence": row["fence"] + 1,
            "attempts": row["attempts"] + 1,
            "started_at": now,
            "lease_until": now + self.lease,
        }

    def take(self, connection: sa.Connection, row: dict[str, Any], owner: str) -> Taken | None:
        """Give a queued run to an owner; None, and the run has failed, where its input does not open."""
        try:
            principal, given = self.asked(row)
        except StoreError:
            # One damaged row must not stand at the head of the queue for ever.
            row |= {"state": "failed", "why": "unreadable", "ended_at": self._clock.time()}
            update(connection, row, "state", "why", "ended_at")
            return None
        taking = self.taking(owner, row)
        row |= taking
        update(connection, row, *taking)
        return Taken(to_run(row), principal, given, to_lease(row))

    def take_from_the_lost(self, connection: sa.Connection) -> int:
        """Put back or end the runs whose owners let the lease run out; how many they were."""
        now = self._clock.time()
        query = sa.select(*FACTS).where(RUNS.c.state == "running", RUNS.c.lease_until <= now)
        rows = connection.execute(query.limit(AT_ONCE).with_for_update(skip_locked=True)).mappings().all()
        for row in map(dict, rows):
            state, why = after_lost_lease(
                cancel_requested=row["cancel_requested"],
                attempts=row["attempts"],
                most_attempts=row["most_attempts"],
            )
            row |= {"state": state, "why": why, "ended_at": None if state == "queued" else now}
            update(connection, row, "state", "why", "ended_at")
        return len(rows)

    def let_all_go(self, connection: sa.Connection, taken: Sequence[Taken]) -> None:
        """Give back what was taken for a caller that went away before it heard."""
        for one in taken:
            try:
                self.let_go(connection, one.lease)
            except LeaseLost:
                continue

    def forget(self, connection: sa.Connection, begun: Taken) -> None:
        """Delete a run that was begun for a caller that went away before it heard."""
        self.held(connection, begun.lease)
        which = sa.and_(RUNS.c.tenant == begun.run.tenant, RUNS.c.id == begun.run.id)
        connection.execute(sa.delete(RUNS).where(which))

    def let_go(self, connection: sa.Connection, lease: Lease) -> None:
        """Put a run back into the queue as if it had not been begun; end it where somebody asked for that."""
        row = self.held(connection, lease)
        row |= {"state": "queued", "attempts": row["attempts"] - 1, "started_at": None}
        if row["cancel_requested"]:
            row |= {"state": "cancelled", "ended_at": self._clock.time()}
        update(connection, row, "state", "attempts", "started_at", "ended_at")

    def held(self, connection: sa.Connection, lease: Lease) -> dict[str, Any]:
        """Read the facts of a run that this lease still gives the right to change; LeaseLost unless it does."""
        row = self.find(connection, lease.tenant, lease.run_id, lock=True)
        if row is None or row["state"] != "running" or row["fence"] != lease.fence:
            raise LeaseLost(f"run {lease.run_id} is no longer {lease.owner}'s; stop working on it")
        return row

    def find(
        self,
        connection: sa.Connection,
        tenant: str,
        run_id: str,
        *,
        content: bool = False,
        lock: bool = False,
        held: bool = False,
    ) -> dict[str, Any] | None:
        """Read a tenant's run unless it expired; None where there is none. `lock`: it is about to be changed.

        `held`: one that expired as well, if its person's data is held.
        """
        if not known_id(run_id):
            return None
        query = sa.select(*(RUNS.c if content else FACTS))
        query = query.where(RUNS.c.tenant == tenant, RUNS.c.id == run_id)
        kept = RUNS.c.subject.in_(self._database.people.held()) if held else sa.false()
        query = query.where(self.readable() | kept)
        row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
        return None if row is None else dict(row)

    def readable(self) -> sa.ColumnElement[bool]:
        """Return the condition without which nothing reads a run: it has not expired."""
        return RUNS.c.expires_at > self._clock.time()

    def asked(self, row: Row) -> tuple[Principal, Json]:
        """Open who asked, and what; StoreError where it was altered."""
        content = self._database.unseal(place_of(row, "asked"), row["asked"])
        subject, scopes, given = json.loads(content)
        return Principal(row["tenant"], subject, frozenset(scopes)), given


def update(connection: sa.Connection, row: Row, *names: str) -> None:
    """Write these columns of a row."""
    which = sa.and_(RUNS.c.tenant == row["tenant"], RUNS.c.id == row["id"])
    connection.execute(sa.update(RUNS).where(which).values({name: row[name] for name in names}))


def place_of(row: Row, what: str) -> Place:
    """Return where a part of a run belongs."""
    return Place(row["tenant"], row["subject"], row["id"], what)


def to_run(row: Row) -> Run:
    """Return the facts of a row."""
    facts: dict[str, Any] = {name: row[name] for name in Run.__dataclass_fields__}
    facts["lane"] = LANES[row["lane"]]
    return Run(**facts)


def to_lease(row: Row) -> Lease:
    """Return the lease that a row's owner has."""
    return Lease(
        tenant=row["tenant"],
        run_id=row["id"],
        owner=row["owner"],
        fence=row["fence"],
        until=row["lease_until"],
        cancel_requested=row["cancel_requested"],
    )
