"""The ledger: one row a transaction, written in groups, off the request path."""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    StatementError,
)

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import StoreError
from seawall.foundation.events import Event, EventBus, StoreChanged, TransactionFinished
from seawall.foundation.storage.sqlite import open_sqlite
from seawall.foundation.transaction import Transaction

_LIST_FIELDS = ("missing", "verdicts", "attempts")
_SHORTEST_REST = 0.1
_LONGEST_REST = 30.0
_log = logging.getLogger("seawall.ledger")
_metadata = sa.MetaData()
_ledger = sa.Table(
    "ledger",
    _metadata,
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
)


class Ledger:
    """Subscribes to the event stream and keeps one row a transaction in SQLite until it expires.

    Rows are committed in groups (at most `group_seconds` apart), because one commit costs one fsync however
    many rows it holds; so a power cut can lose the rows of the last group, and nothing else. Appending never
    touches the disk. A row that is appended twice, by the same id, is there once.

    While the file cannot be written (full, locked, gone) rows are kept and tried again, after 0.1 s at first and 30 s at
    most: `state` is `open` until a write succeeds, and `events` hear of both changes, on the writer's thread. The buffer
    holds at most `capacity` rows: when the disk has fallen that far behind, appending raises StoreError rather than
    forget silently. A row that no disk would take, such as one with a number beyond 64 bits, is left out, counted in
    `unfit` and logged by its id, so that it does not hold up the others.
    """

    def __init__(
        self,
        path: Path,
        *,
        events: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
        group_seconds: float = 0.05,
        capacity: int = 50_000,
    ) -> None:
        self._engine = open_sqlite(path)
        _prepare(self._engine)
        self._events = events or EventBus()
        self._clock = clock
        self._group_seconds = group_seconds
        self._capacity = capacity
        self._waiting: deque[Transaction] = deque()
        self._work = threading.Condition()
        self._closing = False
        self._writing = 0
        self.unfit = 0
        self._error: str | None = None
        self._writer = threading.Thread(target=self._write_groups, name="seawall-ledger", daemon=True)
        self._writer.start()

    @property
    def state(self) -> Literal["closed", "open"]:
        """`closed` while rows reach the disk, `open` from a failed write to the next that succeeds."""
        return "closed" if self._error is None else "open"

    @property
    def why(self) -> str:
        """The name of the error that keeps it open; empty while it is closed."""
        return self._error or ""

    def __call__(self, event: Event) -> None:
        """Take a finished transaction off the event stream; every other event is none of the ledger's business."""
        if isinstance(event, TransactionFinished):
            self.append(event.transaction)

    def append(self, transaction: Transaction) -> None:
        """Queue a row; StoreError if the disk is `capacity` rows behind, or the ledger is closed."""
        with self._work:
            if self._closing:
                raise StoreError("the ledger is closed; append before it is, or open another")
            if len(self._waiting) + self._writing >= self._capacity:
                why = "" if self._error is None else f" ({self._error})"
                raise StoreError(
                    f"the ledger is {self._capacity} rows behind its disk{why}; refusing to forget one: free the disk"
                )
            self._waiting.append(transaction)
            self._work.notify_all()

    def flush(self) -> None:
        """Return when every row appended so far is on disk; StoreError where a write fails meanwhile."""
        with self._work:
            self._work.wait_for(lambda: self._error is not None or not (self._waiting or self._writing))
            if self._error is not None:
                raise StoreError(
                    f"the ledger could not be written: {self._error}; its rows are kept, and tried again"
                )

    def close(self) -> None:
        """Write what is waiting and let go of the file; StoreError where rows are lost, as they cannot be written.

        A locked file is waited for once more, 30 s, and a write that already waits for it to the end of its own.
        """
        with self._work:
            self._closing = True
            self._work.notify_all()
        self._writer.join()
        self._engine.dispose()
        if self._waiting:
            raise StoreError(
                f"{len(self._waiting)} ledger rows are lost: the file could not be written ({self._error})"
            )

    def rows(self) -> Iterator[Transaction]:
        """Every transaction that has not expired, oldest first."""
        query = sa.select(_ledger).where(_ledger.c.expires_at > self._clock.time()).order_by(_ledger.c.id)
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=500).execute(query).mappings():
                yield _from_row(dict(row))

    def sweep(self) -> int:
        """Delete what has expired, for good; returns how many rows went."""
        with self._engine.begin() as connection:
            done = connection.execute(sa.delete(_ledger).where(_ledger.c.expires_at <= self._clock.time()))
        return done.rowcount

    def _write_groups(self) -> None:
        rest = 0.0
        while True:
            with self._work:
                self._work.wait_for(lambda: self._waiting or self._closing)
                if rest and not self._closing:
                    self._work.wait_for(lambda: self._closing, timeout=rest * random.uniform(0.5, 1))  # noqa: S311
                if not self._waiting:
                    return
                closing = self._closing
            if not closing and not rest:
                # Gathering a little longer turns many fsyncs into one.
                time.sleep(self._group_seconds)
            error = self._write_group()
            rest = 0.0 if error is None else min(max(2 * rest, _SHORTEST_REST), _LONGEST_REST)
            if error is not None and closing:
                return

    def _write_group(self) -> str | None:
        with self._work:
            group = list(self._waiting)
            self._waiting.clear()
            self._writing = len(group)
        error = self._write(group)
        with self._work:
            changed = (error is None) != (self._error is None)
            self._writing = 0
            self._error = error
            if error is not None:
                self._waiting.extendleft(reversed(group))
            self._work.notify_all()
        if changed:
            healthy = error is None
            _log.log(
                logging.INFO if healthy else logging.ERROR, "ledger: %s", error or "rows reach the disk again"
            )
            self._events.publish(StoreChanged("ledger", healthy, error or "a write succeeded"))
        return error

    def _write(self, group: list[Transaction]) -> str | None:
        """Write them all or none; return what kept them from the disk."""
        try:
            self._insert([_to_row(transaction) for transaction in group])
        except Exception as error:  # noqa: BLE001  whatever it is, a writer that died would write nothing ever after
            if not _says_of_the_row(error):
                return type(error).__name__
            if len(group) > 1:
                half = len(group) // 2
                return self._write(group[:half]) or self._write(group[half:])
            self.unfit += 1
            _log.error("ledger: %s is left out, no disk takes it (%s)", group[0].id, type(error).__name__)
        return None

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        with self._engine.begin() as connection:
            connection.execute(insert(_ledger).on_conflict_do_nothing(index_elements=["id"]), rows)


