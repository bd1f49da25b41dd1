"""The audit log: what was decided, kept in a chain for each tenant, written in groups off the request path."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from seawall.foundation.audit.chain import (
    CHECKPOINT_EACH,
    Head,
    Link,
    beginning,
    checkpoint,
    hash_of,
    roster_hash,
    signed_part,
)
from seawall.foundation.audit.record import AuditRecord
from seawall.foundation.audit.tables import AUDIT, CHECKPOINTS, HEADS, METADATA, ROSTER
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.signing import Signer
from seawall.foundation.events import EventBus
from seawall.foundation.storage.database import begin_alone, insert_new, make_tables, open_database
from seawall.foundation.storage.group_writer import GroupWriter
from seawall.foundation.subjects.book import Erased, Subject, SubjectBook

_NOBODY = "nobody"
# Made once: to put a statement together takes longer than to run it.
_FIND_HEADS = sa.select(HEADS).where(HEADS.c.tenant.in_(sa.bindparam("tenants", expanding=True)))
_INSERT = sa.insert(AUDIT)
_MOVE_HEAD = (
    sa.update(HEADS)
    .where(HEADS.c.tenant == sa.bindparam("of"))
    .values(
        {column.name: sa.bindparam(f"new_{column.name}") for column in HEADS.c if column.name != "tenant"}
    )
)


class AuditLog:
    """Append-only records in `audit.db` of a state folder or a Postgres, for several processes at once.

    Appending never touches the disk: records are written in groups at most `group_seconds` apart, and a crash loses what
    the last would have held; `flush` waits for the disk, for those who must not lose one. Each record's body is sealed
    under the key of its actor, so that who is erased cannot be read in it, and the chain holds all the same. Records
    younger than what `prune` is told stay; nothing else deletes any.
    """

    def __init__(
        self,
        where: Path | str,
        keyring: Keyring,
        people: SubjectBook,
        *,
        events: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
        keeps: Callable[[str], float] | None = None,
        group_seconds: float = 0.05,
        capacity: int = 50_000,
    ) -> None:
        self.engine = open_database(where, "audit.db")
        self.signer = Signer(keyring, "audit")
        self.people = people
        self._clock = clock
        self._keeps = keeps
        with self.engine.begin() as connection:
            begin_alone(connection)
            make_tables(connection, METADATA)
        self._writer = GroupWriter(
            "audit",
            self._write,
            named=lambda record: record.kind,
            events=events,
            group_seconds=group_seconds,
            capacity=capacity,
        )

    @property
    def state(self) -> Literal["closed", "open"]:
        """`closed` while records reach the disk, `open` from a failed write to the next that succeeds."""
        return self._writer.state

    @property
    def why(self) -> str:
        """The name of the error that keeps it open; empty while it is closed."""
        return self._writer.why

    @property
    def behind(self) -> int:
        """How many records are not on disk yet."""
        return self._writer.behind

    def append(self, record: AuditRecord) -> None:
        """Queue a record; StoreError if the disk is `capacity` records behind, or the log is closed."""
        self._writer.append(record)

    def flush(self) -> None:
        """Return when every record appended so far is on disk; StoreError where a write fails meanwhile."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is waiting and let go of the database; StoreError where records are lost."""
        try:
            self._writer.close()
        finally:
            self.engine.dispose()

    def read(
        self,
        tenant: str | None = None,
        *,
        since: float = 0.0,
        until: float = float("inf"),
        subject: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield records in the order of their chains, opened; `body` is None where it was erased.

        Of one tenant (empty: the service's own) or all, from `since` to before `until`, of one person if told. None that is
        older than what `keeps` says of its tenant in seconds, unless its person is held.
        """
        query = (
            sa.select(AUDIT).where(AUDIT.c.at_us >= int(since * 1e6)).order_by(AUDIT.c.tenant, AUDIT.c.seq)
        )
        if until != float("inf"):
            query = query.where(AUDIT.c.at_us < int(until * 1e6))
        if tenant is not None:
            query = query.where(AUDIT.c.tenant == tenant)
        if subject is not None:
            query = query.where(AUDIT.c.subject == subject)
        with self.engine.connect() as connection:
            for row in connection.execution_options(yield_per=500).execute(query):
                link = Link(*row)
                if not self._over(link):
                    yield self._opened(link)

    def prune(self, tenant: str, before: float) -> int:
        """Delete a tenant's records from before a moment, for good, and note where its chain begins now; how many.

        Nothing goes from the first record of somebody whose data is held.
        """
        with self.engine.begin() as connection:
            begin_alone(connection)
            head = self._heads(connection, [tenant]).get(tenant)
            if head is None:
                return 0
            old = sa.and_(AUDIT.c.tenant == tenant, AUDIT.c.at_us < int(before * 1e6))
            # Only the chain's beginning may go, whatever the clocks said.
            held = AUDIT.c.subject.in_(self.people.held())
            first_kept = sa.select(sa.func.min(AUDIT.c.seq)).where(AUDIT.c.tenant == tenant, ~old | held)
            kept: int = connection.execute(first_kept).scalar_one() or head.seq + 1
            if kept - 1 <= head.base_seq:
                return 0
            which = sa.and_(AUDIT.c.tenant == tenant, AUDIT.c.seq < kept)
            last = sa.select(AUDIT.c.hash).where(AUDIT.c.tenant == tenant, AUDIT.c.seq == kept - 1)
            head = head._replace(base_seq=kept - 1, base_hash=connection.execute(last).scalar_one())
            self._store_heads(connection, [head])
            connection.execute(
                sa.delete(CHECKPOINTS).where(CHECKPOINTS.c.tenant == tenant, CHECKPOINTS.c.seq < kept)
            )
            return connection.execute(sa.delete(AUDIT).where(which)).rowcount

    def tenants(self) -> Sequence[str]:
        """Return all who have a chain; the empty one is the service's own."""
        with self.engine.connect() as connection:
            return (
                connection.execute(sa.select(HEADS.c.tenant).where(HEADS.c.tenant != ROSTER)).scalars().all()
            )

    def _write(self, group: list[AuditRecord]) -> None:
        by_tenant: dict[str, list[AuditRecord]] = {}
        for record in group:
            by_tenant.setdefault(record.tenant, []).append(record)
        tenants = sorted(by_tenant)
        self.people.refresh()
        keys = {
            tenant: self.people.meet_named(tenant, {one.actor or _NOBODY for one in by_tenant[tenant]})
            for tenant in tenants
        }
        with self.engine.begin() as connection:
            # Two processes that extended one chain would fork it.
            begin_alone(connection)
            heads = self._heads(connection, tenants)
            self._enrol(connection, [tenant for tenant in tenants if tenant not in heads])
            links: list[Link] = []
            ends: list[Head] = []
            for tenant in tenants:
                head = heads.get(tenant) or beginning(tenant)
                made = self._links(head, by_tenant[tenant], keys[tenant])
                links += made
                ends.append(head._replace(seq=made[-1].seq, hash=made[-1].hash))
            connection.execute(_INSERT, [link._asdict() for link in links])
            self._store_heads(connection, ends)
            self._store_checkpoints(connection, links)

    def _links(self, head: Head, records: Sequence[AuditRecord], keys: Mapping[str, Subject]) -> list[Link]:
        previous, made = head.hash, list[Link]()
        for seq, record in enumerate(records, head.seq + 1):
            subject = keys[record.actor or _NOBODY]
            body = json.dumps([record.actor, record.run_id, dict(record.facts)], separators=(",", ":"))
            link = Link(record.tenant, seq, round(record.at * 1e6), record.kind, subject.id, b"", b"")
            link = link._replace(sealed=subject.key.seal(body.encode(), _context(link)))
            previous = hash_of(previous, link)
            made.append(link._replace(hash=previous))
        return made

    def _over(self, link: Link) -> bool:
        """Whether nobody may read a record any more, though no sweep has come by."""
        if self._keeps is None or link.subject in self.people.held():
            return False
        return link.at_us <= (self._clock.time() - self._keeps(link.tenant)) * 1e6

    def _opened(self, link: Link) -> dict[str, Any]:
        try:
            key = self.people.get(link.tenant, link.subject).key
            actor, run_id, facts = json.loads(key.open(link.sealed, _context(link)))
        except Erased:
            actor, run_id, facts = None, None, None
        return {
            "tenant": link.tenant,
            "seq": link.seq,
            "at": link.at_us / 1e6,
            "kind": link.kind,
            "actor": actor,
            "run_id": run_id,
            "facts": facts,
        }

    def _heads(self, connection: sa.Connection, tenants: Sequence[str]) -> dict[str, Head]:
        found = connection.execute(_FIND_HEADS, {"tenants": list(tenants)})
        return {row[0]: Head(*row[:5]) for row in found}

    def _enrol(self, connection: sa.Connection, new: Sequence[str]) -> None:
        """Begin chains, and sign the list of all who have one."""
        if not new:
            return
        for tenant in new:
            insert_new(connection, HEADS, self._signed(beginning(tenant)))
        everybody = sa.select(HEADS.c.tenant).where(HEADS.c.tenant != ROSTER)
        tenants = list(connection.execute(everybody).scalars())
        roster = roster_hash(tenants)
        self._store_heads(connection, [Head(ROSTER, len(tenants), roster, 0, roster)])

    def _store_heads(self, connection: sa.Connection, heads: Sequence[Head]) -> None:
        for head in heads:
            row = self._signed(head)
            told = {f"new_{name}": value for name, value in row.items() if name != "tenant"}
            if connection.execute(_MOVE_HEAD, {"of": head.tenant, **told}).rowcount == 0:
                insert_new(connection, HEADS, row)

    def _signed(self, head: Head) -> dict[str, Any]:
        return head._asdict() | {"signature": self.signer.sign(signed_part(head))}

    def _store_checkpoints(self, connection: sa.Connection, links: Sequence[Link]) -> None:
        now = round(self._clock.time() * 1e6)
        for link in links:
            if link.seq % CHECKPOINT_EACH == 0:
                signature = self.signer.sign(checkpoint(link.tenant, link.seq, link.hash, now))
                row = {"tenant": link.tenant, "seq": link.seq, "hash": link.hash}
                insert_new(connection, CHECKPOINTS, row | {"at_us": now, "signature": signature})


def _context(link: Link) -> bytes:
    return json.dumps(["seawall.audit", link.tenant, link.seq, link.kind]).encode()
