"""The ledger: one row a transaction, written in groups, off the request path."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.events import Event, EventBus, TransactionFinished
from seawall.foundation.storage.database import begin_write, insert_new, make_tables, open_database
from seawall.foundation.storage.group_writer import GroupWriter
from seawall.foundation.subjects.personal import Whose
from seawall.foundation.transaction import Transaction

_AT_ONCE = 500
_LIST_FIELDS = ("missing", "verdicts", "attempts")
METADATA = sa.MetaData()
LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("agent", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("started_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False, index=True),
    sa.Column("outcome", sa.String, nullable=False),
    *(sa.Column(f"{part}seconds", sa.Float, nullable=False) for part in ("", "queue_", "guard_", "model_")),
    *(
        sa.Column(name, sa.Integer, nullable=False)
        for name in ("input_tokens", "output_tokens", "tokens_without_retrieval", "requests")
    ),
    # Text, not float: dollars are decimals, and null says that the price is unknown.
    sa.Column("cost_usd", sa.String, nullable=True),
    sa.Column("degradation", sa.String, nullable=False),
    # With a default, so that it can be added to a ledger of the time before there was one.
    sa.Column("missing", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("verdicts", sa.JSON, nullable=False),
    sa.Column("attempts", sa.JSON, nullable=False),
    sa.Column("detail", sa.String, nullable=False),
    sa.Column("policy_version", sa.String, nullable=False, server_default=""),
    sa.Column("prompt_version", sa.String, nullable=False, server_default=""),
    sa.Index("ledger_of_subject", "tenant", "subject"),
)


class Ledger:
    """Subscribes to the event stream and keeps one row a transaction, in a SQLite file or a Postgres, until it expires.

    It is read again until it expires, which is when its policy says, or after as many seconds as `keeps` says of its tenant,
    where that is sooner. Rows are committed in groups, as `GroupWriter` has it: appending never touches the disk, a power cut can lose the rows
    of the last `group_seconds`, and while the file cannot be written rows are kept and tried again. A row that is appended
    twice, by the same id, is there once.
    """

    def __init__(
        self,
        where: Path | str,
        *,
        events: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
        keeps: Callable[[str], float] | None = None,
        group_seconds: float = 0.05,
        capacity: int = 50_000,
    ) -> None:
        if isinstance(where, Path):
            self.engine = open_database(where.parent, where.name)
        else:
            self.engine = open_database(where, "ledger.db")
        with self.engine.begin() as connection:
            begin_write(connection)
            make_tables(connection, METADATA)
        self._clock = clock
        self._keeps = keeps
        self._writer = GroupWriter(
            "ledger",
            self._insert,
            named=lambda row: row.id,
            events=events,
            group_seconds=group_seconds,
            capacity=capacity,
        )

    @property
    def state(self) -> Literal["closed", "open"]:
        """`closed` while rows reach the disk, `open` from a failed write to the next that succeeds."""
        return self._writer.state

    @property
    def why(self) -> str:
        """The name of the error that keeps it open; empty while it is closed."""
        return self._writer.why

    @property
    def unfit(self) -> int:
        """How many rows were left out because no disk takes them."""
        return self._writer.unfit

    def __call__(self, event: Event) -> None:
        """Take a finished transaction off the event stream; every other event is none of the ledger's business."""
        if isinstance(event, TransactionFinished):
            row = event.transaction
            if self._keeps is not None:
                longest = row.started_at + self._keeps(row.tenant)
                row = replace(row, expires_at=min(row.expires_at, longest))
            self.append(row)

    def append(self, transaction: Transaction) -> None:
        """Queue a row; StoreError if the disk is `capacity` rows behind, or the ledger is closed."""
        self._writer.append(transaction)

    def flush(self) -> None:
        """Return when every row appended so far is on disk; StoreError where a write fails meanwhile."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is waiting and let go of the file; StoreError where rows are lost, as they cannot be written.

        A locked file is waited for once more, 30 s, and a write that already waits for it to the end of its own.
        """
        try:
            self._writer.close()
        finally:
            self.engine.dispose()

    def rows(self, whose: Whose | None = None) -> Iterator[Transaction]:
        """Every transaction that has not expired, oldest first; of one person if told."""
        query = sa.select(LEDGER).where(LEDGER.c.expires_at > self._clock.time()).order_by(LEDGER.c.id)
        if whose is not None:
            query = query.where(of_person(whose))
        with self.engine.connect() as connection:
            for row in connection.execution_options(yield_per=500).execute(query).mappings():
                yield _from_row(dict(row))

    def sweep(self, held: Collection[tuple[str, str]] = ()) -> int:
        """Delete what has expired, for good, in steps of 500 rows; how many went.

        Rows of those whose data is `held`, as tenants and pseudonyms, stay, and are not read again.
        """
        expired = LEDGER.c.expires_at <= self._clock.time()
        free = ~sa.tuple_(LEDGER.c.tenant, LEDGER.c.subject).in_(held) if held else sa.true()
        some = sa.select(LEDGER.c.id).where(expired, free).limit(_AT_ONCE)
        gone = 0
        while True:
            with self.engine.begin() as connection:
                begin_write(connection)
                done = connection.execute(sa.delete(LEDGER).where(LEDGER.c.id.in_(some))).rowcount
            gone += done
            if done < _AT_ONCE:
                return gone

    def _insert(self, group: list[Transaction]) -> None:
        rows = [_to_row(transaction) for transaction in group]
        with self.engine.begin() as connection:
            insert_new(connection, LEDGER, rows)


def of_person(whose: Whose) -> sa.ColumnElement[bool]:
    """Return the condition that a row bears a person's pseudonym."""
    return sa.and_(LEDGER.c.tenant == whose.tenant, LEDGER.c.subject.in_(whose.names))


def _to_row(transaction: Transaction) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(transaction, name) for name in Transaction.__dataclass_fields__}
    row["cost_usd"] = None if transaction.cost_usd is None else str(transaction.cost_usd)
    return row | {name: list(row[name]) for name in _LIST_FIELDS}


def _from_row(row: dict[str, Any]) -> Transaction:
    row["cost_usd"] = None if row["cost_usd"] is None else Decimal(row["cost_usd"])
    for name in _LIST_FIELDS:
        row[name] = tuple(row[name])
    return Transaction(**row)
