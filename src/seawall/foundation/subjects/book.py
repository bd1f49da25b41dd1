"""Whose data is kept: each person's key, what they are called in records, and what holds for them."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.envelope import DataKey, LocalMasterKeys, MasterKeys
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pseudonyms import subject_names
from seawall.foundation.errors import SeawallError, StoreError
from seawall.foundation.ids import new_id
from seawall.foundation.storage.database import begin_write, insert_new, make_tables, open_database
from seawall.foundation.subjects.tables import ALIASES, CHANGES, METADATA, SUBJECTS
from seawall.foundation.subjects.tenant_keys import TenantKeys, rotate

_MOST_KNOWN = 20_000
# Made once: it is asked for before each group of writes.
_LAST_CHANGE = sa.select(CHANGES.c.number)


class Erased(StoreError):
    """What was asked for is of a person whose data was erased: it cannot be read by anybody."""


class LegalHold(SeawallError):
    """Somebody's data must be kept for a legal claim, and so is not erased."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One person of one tenant: a random id, the key of their content, and what holds for them."""

    id: str
    tenant: str
    key: DataKey
    restricted: bool
    held: bool


class SubjectBook:
    """All people whose data is kept, in `subjects.db` of a state folder or a Postgres, for several processes at once.

    Every call may block: make them in a thread. What was read is remembered, at most 20,000 people; `refresh` hears what
    other processes changed, and whoever writes content calls it first, so that no content is sealed for somebody whose
    key is gone. StoreError where the database fails.
    """

    def __init__(
        self,
        where: Path | str,
        keyring: Keyring,
        *,
        master: MasterKeys | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.engine = open_database(where, "subjects.db")
        self.clock = clock
        self._keyring = keyring
        self._tenants = TenantKeys(master or LocalMasterKeys(keyring), clock)
        self._known: OrderedDict[str, Subject] = OrderedDict()
        self._ids: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._restricted: frozenset[tuple[str, str]] = frozenset()
        self._held: tuple[str, ...] = ()
        self._held_names: frozenset[tuple[str, str]] = frozenset()
        self._lock = threading.RLock()
        self._seen = -1
        self._prepare()
        self.refresh()

    def names(self, tenant: str, value: str) -> tuple[str, ...]:
        """Return what a person is called in records, by every key version, the current one first."""
        return subject_names(self._keyring, tenant, value)

    def meet(self, tenant: str, value: str) -> Subject:
        """Return a person by who they are, with a key made for them if they are new."""
        names = self.names(tenant, value)
        with self._lock:
            found = self._remembered(tenant, names[0])
            return found or self._meet(tenant, [names])[names[0]]

    def meet_named(self, tenant: str, names: Iterable[str]) -> Mapping[str, Subject]:
        """Return people by what they are called in records, in one transaction for all who are new."""
        with self._lock:
            found = {name: self._remembered(tenant, name) for name in names}
            new = [(name,) for name, subject in found.items() if subject is None]
            met = self._meet(tenant, new) if new else {}
            return {name: subject or met[name] for name, subject in found.items()}

    def get(self, tenant: str, subject_id: str) -> Subject:
        """Return a person by id; Erased where their key is gone."""
        with self._lock:
            known = self._known.get(subject_id)
            if known is None:
                with self._reading() as connection:
                    known = self._read(connection, tenant, subject_id)
        if known is None or known.tenant != tenant:
            raise Erased("this was erased, with the key that it could be read with")
        return known

    def find(self, tenant: str, value: str) -> Sequence[Subject]:
        """Return a person as they are known under each of their names; empty where nothing is known of them."""
        with self._reading() as connection:
            which = sa.and_(ALIASES.c.tenant == tenant, ALIASES.c.alias.in_(self.names(tenant, value)))
            ids = connection.execute(sa.select(ALIASES.c.subject_id).where(which).distinct()).scalars().all()
            found = (self._read(connection, tenant, one) for one in ids)
            return [one for one in found if one is not None]

    def is_restricted(self, tenant: str, value: str) -> bool:
        """Whether nothing new may be done with a person's data; from memory, as of the last `refresh`."""
        return bool(self._restricted) and any(
            (tenant, name) in self._restricted for name in self.names(tenant, value)
        )

    def held(self) -> Sequence[str]:
        """Return the ids of those whose data may not be deleted; from memory, as of the last `refresh`."""
        return self._held

    def held_names(self) -> Collection[tuple[str, str]]:
        """Return the same people as tenants and what they are called in records."""
        return self._held_names

    def refresh(self) -> None:
        """Hear what other processes changed; one small read where they changed nothing."""
        with self._lock, self._reading() as connection:
            number = connection.execute(_LAST_CHANGE).scalar_one_or_none() or 0
            if number == self._seen:
                return
            self._known.clear()
            self._ids.clear()
            self._tenants.forget()
            restricted = (
                sa.select(ALIASES.c.tenant, ALIASES.c.alias)
                .join(SUBJECTS, SUBJECTS.c.id == ALIASES.c.subject_id)
                .where(SUBJECTS.c.restricted_at.is_not(None))
            )
            self._restricted = frozenset((row[0], row[1]) for row in connection.execute(restricted))
            held = sa.select(SUBJECTS.c.id).where(SUBJECTS.c.held_at.is_not(None))
            self._held = tuple(connection.execute(held).scalars())
            named = sa.select(ALIASES.c.tenant, ALIASES.c.alias).where(ALIASES.c.subject_id.in_(self._held))
            self._held_names = frozenset((row[0], row[1]) for row in connection.execute(named))
            self._seen = number

    def restrict(self, tenant: str, value: str, *, on: bool) -> None:
        """Have nothing new done with a person's data (GDPR Article 18), or lift that."""
        at = self.clock.time() if on else None
        self._mark(self.meet(tenant, value), {"restricted_at": at})

    def hold(self, tenant: str, value: str, reason: str) -> None:
        """Keep a person's data from being deleted, for a legal claim (Article 17(3)(e))."""
        subject = self.meet(tenant, value)
        sealed = subject.key.seal(json.dumps(reason).encode(), b"hold " + subject.id.encode())
        self._mark(subject, {"held_at": self.clock.time(), "hold_reason": sealed})

    def release(self, tenant: str, value: str) -> bool:
        """End a hold; whether there was one."""
        found = [one for one in self.find(tenant, value) if one.held]
        for one in found:
            self._mark(one, {"held_at": None, "hold_reason": None})
        return bool(found)

    def shred(
        self, tenant: str, ids: Sequence[str], note: Callable[[sa.Connection], object] | None = None
    ) -> None:
        """Destroy people's keys and names; what was sealed for them is unreadable from here on, wherever it is.

        LegalHold, and nothing is done, where the data of one of them must be kept. `note` writes in the same transaction.
        """
        with self._lock, self._writing() as connection:
            which = sa.and_(SUBJECTS.c.tenant == tenant, SUBJECTS.c.id.in_(ids))
            query = sa.select(SUBJECTS.c.held_at).where(which, SUBJECTS.c.held_at.is_not(None))
            if connection.execute(query.with_for_update()).first() is not None:
                raise LegalHold(
                    "there is a legal hold on this person's data (GDPR, Article 17(3)(e)): nothing was erased; lift it with "
                    "`seawall subject release` first"
                )
            if note is not None:
                note(connection)
            connection.execute(sa.delete(SUBJECTS).where(which))
            named = sa.and_(ALIASES.c.tenant == tenant, ALIASES.c.subject_id.in_(ids))
            connection.execute(sa.delete(ALIASES).where(named))
            _count_change(connection)
        self.refresh()

    def rotate(self, tenant: str) -> int:
        """Give a tenant a new key; how many people's keys were wrapped anew. Content is not touched."""
        done = rotate(self.engine, self._tenants, tenant)
        with self._writing() as connection:
            _count_change(connection)
        self.refresh()
        return done

    def wrap_anew(self) -> int:
        """Wrap every tenant's keys under the current master key, so that an older one can be destroyed; how many."""
        with self._writing() as connection:
            return self._tenants.wrap_anew(connection)

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def _prepare(self) -> None:
        with self._writing() as connection:
            make_tables(connection, METADATA)
            insert_new(connection, CHANGES, {"id": 1, "number": 0})

    def _remembered(self, tenant: str, name: str) -> Subject | None:
        found = self._ids.get((tenant, name))
        return None if found is None else self._known.get(found)

    def _meet(self, tenant: str, people: Sequence[Sequence[str]]) -> dict[str, Subject]:
        """Find or make people, each by all their names; by the first of these in what is returned."""
        with self._writing() as connection:
            met = {names[0]: self._meet_one(connection, tenant, names) for names in people}
        for name, subject in met.items():
            self._remember(subject, name)
        return met

    def _meet_one(self, connection: sa.Connection, tenant: str, names: Sequence[str]) -> Subject:
        query = sa.select(ALIASES.c.alias, ALIASES.c.subject_id)
        rows = connection.execute(query.where(ALIASES.c.tenant == tenant, ALIASES.c.alias.in_(names))).all()
        known = {row[0]: row[1] for row in rows}
        found = next((known[name] for name in names if name in known), None)
        if found is None:
            found = self._make(connection, tenant, names[0])
        elif names[0] not in known:
            # Known under an older key's name: the new name is the same person's.
            insert_new(connection, ALIASES, {"tenant": tenant, "alias": names[0], "subject_id": found})
        subject = self._read(connection, tenant, found)
        if subject is None:
            raise StoreError("a person's key is missing; restore the database of subjects from a backup")
        return subject

    def _make(self, connection: sa.Connection, tenant: str, name: str) -> str:
        version, tenant_key = self._tenants.current(connection, tenant)
        subject_id = new_id("sub")
        taken = insert_new(connection, ALIASES, {"tenant": tenant, "alias": name, "subject_id": subject_id})
        if not taken:
            # Another process met the same person in between.
            which = sa.and_(ALIASES.c.tenant == tenant, ALIASES.c.alias == name)
            return connection.execute(sa.select(ALIASES.c.subject_id).where(which)).scalar_one()
        row = {
            "id": subject_id,
            "tenant": tenant,
            "key_version": version,
            "wrapped": tenant_key.seal(DataKey.fresh(), subject_id.encode()),
            "created_at": self.clock.time(),
        }
        connection.execute(sa.insert(SUBJECTS).values(row))
        return subject_id

    def _read(self, connection: sa.Connection, tenant: str, subject_id: str) -> Subject | None:
        known = self._known.get(subject_id)
        if known is not None:
            return known
        which = sa.and_(SUBJECTS.c.tenant == tenant, SUBJECTS.c.id == subject_id)
        row = connection.execute(sa.select(SUBJECTS).where(which)).one_or_none()
        if row is None:
            return None
        key = self._tenants.of(connection, tenant, row.key_version).open(row.wrapped, subject_id.encode())
        subject = Subject(
            subject_id, tenant, DataKey(key), row.restricted_at is not None, row.held_at is not None
        )
        self._remember(subject)
        return subject

    def _remember(self, subject: Subject, name: str | None = None) -> None:
        self._known[subject.id] = subject
        if name is not None:
            self._ids[subject.tenant, name] = subject.id
        for remembered in (self._known, self._ids):
            while len(remembered) > _MOST_KNOWN:
                remembered.popitem(last=False)

    def _mark(self, subject: Subject, values: dict[str, Any]) -> None:
        with self._writing() as connection:
            connection.execute(sa.update(SUBJECTS).where(SUBJECTS.c.id == subject.id).values(values))
            _count_change(connection)
        self.refresh()

    def _reading(self) -> "_Asking":
        return _Asking(self.engine, write=False)

    def _writing(self) -> "_Asking":
        return _Asking(self.engine, write=True)


class _Asking:
    """A connection for one `with`; StoreError for what a driver says, whose words may quote what was written."""

    def __init__(self, engine: sa.Engine, *, write: bool) -> None:
        self._engine = engine
        self._write = write

    def __enter__(self) -> sa.Connection:
        try:
            self._connection = self._engine.connect()
            self._transaction = self._connection.begin()
            if self._write:
                begin_write(self._connection)
        except SQLAlchemyError as error:
            raise _failed(error) from None
        return self._connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None and self._write:
                self._transaction.commit()
            else:
                self._transaction.rollback()
        except SQLAlchemyError as failure:
            raise _failed(failure) from None
        finally:
            self._connection.close()
        if isinstance(error, SQLAlchemyError):
            raise _failed(error) from None


def _count_change(connection: sa.Connection) -> None:
    connection.execute(sa.update(CHANGES).values(number=CHANGES.c.number + 1))


def _failed(error: SQLAlchemyError) -> StoreError:
    return StoreError(
        f"the database of subjects failed ({type(error).__name__}); nothing of the operation was kept: look at its disk"
    )
