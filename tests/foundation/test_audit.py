"""The audit log: kept in order, in groups, by several processes, and nothing in it changes unnoticed."""

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from seawall.foundation.audit.log import AuditLog
from seawall.foundation.audit.record import AuditRecord
from seawall.foundation.audit.tables import METADATA
from seawall.foundation.audit.trail import AuditTrail
from seawall.foundation.audit.verify import Verified, verify
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.signing import Signer
from seawall.foundation.events import LoginFailed, Refused
from seawall.foundation.storage.database import open_database
from seawall.foundation.subjects.book import SubjectBook
from seawall.testing.clock import FakeClock
from tests.foundation.tampering import WAYS

RING = "".join(f"{(7 * n * n + 31 * n + 11) % 256:02x}" for n in range(32))
NOW = 1_700_000_000.0
Opener = Callable[[], AuditLog]


@pytest.fixture
def opener(where: Path | str) -> Iterator[Opener]:
    """Give what opens the same log again, as another process would; all are closed at the end."""
    opened: list[AuditLog] = []

    def make() -> AuditLog:
        keyring = Keyring.from_hex(RING)
        log = AuditLog(where, keyring, SubjectBook(where, keyring), group_seconds=0.001)
        opened.append(log)
        return log

    yield make
    for log in opened:
        log.close()
        log.people.close()


def record(number: int, tenant: str = "acme", actor: str = "s-1") -> AuditRecord:
    """Make one of many."""
    return AuditRecord(
        tenant=tenant, kind="guard.tripped", at=NOW + number, actor=actor, facts={"number": number}
    )


def looked(log: AuditLog, expected: Any = None) -> Verified:
    """Look for changes."""
    with log.engine.connect() as connection:
        return verify(connection, log.signer, expected)


def filled(log: AuditLog, count: int, tenants: tuple[str, ...] = ("acme", "globex", "")) -> AuditLog:
    """Append so many records of these tenants in turn."""
    for number in range(count):
        log.append(record(number, tenants[number % len(tenants)], f"s-{number % 5}"))
    log.flush()
    return log


def test_what_is_appended_is_read_and_verifies(opener: Opener) -> None:
    """Each tenant's records come back in their order, by a time, by another process."""
    filled(opener(), 30)
    log = opener()
    told = list(log.read("acme"))
    assert [one["facts"]["number"] for one in told] == list(range(0, 30, 3))
    assert [one["seq"] for one in told] == list(range(1, 11))
    assert [one["facts"]["number"] for one in log.read("acme", since=NOW + 3, until=NOW + 9)] == [3, 6]
    assert looked(log).findings == ()
    assert looked(log).records == 30


