"""The ledger on disks that are full, read-only or locked, and with rows that no disk takes."""

import dataclasses
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from seawall.foundation.economics.ledger import Ledger
from seawall.foundation.errors import StoreError
from seawall.foundation.events import Event, EventBus, StoreChanged
from seawall.foundation.transaction import Transaction

ROW = Transaction("txn_0", "acme", "7f", "reviewer", "m", 1.0, 1e12, "ok")


def rows(number: int, **fields: Any) -> list[Transaction]:
    """Make so many."""
    return [dataclasses.replace(ROW, id=f"txn_{one:06}", **fields) for one in range(number)]


class Disk:
    """A ledger whose every connection begins with a pragma that SQLite itself enforces."""

    def __init__(self, path: Path, pragma: str) -> None:
        Ledger(path).close()
        self.pragma = pragma
        self.told: list[Event] = []
        self.ledger = Ledger(path, events=EventBus(self.told.append), group_seconds=0.001)
        event.listen(self.ledger.engine, "connect", self._connected)
        self.ledger.engine.dispose()

    def mend(self) -> None:
        """Let it be a disk as any other."""
        self.pragma = ""
        self.ledger.engine.dispose()

    def _connected(self, connection: Any, _record: object) -> None:
        if self.pragma:
            connection.execute(self.pragma)


@pytest.mark.parametrize(
    "pragma", ["PRAGMA max_page_count=8", "PRAGMA query_only=1"], ids=["full", "read-only"]
)
def test_a_disk_that_takes_nothing_for_a_while_loses_nothing(tmp_path: Path, pragma: str) -> None:
    """Rows wait, in the order in which they came, until there is room; who asks is told why."""
    disk = Disk(tmp_path / "ledger.db", pragma)
    expected = rows(100, detail="x" * 200)
    for row in expected:
        disk.ledger.append(row)
    with pytest.raises(StoreError, match="OperationalError.*kept"):
        disk.ledger.flush()
    assert (disk.ledger.state, disk.ledger.why) == ("open", "OperationalError")
    disk.mend()
    while disk.ledger.state == "open":
        time.sleep(0.01)
    disk.ledger.flush()
    assert (list(disk.ledger.rows()), disk.ledger.why) == (expected, "")
    assert [one.healthy for one in disk.told if isinstance(one, StoreChanged)] == [False, True]
    disk.ledger.close()


def test_closing_on_a_full_disk_ends_and_counts_what_is_lost(tmp_path: Path) -> None:
    """No row is said to be kept that is not."""
    disk = Disk(tmp_path / "ledger.db", "PRAGMA max_page_count=8")
    for row in rows(100, detail="x" * 200):
        disk.ledger.append(row)
    with pytest.raises(StoreError, match="100 ledger rows are lost"):
        disk.ledger.close()
    assert list(Ledger(tmp_path / "ledger.db").rows()) == []


@pytest.mark.parametrize(
    "bad",
    [{"input_tokens": 10**30}, {"tenant": "\ud800"}, {"seconds": float("nan")}, {"missing": (object(),)}],
    ids=["too large", "no text", "no number", "no JSON"],
)
def test_a_row_that_no_disk_takes_holds_up_no_other(
    tmp_path: Path, bad: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out and named by its id; the ledger stays healthy and the rows about it are there."""
    ledger = Ledger(tmp_path / "ledger.db")
    good = rows(9)
    unfit = dataclasses.replace(ROW, id="txn_unfit", **bad)
    for row in [*good[:5], unfit, *good[5:]]:
        ledger.append(row)
    ledger.flush()
    assert (list(ledger.rows()), ledger.unfit, ledger.state) == (good, 1, "closed")
    assert ["txn_unfit" in record.getMessage() for record in caplog.records] == [True]
    ledger.close()


def test_a_file_that_is_damaged_is_the_disks_fault(tmp_path: Path) -> None:
    """Rows that were not written for it are kept, and counted as lost where it stays so."""
    path = tmp_path / "ledger.db"
    ledger = Ledger(path, group_seconds=0.001)
    ledger.engine.dispose()
    for other in tmp_path.glob("ledger.db-*"):
        other.unlink()
    path.write_bytes(b"no database " * 1000)
    for row in rows(3):
        ledger.append(row)
    with pytest.raises(StoreError, match="DatabaseError"):
        ledger.flush()
    assert ledger.unfit == 0
    with pytest.raises(StoreError, match="3 ledger rows are lost"):
        ledger.close()


def test_a_closed_ledger_takes_no_row(tmp_path: Path) -> None:
    """Nobody would write it."""
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.close()
    with pytest.raises(StoreError, match="closed"):
        ledger.append(ROW)


def test_processes_that_open_an_old_ledger_at_once_all_can(tmp_path: Path) -> None:
    """One of them adds the column, and the others find it."""
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    with sqlite3.connect(path) as old:
        old.execute("ALTER TABLE ledger DROP COLUMN missing")
    old.close()
    opened: list[Ledger] = []
    together = threading.Barrier(4)

    def open_it() -> None:
        together.wait()
        opened.append(Ledger(path))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    opened[0].append(dataclasses.replace(ROW, missing=("agent risk",)))
    for ledger in opened:
        ledger.close()
    assert [row.missing for row in Ledger(path).rows()] == [("agent risk",)]
