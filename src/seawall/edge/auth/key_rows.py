"""API keys as the database has them: sealed, numbered by change, for as many processes at once as there are."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from seawall.edge.auth.keys import ApiKey
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.sealing import Sealer
from seawall.foundation.errors import SeawallError, StoreError
from seawall.foundation.storage.database import settle
from seawall.foundation.storage.sqlite import open_sqlite

T = TypeVar("T")
# Whose a key is that was somebody's who was erased.
FORGOTTEN = "erased"
_PURPOSE = "api keys"
_metadata = sa.MetaData()
_keys = sa.Table(
    "api_keys",
    _metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    # Subject, name, scopes: personal data in part, and who writes to the file alone cannot widen what a key may do.
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("ring_version", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=True),
    sa.Column("revoked_at", sa.Double, nullable=True),
    sa.Column("last_used_at", sa.Double, nullable=True),
    sa.Column("rotated_to", sa.String, nullable=True),
    # Number of the change that wrote the row last: who has seen all up to it need not read it again.
    sa.Column("change", sa.Integer, nullable=False, index=True),
)
_changes = sa.Table(
    "api_key_changes",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, nullable=False),
)
_ring = sa.Table(
    "api_key_ring",
    _metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("fingerprint", sa.String, nullable=False),
)


class NoSuchKey(SeawallError):
    """No API key has this id."""


class KeyRow(NamedTuple):
    """A key, the digest of its token, the secret that digest was made with, and the change that wrote it last."""

    key: ApiKey
    digest: bytes
    secret: bytes
    change: int


class KeyRows:
    """Reads and changes the rows. StoreError for whatever the database does not do, without its words."""

    def __init__(self, engine: sa.Engine, keyring: Keyring) -> None:
        self._engine = engine
        self._keyring = keyring
        try:
            self._prepare()
        except (OperationalError, ProgrammingError, IntegrityError):
            # Another process may have opened it at the same time, and made the tables first.
            _asked(self._prepare)

    @property
    def secret(self) -> bytes:
        """What the digest of a new key is made with."""
        return self._keyring.key(_PURPOSE)

    def since(self, seen: int) -> tuple[int, list[KeyRow | str]]:
        """Return the number of the last change, and all rows written after `seen`; of one that cannot be opened its id.

        A number below `seen` means that an older database was put in place, and all rows are returned.
        """

        def work() -> tuple[int, list[KeyRow | str]]:
            with self._engine.connect() as connection:
                number: int = connection.execute(sa.select(_changes.c.number)).scalar_one()
                if number == seen:
                    return number, []
                query = sa.select(_keys).where(_keys.c.change > (seen if number > seen else -1))
                return number, [self._row(row) for row in connection.execute(query).mappings()]

        return _asked(work)

    def all(self, tenant: str | None) -> list[ApiKey]:
        """Return every key, or a tenant's, oldest first; StoreError where one cannot be opened."""

        def work() -> list[ApiKey]:
            with self._engine.connect() as connection:
                return self.opened(connection, tenant)

        return _asked(work)

    def opened(self, connection: sa.Connection, tenant: str | None) -> list[ApiKey]:
        """Return the same, within a transaction."""
        query = sa.select(_keys).order_by(_keys.c.created_at, _keys.c.id)
        if tenant is not None:
            query = query.where(_keys.c.tenant == tenant)
        return [self._open(row) for row in connection.execute(query).mappings()]

    def settle(self) -> None:
        """Have what was overwritten be gone from the file."""
        settle(self._engine, [_keys.name])

    def change(self, work: "Callable[[KeyChange], T]") -> tuple[T, list[KeyRow | str]]:
        """Do all of some work or nothing of it, after what others do; return its result and the rows it wrote."""

        def transaction() -> tuple[T, list[KeyRow | str]]:
            with self._engine.begin() as connection:
                # First of all, as it is what two processes that change keys wait for one another at.
                connection.execute(sa.update(_changes).values(number=_changes.c.number + 1))
                number: int = connection.execute(sa.select(_changes.c.number)).scalar_one()
                result = work(KeyChange(connection, number, self))
                query = sa.select(_keys).where(_keys.c.change == number)
                return result, [self._row(row) for row in connection.execute(query).mappings()]

        return _asked(transaction)

    def note_used(self, noted: Mapping[str, float]) -> None:
        """Write down when keys were used last; this is no change that others must hear of."""
        last = _keys.c.last_used_at
        later = sa.or_(last.is_(None), last < sa.bindparam("used"))
        update = sa.update(_keys).where(_keys.c.id == sa.bindparam("key_id"), later)

        def work() -> None:
            with self._engine.begin() as connection:
                connection.execute(
                    update.values(last_used_at=sa.bindparam("used")),
                    [{"key_id": key_id, "used": at} for key_id, at in noted.items()],
                )

        _asked(work)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def find(self, connection: sa.Connection, key_id: str) -> ApiKey:
        """Return a key; NoSuchKey where there is none."""
        row = connection.execute(sa.select(_keys).where(_keys.c.id == key_id)).mappings().first()
        if row is None:
            raise NoSuchKey("no API key has this id; `seawall keys list` shows those that there are")
        return self._open(row)

    def sealed(self, key: ApiKey) -> dict[str, Any]:
        """Return a new key as its row has it, without its digest."""
        content = json.dumps([key.subject, key.name, sorted(key.scopes)]).encode()
        return {
            "id": key.id,
            "tenant": key.tenant,
            "sealed": self._sealer(key.tenant).seal(content, key.id.encode()),
            "ring_version": self._keyring.current,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
        }

    def _row(self, row: Mapping[Any, Any]) -> KeyRow | str:
        try:
            secret = self._keyring.key(_PURPOSE, version=row["ring_version"])
            return KeyRow(self._open(row), bytes(row["digest"]), secret, row["change"])
        except (KeyError, StoreError):
            return str(row["id"])

    def _open(self, row: Mapping[Any, Any]) -> ApiKey:
        sealed = self._sealer(row["tenant"]).open(bytes(row["sealed"]), str(row["id"]).encode())
        subject, name, scopes = json.loads(sealed)
        return ApiKey(
            id=row["id"],
            tenant=row["tenant"],
            subject=subject,
            scopes=frozenset(scopes),
            name=name,
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            revoked_at=row["revoked_at"],
            last_used_at=row["last_used_at"],
            rotated_to=row["rotated_to"],
        )

    def _sealer(self, tenant: str) -> Sealer:
        return Sealer(self._keyring, _PURPOSE, tenant=tenant)

    def _prepare(self) -> None:
        _metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            if connection.execute(sa.select(_changes.c.number)).first() is None:
                connection.execute(sa.insert(_changes).values(id=1, number=0))
            known = {row.version: row.fingerprint for row in connection.execute(sa.select(_ring))}
            for version in self._keyring.versions:
                fingerprint = self._keyring.key("fingerprint", version=version)[:8].hex()
                if known.get(version, fingerprint) != fingerprint:
                    raise StoreError(
                        "the API keys were made under another master key, so none of them would be known; give "
                        "SEAWALL_MASTER_KEY, or the key file, that they were made with, or start a new folder"
                    )
                if version not in known:
                    connection.execute(sa.insert(_ring).values(version=version, fingerprint=fingerprint))


