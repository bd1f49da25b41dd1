"""The ledger: one row a transaction, written in groups, off the request path."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import StoreError
from seawall.foundation.events import Event, TransactionFinished
from seawall.foundation.storage.sqlite import open_sqlite
from seawall.foundation.transaction import Transaction

_LIST_FIELDS = ("verdicts", "attempts")
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
    sa.Column("verdicts", sa.JSON, nullable=False),
    sa.Column("attempts", sa.JSON, nullable=False),
    sa.Column("detail", sa.String, nullable=False),
)


class Ledger:
    """Subscribes to the event stream and keeps one row a transaction in SQLite until it expires.

    Rows are committed in groups (at most `group_seconds` apart), because one commit costs one fsync however
    many rows it holds; so a power cut can lose the rows of the last group, and nothing else. Appending never
    touches the disk. The buffer holds at most `capacity` rows: when the disk has fallen that far behind,
    appending raises StoreError rather than forget silently.
    """

    def __init__(
        self, path: Path, *, clock: Clock = SYSTEM_CLOCK, group_seconds: float = 0.05, capacity: int = 50_000
    ) -> None:
        self._engine = open_sqlite(path)
        _metadata.create_all(self._engine)
        self._clock = clock
        self._group_seconds = group_seconds
        self._capacity = capacity
        self._waiting: deque[Transaction] = deque()
        self._work = threading.Condition()
        self._closing = False
        self._writing = False
        self._error: str | None = None
        self._writer = threading.Thread(target=self._write_groups, name="seawall-ledger", daemon=True)
        self._writer.start()

    def __call__(self, event: Event) -> None:
        """Take a finished transaction off the event stream; every other event is none of the ledger's business."""
        if isinstance(event, TransactionFinished):
            self.append(event.transaction)

    def append(self, transaction: Transaction) -> None:
        """Queue a row; StoreError if the writer has failed or is `capacity` rows behind."""
        with self._work:
            if self._error is not None:
                raise StoreError(f"the ledger can no longer write: {self._error}; free the disk and restart")
            if len(self._waiting) >= self._capacity:
                raise StoreError(
                    f"the ledger is {self._capacity} rows behind its disk; refusing to forget one"
                )
            self._waiting.append(transaction)
            self._work.notify_all()

    def flush(self) -> None:
        """Return when every row appended so far is on disk; StoreError if that cannot be."""
        with self._work:
            self._work.wait_for(lambda: self._error is not None or not (self._waiting or self._writing))
            if self._error is not None:
                raise StoreError(f"the ledger could not be written: {self._error}; free the disk and restart")

    def close(self) -> None:
        """Write what is waiting and let go of the file."""
        with self._work:
            self._closing = True
            self._work.notify_all()
        self._writer.join()
        self._engine.dispose()

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
        while True:
            with self._work:
                self._work.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                closing = self._closing
            if not closing:
                # Gathering a little longer turns many fsyncs into one.
                time.sleep(self._group_seconds)
            with self._work:
                group = list(self._waiting)
                self._waiting.clear()
                self._writing = True
            error = self._write(group)
            with self._work:
                self._writing = False
                self._error = error
                self._work.notify_all()
            if error is not None:
                return

    def _write(self, group: list[Transaction]) -> str | None:
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(_ledger), [_to_row(transaction) for transaction in group])
        except SQLAlchemyError as error:
            return type(error).__name__
        return None


def _to_row(transaction: Transaction) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(transaction, name) for name in Transaction.__dataclass_fields__}
    row["cost_usd"] = None if transaction.cost_usd is None else str(transaction.cost_usd)
    return row | {name: list(row[name]) for name in _LIST_FIELDS}


def _from_row(row: dict[str, Any]) -> Transaction:
    row["cost_usd"] = None if row["cost_usd"] is None else Decimal(row["cost_usd"])
    for name in _LIST_FIELDS:
        row[name] = tuple(row[name])
    return Transaction(**row)
