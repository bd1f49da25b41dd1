"""What runs and kept answers hold of one person."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import sqlalchemy as sa

from seawall.foundation.subjects.personal import Whose
from seawall.orchestration.run_database import EVENTS, KEYS, RUNS, RunDatabase
from seawall.orchestration.run_events import read as read_events
from seawall.orchestration.run_rows import AT_ONCE, place_of, to_run


class RunRecords:
    """The `PersonalRecords` of a run store: runs, their events, and answers kept under an `Idempotency-Key`."""

    name = "runs"
    how = "rows, their events and kept answers deleted; the key that they were sealed under destroyed"

    def __init__(self, database: RunDatabase) -> None:
        self._database = database

    async def count(self, whose: Whose) -> int:
        """Return how many runs and kept answers belong to the person, expired ones included."""

        def work(connection: sa.Connection) -> int:
            return sum(
                connection.execute(
                    sa.select(sa.func.count()).select_from(table).where(_of(table, whose))
                ).scalar_one()
                for table in (RUNS, KEYS)
            )

        return await self._database.read(work)

    async def erase(self, whose: Whose) -> int:
        """Delete them, some at a time; events go with their run."""
        erased = 0
        for table in (KEYS, RUNS):
            keys = list(table.primary_key.columns)
            some = sa.select(*keys).where(_of(table, whose)).limit(AT_ONCE)
            delete = sa.delete(table).where(sa.tuple_(*keys).in_(some))
            while done := await self._database.write(
                lambda connection, delete=delete: connection.execute(delete).rowcount
            ):
                erased += done
        return erased

    async def export(self, whose: Whose) -> AsyncIterator[Mapping[str, Any]]:
        """Yield each run with what was asked, what came of it, and its events."""
        after = ""
        while True:
            page = await self._page(whose, after)
            for one in page:
                after = one["id"]
                yield one
            if len(page) < AT_ONCE:
                return

    async def settle(self) -> None:
        """Have what was deleted be gone from the files."""
        await self._database.settle([RUNS.name, EVENTS.name, KEYS.name])

    async def _page(self, whose: Whose, after: str) -> list[dict[str, Any]]:
        readable = RUNS.c.expires_at > self._database.clock.time()
        query = (
            sa.select(RUNS)
            .where(_of(RUNS, whose), readable, RUNS.c.id > after)
            .order_by(RUNS.c.id)
            .limit(AT_ONCE)
        )

        def work(connection: sa.Connection) -> list[dict[str, Any]]:
            return [self._plain(connection, dict(row)) for row in connection.execute(query).mappings().all()]

        return await self._database.read(work)

    def _plain(self, connection: sa.Connection, row: dict[str, Any]) -> dict[str, Any]:
        run = to_run(row)
        _, scopes, given = json.loads(self._database.unseal(place_of(row, "asked"), row["asked"]))
        output = row["output"]
        said = read_events(connection, self._database, row, 0, row["last_seq"])
        return {
            "id": run.id,
            "agent": run.agent,
            "state": run.state,
            "created_at": run.created_at,
            "expires_at": run.expires_at,
            "scopes": scopes,
            "input": given,
            "output": None
            if output is None
            else json.loads(self._database.unseal(place_of(row, "output"), output)),
            "events": [list(event) for event in said],
        }


def _of(table: sa.Table, whose: Whose) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.tenant == whose.tenant, table.c.subject.in_(whose.ids))
