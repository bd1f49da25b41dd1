"""The ledger keeps every transaction until it expires."""

import dataclasses
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from seawall.foundation.economics.ledger import Ledger
from seawall.foundation.errors import StoreError
from seawall.foundation.events import Event, EventBus, StoreChanged, TransactionFinished
from seawall.foundation.transaction import Transaction
from seawall.testing import FakeClock


def transaction(
    number: int, *, expires_at: float = 1e12, cost: Decimal | None = Decimal("0.0012345678901234567")
) -> Transaction:
    return Transaction(
        id=f"txn_{number:06}", tenant="acme", subject="7f", agent="reviewer", model="m", started_at=1.0,
        expires_at=expires_at, outcome="ok", cost_usd=cost, verdicts=("size:allow",), attempts=("m:ok",),
    )  # fmt: skip


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    """Decimals keep every digit, unknown cost stays unknown, lists keep their order."""
    ledger = Ledger(tmp_path / "ledger.db")
    rows = [transaction(1), transaction(2, cost=None)]
    for row in rows:
        ledger(TransactionFinished(row))
    ledger.close()
    assert list(Ledger(tmp_path / "ledger.db").rows()) == rows


def test_concurrent_appends_lose_nothing(tmp_path: Path) -> None:
    """Rows appended from many threads while groups are being written are all there after a flush."""
    ledger = Ledger(tmp_path / "ledger.db", group_seconds=0.001)

    def append_many(first: int) -> None:
        for number in range(first, first + 200):
            ledger.append(transaction(number))

    threads = [threading.Thread(target=append_many, args=(n * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.flush()
    assert len(list(ledger.rows())) == 1600
    ledger.close()


def test_an_expired_row_is_unreadable_before_the_sweep_and_gone_after(tmp_path: Path) -> None:
    """Expiry is enforced on reading, and the sweep deletes."""
    clock = FakeClock()
    ledger = Ledger(tmp_path / "ledger.db", clock=clock)
    ledger.append(transaction(1, expires_at=clock.time() + 10))
    ledger.append(transaction(2, expires_at=clock.time() + 100))
    ledger.flush()
    clock.advance(10)
    assert [row.id for row in ledger.rows()] == ["txn_000002"]
    assert ledger.sweep() == 1
    assert ledger.sweep() == 0
    ledger.close()


def test_a_full_buffer_is_an_error_not_a_silence(tmp_path: Path) -> None:
    """When the writer is too far behind, appending says so."""
    ledger = Ledger(tmp_path / "ledger.db", capacity=2, group_seconds=0.2)
    with pytest.raises(StoreError, match="2 rows behind"):
        for number in range(10):
            ledger.append(transaction(number))
    ledger.close()


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the file so that nobody else can write to it."""
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield
        holder.execute("ROLLBACK")
    holder.close()


def impatient(path: Path, **options: Any) -> Ledger:
    """A ledger that waits for nobody's lock."""
    ledger = Ledger(path, group_seconds=0.001, **options)

    @event.listens_for(ledger.engine, "connect")
    def hurry(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout=0")

    _ = hurry
    ledger.engine.dispose()
    return ledger


def test_a_row_that_comes_twice_is_there_once(tmp_path: Path) -> None:
    """Whoever tells of a transaction again, after a crash, does no harm."""
    ledger = Ledger(tmp_path / "ledger.db", group_seconds=0.001)
    for _ in range(2):
        ledger.append(transaction(1))
    ledger.append(transaction(2))
    ledger.flush()
    assert [row.id for row in ledger.rows()] == ["txn_000001", "txn_000002"]
    ledger.close()


def test_what_cannot_be_written_is_kept_until_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A locked file loses nothing; both changes are told once, however many rows there are."""
    caplog.set_level("INFO", "seawall.ledger")
    told: list[Event] = []
    path = tmp_path / "ledger.db"
    ledger = impatient(path, events=EventBus(told.append))
    with locked(path):
        for number in range(50):
            ledger.append(transaction(number))
        with pytest.raises(StoreError, match="OperationalError"):
            ledger.flush()
        assert ledger.state == "open"
        for number in range(50, 60):
            ledger.append(transaction(number))
    while ledger.state == "open":
        time.sleep(0.01)
    ledger.flush()
    assert [row.id for row in ledger.rows()] == [transaction(number).id for number in range(60)]
    assert [(one.store, one.healthy) for one in told if isinstance(one, StoreChanged)] == [
        ("ledger", False),
        ("ledger", True),
    ]
    assert len(caplog.records) == 2
    ledger.close()


def test_closing_says_how_many_rows_are_lost(tmp_path: Path) -> None:
    """It ends, and it does not pretend."""
    path = tmp_path / "ledger.db"
    ledger = impatient(path)
    with locked(path):
        for number in range(3):
            ledger.append(transaction(number))
        with pytest.raises(StoreError, match="3 ledger rows are lost"):
            ledger.close()


def test_a_disk_that_stays_broken_fills_the_buffer_and_no_more(tmp_path: Path) -> None:
    """What is kept for later is bounded, and whoever comes after it is told."""
    path = tmp_path / "ledger.db"
    ledger = impatient(path, capacity=5)
    with locked(path):
        for number in range(5):
            ledger.append(transaction(number))
        with pytest.raises(StoreError, match="5 rows behind"):
            ledger.append(transaction(5))
    ledger.close()
    assert len(list(Ledger(path).rows())) == 5


def test_a_ledger_of_the_version_before_goes_on(tmp_path: Path) -> None:
    """The column that it lacks is added, and its rows lack nothing."""
    path = tmp_path / "ledger.db"
    ledger = Ledger(path)
    ledger.append(transaction(1))
    ledger.close()
    with sqlite3.connect(path) as old:
        old.execute("ALTER TABLE ledger DROP COLUMN missing")
    old.close()
    ledger = Ledger(path)
    ledger.append(dataclasses.replace(transaction(2), degradation="partial", missing=("agent risk",)))
    ledger.close()
    assert [row.missing for row in Ledger(path).rows()] == [(), ("agent risk",)]


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Nobody else on the machine can read the ledger."""
    Ledger(tmp_path / "ledger.db").close()
    assert (tmp_path / "ledger.db").stat().st_mode & 0o077 == 0


def test_saved_tokens_are_never_negative() -> None:
    """A prompt longer than its source saved nothing."""
    row = dataclasses.replace(transaction(1), tokens_without_retrieval=10, input_tokens=30)
    assert row.tokens_saved == 0
    assert dataclasses.replace(row, tokens_without_retrieval=100).tokens_saved == 70


def test_a_failing_subscriber_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """The event bus tells everyone, and logs who failed."""
    seen: list[object] = []

    def broken(_event: object) -> None:
        raise RuntimeError("no")

    EventBus(broken, seen.append).publish(TransactionFinished(transaction(1)))
    assert len(seen) == 1
    assert "broken" in caplog.text
