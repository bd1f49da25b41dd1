"""The ledger keeps every transaction until it expires."""

import dataclasses
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from seawall.foundation.economics.ledger import Ledger
from seawall.foundation.errors import StoreError
from seawall.foundation.events import EventBus, TransactionFinished
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


def test_a_failed_write_is_reported(tmp_path: Path) -> None:
    """A row that cannot be written (here: an id used twice) makes flush raise, and later appends too."""
    ledger = Ledger(tmp_path / "ledger.db", group_seconds=0.001)
    ledger.append(transaction(1))
    ledger.append(transaction(1))
    with pytest.raises(StoreError, match="could not be written"):
        ledger.flush()
    with pytest.raises(StoreError, match="no longer write"):
        ledger.append(transaction(2))
    ledger.close()


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
