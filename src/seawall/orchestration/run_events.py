"""The events of a run: numbered without gaps, sealed in groups, bounded.

A run has at most so many events and bytes of them; what comes after is not kept, and one last event, `truncated`, says
so. The first are kept rather than the last: whoever follows a run has seen them, and no number changes its event.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from seawall.foundation.errors import StoreError
from seawall.orchestration.run_database import EVENTS, Place, RunDatabase, to_bytes
from seawall.orchestration.runs import TRUNCATED, Event, RunEvent

Row = Mapping[str, Any]


class Bounds(NamedTuple):
    """How many events a run may have, and how many bytes of JSON."""

    events: int
    size: int


class Group(NamedTuple):
    """Events that are to be appended, their bytes, and whether the last says that no more fit."""

    content: Sequence[Event]
    size: int
    truncated: bool


def fit(events: Sequence[Event], kept: int, kept_bytes: int, bounds: Bounds) -> Group:
    """Return as many of the events, from the first, as the run has room for, and the mark where that is not all."""
    room, content, used = bounds.events - kept, list[Event](), 0
    for event in events:
        length = len(json.dumps(event, separators=(",", ":"), allow_nan=False))
        if len(content) >= room or kept_bytes + used + length > bounds.size:
            return Group([*content, Event(TRUNCATED, {"kept": kept + len(content)})], used, truncated=True)
        content.append(event)
        used += length
    return Group(content, used, truncated=False)


def insert(connection: sa.Connection, database: RunDatabase, run: Row, group: Group) -> None:
    """Write a group after the run's last event."""
    first = run["last_seq"] + 1
    content = to_bytes(group.content, sum((group.size, 3 * len(group.content), 1024)))
    row = {
        "tenant": run["tenant"],
        "run_id": run["id"],
        "first_seq": first,
        "last_seq": run["last_seq"] + len(group.content),
        "sealed": database.seal(_place(run, first), content),
    }
    connection.execute(sa.insert(EVENTS).values(**row))


def read(
    connection: sa.Connection, database: RunDatabase, run: Row, seq: int, most: int
) -> Sequence[RunEvent]:
    """Return up to `most` events after `seq`; StoreError where one is missing, or is not the one that was written."""
    tenant, run_id = run["tenant"], run["id"]
    query = (
        sa.select(EVENTS.c.first_seq, EVENTS.c.sealed)
        .where(EVENTS.c.tenant == tenant, EVENTS.c.run_id == run_id, EVENTS.c.last_seq > seq)
        .order_by(EVENTS.c.first_seq)
    )
    found: list[RunEvent] = []
    expected = max(seq, 0) + 1
    for row in connection.execute(query.limit(max(most, 0))):
        first: int = row.first_seq
        if first > expected:
            raise StoreError(
                f"event {expected} of run {run_id} is missing; restore the run store from a backup"
            )
        content = json.loads(database.unseal(_place(run, first), row.sealed))
        found += (
            RunEvent(number, kind, data)
            for number, (kind, data) in enumerate(content, first)
            if number >= expected
        )
        expected = first + len(content)
        if len(found) >= most:
            break
    return found[: max(most, 0)]


def _place(run: Row, first: int) -> Place:
    return Place(run["tenant"], run["subject"], run["id"], f"events {first}")