class KeyChange:
    """One change under way."""

    def __init__(self, connection: sa.Connection, number: int, rows: KeyRows) -> None:
        self._connection = connection
        self._number = number
        self._rows = rows

    def find(self, key_id: str) -> ApiKey:
        """Return a key as it is within this change; NoSuchKey where there is none."""
        return self._rows.find(self._connection, key_id)

    def insert(self, key: ApiKey, digest: bytes) -> None:
        """Add a key."""
        row = self._rows.sealed(key) | {"digest": digest, "change": self._number}
        self._connection.execute(sa.insert(_keys).values(**row))

    def of(self, tenant: str, subject: str) -> list[ApiKey]:
        """Return somebody's keys within this change."""
        return [key for key in self._rows.opened(self._connection, tenant) if key.subject == subject]

    def forget(self, key: ApiKey, now: float) -> None:
        """End a key and say no more whose it was."""
        nobodys = replace(key, subject=FORGOTTEN, name="")
        ended = now if key.revoked_at is None else key.revoked_at
        self.update(key.id, sealed=self._rows.sealed(nobodys)["sealed"], revoked_at=ended)

    def update(self, key_id: str, **values: Any) -> None:
        """Write columns of a key."""
        of = sa.update(_keys).where(_keys.c.id == key_id)
        self._connection.execute(of.values(change=self._number, **values))


def open_rows(folder: Path, keyring: Keyring) -> KeyRows:
    """Open `keys.db` in a state folder; StoreError where it was written under another master key."""
    return KeyRows(open_sqlite(folder / "keys.db"), keyring)


def _asked(work: Callable[[], T]) -> T:
    try:
        return work()
    except SQLAlchemyError as error:
        # Only its kind: a driver's message may quote what was to be written.
        raise StoreError(
            f"the API keys cannot be read or written ({type(error).__name__}), and nothing was changed; look at the "
            "disk that their database is on"
        ) from None