def _prepare(engine: sa.Engine) -> None:
    """Create the table, or add to one of an earlier version what it lacks."""
    _metadata.create_all(engine)
    if _lacks_missing(engine):
        try:
            with engine.begin() as connection:
                connection.execute(
                    sa.text("ALTER TABLE ledger ADD COLUMN missing JSON NOT NULL DEFAULT '[]'")
                )
        except OperationalError:
            # Another process may have opened it at the same time, and added it.
            if _lacks_missing(engine):
                raise


def _lacks_missing(engine: sa.Engine) -> bool:
    return "missing" not in {column["name"] for column in sa.inspect(engine).get_columns("ledger")}


def _says_of_the_row(error: Exception) -> bool:
    """Whether a write failed by what was to be written, whatever the disk."""
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError | ProgrammingError | InterfaceError)
    return isinstance(error, StatementError | ValueError | TypeError | ArithmeticError)


def _to_row(transaction: Transaction) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(transaction, name) for name in Transaction.__dataclass_fields__}
    row["cost_usd"] = None if transaction.cost_usd is None else str(transaction.cost_usd)
    return row | {name: list(row[name]) for name in _LIST_FIELDS}


def _from_row(row: dict[str, Any]) -> Transaction:
    row["cost_usd"] = None if row["cost_usd"] is None else Decimal(row["cost_usd"])
    for name in _LIST_FIELDS:
        row[name] = tuple(row[name])
    return Transaction(**row)