def test_what_was_appended_by_many_is_one_chain(opener: Opener) -> None:
    """Four logs that write at once, to chains that none has begun, leave each chain whole."""
    logs = [opener() for _ in range(4)]
    threads = [threading.Thread(target=filled, args=(log, 200)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = looked(logs[0])
    assert found.findings == ()
    assert found.records == 800


def test_an_erased_person_leaves_a_chain_that_holds(opener: Opener) -> None:
    """When a key is shredded its records cannot be read, the others can, and nothing looks changed."""
    log = filled(opener(), 30, ("acme",))
    subject = log.people.meet_named("acme", ["s-2"])["s-2"]
    log.people.shred("acme", [subject.id])
    told = list(log.read("acme"))
    assert [one["facts"] is None for one in told] == [number % 5 == 2 for number in range(30)]
    assert looked(log).findings == ()


def test_only_the_beginning_is_pruned(opener: Opener) -> None:
    """What is older than a moment goes, the chain begins where it says, and goes on."""
    log = filled(opener(), 2_500, ("acme",))
    before = looked(log).heads
    assert log.prune("acme", NOW + 1_200) == 1_200
    assert log.prune("acme", NOW + 1_200) == 0
    filled(log, 10, ("acme",))
    found = looked(log, before)
    assert found.findings == ()
    assert found.records == 1_310
    assert log.prune("acme", NOW + 10_000) == 1_310
    assert looked(log, before).findings == ()


def test_an_older_state_put_back_is_found_by_who_kept_a_head(opener: Opener) -> None:
    """A log that is of an earlier time whole is unlike what a head says that was kept elsewhere."""
    log = filled(opener(), 9, ("acme",))
    kept = looked(log).heads
    with log.engine.connect() as connection:
        old = {
            table: connection.execute(sa.select(table)).mappings().all() for table in METADATA.tables.values()
        }
    filled(log, 9, ("acme",))
    later = looked(log).heads
    with log.engine.begin() as connection:
        for table, rows in old.items():
            connection.execute(sa.delete(table))
            if rows:
                connection.execute(sa.insert(table), [dict(row) for row in rows])
    assert looked(log, kept).findings == ()
    (found,) = looked(log, later).findings
    assert (found.tenant, found.seq) == ("acme", 10)


def test_a_stranger_cannot_sign(opener: Opener) -> None:
    """A chain made anew in full, with another key, is not taken for ours."""
    log = filled(opener(), 3, ("acme",))
    stranger = Signer(Keyring.ephemeral(), "audit")
    with log.engine.connect() as connection:
        assert verify(connection, stranger).findings


def test_every_change_is_found(opener: Opener) -> None:
    """Of 500 random edits, deletions, swaps, truncations and more, each is found, at the record it began with."""
    log = filled(opener(), 2_400, ("acme", "globex"))
    assert looked(log).findings == ()
    rng = random.Random(20_261_124)
    missed: list[str] = []
    for number in range(500):
        change = WAYS[number % len(WAYS)]
        with log.engine.connect() as connection:
            first = change(connection, rng)
            found = verify(connection, log.signer).findings
            connection.rollback()
        named = not first or any(finding.seq == first for finding in found)
        if not found or not named:
            missed.append(f"{number} {change.__name__}: record {first}, found {found}")
    assert missed == []
    assert looked(log).findings == ()


def test_floods_are_counted() -> None:
    """The first refusal is a record at once, its repetitions one more; with `every` each is one."""
    clock, kept = FakeClock(), list[AuditRecord]()

    class Log:
        def append(self, one: AuditRecord) -> None:
            kept.append(one)

    log: Any = Log()
    trail = AuditTrail(log, clock=clock)
    for number in range(1_000):
        trail(Refused(f"txn-{number}", "acme", "rate limit", 1.0, "s-1"))
        trail(LoginFailed("unknown", f"ip-{number}", ""))
    assert len(kept) == 1_001
    clock.advance(1.5)
    trail.tick()
    assert [(one.kind, one.facts) for one in kept[1_001:]] == [
        ("run.refused", {"reason": "rate limit", "repeated": 999}),
    ]
    kept.clear()
    each = AuditTrail(log, clock=clock, every=True)
    for number in range(10):
        each(Refused(f"txn-{number}", "acme", "rate limit", 1.0, "s-1"))
    assert [one.run_id for one in kept] == [f"txn-{number}" for number in range(10)]


_WRITER = """
import sys, pathlib, time
from tests.foundation.test_audit import RING, record
from seawall.foundation.audit.log import AuditLog
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.subjects.book import SubjectBook
where = sys.argv[1] if "://" in sys.argv[1] else pathlib.Path(sys.argv[1])
ring = Keyring.from_hex(RING)
log = AuditLog(where, ring, SubjectBook(where, ring), group_seconds=0.002)
for number in range(10**6):
    log.append(record(number))
    if number % 50 == 49:
        log.flush()
        print(number, flush=True)
"""


def test_a_killed_writer_loses_only_what_was_not_flushed(where: Path | str) -> None:
    """After kill -9 in the middle of writing, all that was flushed is there, and the chain verifies."""
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(where)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        flushed = [int(child.stdout.readline()) for _ in range(4)][-1]
        child.kill()
        flushed = max([flushed, *(int(line) for line in child.stdout.read().split())])
        child.wait()
        child.stdout.close()
        engine = open_database(where, "audit.db")
        with engine.connect() as connection:
            found = verify(connection, Signer(Keyring.from_hex(RING), "audit"))
        assert found.findings == ()
        assert found.records >= flushed + 1
        with engine.begin() as connection:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(sa.delete(table))
        engine.dispose()
