"""The database that runs and idempotency keys share: its tables, the threads that ask it, the seal on its content.

One file, `runs.db`, in each state folder; as many worker processes on it at once as there are (WAL, BEGIN IMMEDIATE, the
writers' turns by a lock on `runs.db.lock`, and 30 s of patience with whoever writes without it). No SQL runs on the event
loop. One thread of each process writes, and commits what came in meanwhile as one group, because a commit costs one fsync
however much it holds; each operation has a savepoint of its own in it. A few threads read. What waits is bounded.
"""

import asyncio
import fcntl
import json
import os
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.sealing import Sealer
from seawall.foundation.errors import SeawallError, StoreError
from seawall.foundation.storage.database import begin_write, is_sqlite, make_tables, settle
from seawall.foundation.subjects.book import SubjectBook

T = TypeVar("T")
_PURPOSE = "runs"
_READERS = 3
_GROUP = 64
_OPENING = 30.0
_CHECK = "key check"

METADATA = sa.MetaData()
RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("id", sa.String, primary_key=True),
    # Whose run it is: the id under which their key is kept, not who they are.
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("agent", sa.String, nullable=False),
    sa.Column("lane", sa.Integer, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
    sa.Column("started_at", sa.Double, nullable=True),
    sa.Column("ended_at", sa.Double, nullable=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("most_attempts", sa.Integer, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("lease_until", sa.Double, nullable=False),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("why", sa.String, nullable=False),
    sa.Column("asked", sa.LargeBinary, nullable=False),
    sa.Column("output", sa.LargeBinary, nullable=True),
    sa.Column("last_seq", sa.Integer, nullable=False),
    sa.Column("event_bytes", sa.Integer, nullable=False),
    sa.Column("truncated", sa.Boolean, nullable=False),
    # With all that is asked of a long queue in them, so that its rows need not be read to count it.
    sa.Index("runs_to_claim", "state", "lane", "created_at", "id", "expires_at"),
    sa.Index("runs_by_lease", "state", "lease_until"),
    sa.Index("runs_of_tenant", "state", "tenant", "created_at", "expires_at"),
    sa.Index("runs_of_subject", "tenant", "subject"),
)
EVENTS = sa.Table(
    "run_events",
    METADATA,
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("first_seq", sa.Integer, primary_key=True),
    sa.Column("last_seq", sa.Integer, nullable=False),
    # One row a group: a run's words come by the hundred, and each seal and row costs more than the word.
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["tenant", "run_id"], ["runs.tenant", "runs.id"], ondelete="CASCADE"),
)
KEYS = sa.Table(
    "idempotency_keys",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("token", sa.String, nullable=False),
    sa.Column("claims", sa.Integer, nullable=False),
    sa.Column("lease_until", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
    sa.Column("status", sa.Integer, nullable=True),
    sa.Column("reply", sa.LargeBinary, nullable=True),
    sa.Index("idempotency_keys_of_subject", "tenant", "subject"),
)
_NOTES = sa.Table(
    "notes",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)


class Place(NamedTuple):
    """Where a piece of content belongs: whose it is, in which record, and which part of that."""

    tenant: str
    subject: str
    record: str
    what: str


class _Write(Generic[T]):
    """An operation that waits for the writing thread."""

    def __init__(self, work: Callable[[sa.Connection], T]) -> None:
        self.work = work
        self.future: Future[T] = Future()

    def attempt(self, connection: sa.Connection) -> Callable[[], None]:
        """Do it, or nothing of it; return what tells the caller, to be called once the group is on disk."""
        try:
            with connection.begin_nested():
                result = self.work(connection)
        except Exception as error:  # noqa: BLE001  one operation's failure must not be its neighbours'
            ours = isinstance(error, SeawallError | TypeError | ValueError)
            refusal = error if ours else _failed(error)
        else:
            return lambda: self.future.set_result(result)
        return lambda: self.future.set_exception(refusal)


class RunDatabase:
    """Runs operations on the database, in its own threads, within a bound.

    `write` resolves once the operation is on disk. One whose caller is cancelled before a thread took it up is never
    done; one that was under way is done, and `undo`, where given, follows with its result.
    """

    def __init__(
        self,
        engine: sa.Engine,
        keyring: Keyring,
        people: SubjectBook,
        *,
        clock: Clock = SYSTEM_CLOCK,
        most_waiting: int = 1_000,
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self.people = people
        self.clock = clock
        self._most_waiting = most_waiting
        self._sqlite = is_sqlite(engine)
        # Elsewhere than on SQLite writers hold row locks, and groups of them in two processes could deadlock.
        self._group = _GROUP if self._sqlite else 1
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="seawall-runs-write")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="seawall-runs-read")
        self._lock = threading.Lock()
        self._behind = 0
        self._closed = False
        self._writes: deque[_Write[Any]] = deque()
        self._turns = _lock_file(f"{engine.url.database}.lock") if self._sqlite else None

    @property
    def keyring(self) -> Keyring:
        """The ring whose keys seal what is stored here."""
        return self._keyring

    async def open(self) -> None:
        """Make the tables; StoreError where the database was written under another master key."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._connect)
        await self.write(lambda connection: make_tables(connection, METADATA))
        await self.write(self._check_key)

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Ask the database; StoreError where it cannot be read, or too much waits already."""
        self._enter()
        try:
            future = self._readers.submit(self._read, work)
        except RuntimeError:
            self._leave()
            raise StoreError("the run store is closed; ask before it is, or open another") from None
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    async def write(
        self, work: Callable[[sa.Connection], T], undo: Callable[[sa.Connection, T], object] | None = None
    ) -> T:
        """Change the database, all or nothing; StoreError where it cannot be written, or too much waits already."""
        future = self._submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if undo is not None:
                future.add_done_callback(lambda done: self._take_back(done, undo))
            raise

    async def settle(self, tables: Sequence[str]) -> None:
        """Have what was deleted from tables be gone from the files, see `settle` of the storage."""
        await asyncio.get_running_loop().run_in_executor(self._writer, settle, self._engine, tables)

    async def close(self) -> None:
        """Finish what is under way, and let go of the file."""
        with self._lock:
            self._closed = True
        await asyncio.to_thread(self._shut_down)

    def seal(self, place: Place, content: bytes) -> bytes:
        """Encrypt content under its person's key, for one place; elsewhere it does not open. Erased if the key is gone."""
        return self.people.get(place.tenant, place.subject).key.seal(content, _context(place))

    def unseal(self, place: Place, sealed: bytes) -> bytes:
        """Return what was sealed for this place; StoreError for anything else, Erased if the key is gone."""
        return self.people.get(place.tenant, place.subject).key.open(sealed, _context(place))

    def _connect(self) -> None:
        """Make the first connection.

        While one process gives a new file its journal mode it is locked, and SQLite does not wait for that by itself.
        """
        until = time.monotonic() + _OPENING
        while True:
            try:
                self._engine.connect().close()
                return
            except SQLAlchemyError as error:
                if not _busy(error) or time.monotonic() >= until:
                    raise _failed(error) from None
            time.sleep(random.uniform(0.005, 0.05))  # noqa: S311  apart from one another, no secret

    def _check_key(self, connection: sa.Connection) -> None:
        """Notice another master key at the start: under it every idempotency key would be a new one."""
        sealer, context = Sealer(self._keyring, _PURPOSE), _CHECK.encode()
        kept = connection.execute(sa.select(_NOTES.c.sealed).where(_NOTES.c.name == _CHECK)).scalar()
        if kept is not None:
            try:
                sealer.open(kept, context)
            except StoreError:
                raise StoreError(
                    "the run store was written under another master key; restore that key, or start over with a "
                    "new folder"
                ) from None
        # Sealed anew under the current key, so that an older one can be destroyed.
        connection.execute(sa.delete(_NOTES).where(_NOTES.c.name == _CHECK))
        connection.execute(sa.insert(_NOTES).values(name=_CHECK, sealed=sealer.seal(b"seawall", context)))

    def _enter(self) -> None:
        with self._lock:
            if self._closed:
                raise StoreError("the run store is closed; ask before it is, or open another")
            if self._behind >= self._most_waiting:
                raise StoreError(
                    f"the run store is {self._behind} operations behind, its limit; its disk is slow or held by "
                    "another process: try again later, or ask less of it"
                )
            self._behind += 1

    def _leave(self, _done: object = None) -> None:
        with self._lock:
            self._behind -= 1

    def _submit(self, work: Callable[[sa.Connection], T]) -> "Future[T]":
        self._enter()
        write = _Write(work)
        write.future.add_done_callback(self._leave)
        with self._lock:
            self._writes.append(write)
        try:
            self._writer.submit(self._write_group)
        except RuntimeError:
            write.future.cancel()
            raise StoreError("the run store is closed; ask before it is, or open another") from None
        return write.future

    def _take_back(self, done: "Future[T]", undo: Callable[[sa.Connection, T], object]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        result = done.result()
        try:
            self._submit(lambda connection: undo(connection, result))
        except StoreError:
            # Closing, or far behind: what nobody works on is free when its lease is over.
            return

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise _failed(error) from None

    def _write_group(self) -> None:
        with self._lock:
            taken = [self._writes.popleft() for _ in range(min(self._group, len(self._writes)))]
        group = [write for write in taken if write.future.set_running_or_notify_cancel()]
        if not group:
            return
        try:
            # Who was erased meanwhile, by whichever process, is not written about.
            self.people.refresh()
            with self._turn(), self._engine.begin() as connection:
                begin_write(connection)
                told = [write.attempt(connection) for write in group]
        except Exception as error:  # noqa: BLE001  whatever it is, its callers must hear of it
            failure = _failed(error)
            for write in group:
                write.future.set_exception(failure)
            return
        for tell in told:
            tell()

    @contextmanager
    def _turn(self) -> Generator[None]:
        """Wait for the other processes' writes.

        SQLite waits by sleeping, ever longer, so that a busy process keeps an idle one out for seconds; a lock of the
        kernel wakes whoever waits, and is let go of when its process dies.
        """
        if self._turns is None:
            yield
            return
        fcntl.flock(self._turns, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turns, fcntl.LOCK_UN)

    def _shut_down(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()
        if self._turns is not None:
            os.close(self._turns)


def _lock_file(path: str) -> int:
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


def to_bytes(value: object, most: int) -> bytes:
    """Write JSON; TypeError or ValueError for what is none, StoreError where it is longer than `most` bytes."""
    content = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    if len(content) > most:
        raise StoreError(
            f"{len(content)} bytes are too many to store, at most {most}; store less, or a reference to it"
        )
    return content


def _context(place: Place) -> bytes:
    # As JSON, so that no two places read the same.
    return json.dumps(["seawall.runs", *place]).encode()


def _busy(error: SQLAlchemyError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", 0) if isinstance(error, DBAPIError) else 0
    # The low byte is the kind, the rest tells more of it.
    return code & 0xFF == sqlite3.SQLITE_BUSY


def _failed(error: Exception) -> StoreError:
    # Only its kind: a driver's message may quote what was to be written.
    return StoreError(
        f"the run store failed ({type(error).__name__}); nothing of the operation was kept: look at its disk"
    )
