"""The keys of tenants: made when first asked for, changed by command, each wrapped by the master key."""

from typing import Any

import sqlalchemy as sa

from seawall.foundation.clock import Clock
from seawall.foundation.compliance.envelope import DataKey, MasterKeys
from seawall.foundation.errors import StoreError
from seawall.foundation.storage.database import begin_write, insert_new
from seawall.foundation.subjects.tables import SUBJECTS, TENANT_KEYS

_AT_ONCE = 500


class TenantKeys:
    """Opens and makes tenants' keys, within a transaction that somebody else began; keeps what it opened in memory."""

    def __init__(self, master: MasterKeys, clock: Clock) -> None:
        self._master = master
        self._clock = clock
        self._opened: dict[tuple[str, int], DataKey] = {}

    def current(self, connection: sa.Connection, tenant: str) -> tuple[int, DataKey]:
        """Return the version new keys are wrapped with, and its key; made if there is none.

        It cannot be retired before the transaction ends.
        """
        found = self._newest(connection, tenant)
        if found is None:
            insert_new(connection, TENANT_KEYS, self._made(tenant, 1))
            found = self._newest(connection, tenant)
        assert found is not None
        return found.version, self._open(found)

    def of(self, connection: sa.Connection, tenant: str, version: int) -> DataKey:
        """Return one version's key; StoreError where it is gone."""
        known = self._opened.get((tenant, version))
        if known is not None:
            return known
        which = sa.and_(TENANT_KEYS.c.tenant == tenant, TENANT_KEYS.c.version == version)
        found = connection.execute(sa.select(TENANT_KEYS).where(which)).one_or_none()
        if found is None:
            raise StoreError(
                f"key {version} of the tenant is gone, so what it wrapped cannot be read; restore the database of "
                "subjects from a backup"
            )
        return self._open(found)

    def add(self, connection: sa.Connection, tenant: str) -> None:
        """Make a new key the current one."""
        found = self._newest(connection, tenant)
        insert_new(connection, TENANT_KEYS, self._made(tenant, 1 if found is None else found.version + 1))

    def forget(self) -> None:
        """Open each anew when it is asked for next."""
        self._opened.clear()

    def wrap_anew(self, connection: sa.Connection) -> int:
        """Wrap every tenant's keys under the current master key; how many they were."""
        rows = connection.execute(sa.select(TENANT_KEYS).with_for_update()).all()
        for row in rows:
            wrapped = self._master.wrap(self._master.unwrap(row.wrapped, _context(row)), _context(row))
            connection.execute(sa.update(TENANT_KEYS).where(_is(row)).values(wrapped=wrapped))
        return len(rows)

    def _newest(self, connection: sa.Connection, tenant: str) -> Any:
        query = sa.select(TENANT_KEYS).where(TENANT_KEYS.c.tenant == tenant)
        # Shared with others that make keys, and not with who retires it.
        query = query.order_by(TENANT_KEYS.c.version.desc()).limit(1).with_for_update(read=True)
        return connection.execute(query).one_or_none()

    def _made(self, tenant: str, version: int) -> dict[str, Any]:
        wrapped = self._master.wrap(DataKey.fresh(), _name(tenant, version))
        return {"tenant": tenant, "version": version, "wrapped": wrapped, "created_at": self._clock.time()}

    def _open(self, row: Any) -> DataKey:
        known = self._opened.get((row.tenant, row.version))
        if known is None:
            known = DataKey(self._master.unwrap(row.wrapped, _context(row)))
            self._opened[row.tenant, row.version] = known
        return known


def rotate(engine: sa.Engine, keys: TenantKeys, tenant: str) -> int:
    """Give a tenant a new key, wrap every person's under it and retire the old ones; how many people that were.

    In steps of 500, so that others write meanwhile. Killed in between and called again it goes on; what was sealed stays
    readable throughout.
    """
    with engine.begin() as connection:
        begin_write(connection)
        versions = connection.execute(
            sa.select(sa.func.count()).select_from(TENANT_KEYS).where(TENANT_KEYS.c.tenant == tenant)
        ).scalar_one()
        # More than one is a rotation that was not finished.
        if versions <= 1:
            keys.add(connection, tenant)
    wrapped = 0
    while done := _step(engine, keys, tenant):
        wrapped += done
    return wrapped


def _step(engine: sa.Engine, keys: TenantKeys, tenant: str) -> int:
    """Wrap some people's keys; 0, with the old keys retired, where there are none left."""
    with engine.begin() as connection:
        begin_write(connection)
        version, key = keys.current(connection, tenant)
        old = sa.and_(SUBJECTS.c.tenant == tenant, SUBJECTS.c.key_version < version)
        rows = connection.execute(sa.select(SUBJECTS).where(old).limit(_AT_ONCE).with_for_update()).all()
        for row in rows:
            context = row.id.encode()
            plain = keys.of(connection, tenant, row.key_version).open(row.wrapped, context)
            changed = {"wrapped": key.seal(plain, context), "key_version": version}
            connection.execute(sa.update(SUBJECTS).where(SUBJECTS.c.id == row.id).values(changed))
        if not rows:
            _retire(connection, tenant, version, old)
        return len(rows)


def _retire(connection: sa.Connection, tenant: str, version: int, old: sa.ColumnElement[bool]) -> None:
    which = sa.and_(TENANT_KEYS.c.tenant == tenant, TENANT_KEYS.c.version < version)
    # Waits for whoever is making a person's key under an old one, and then looks again.
    connection.execute(sa.select(TENANT_KEYS.c.version).where(which).with_for_update()).all()
    left = connection.execute(sa.select(sa.func.count()).select_from(SUBJECTS).where(old)).scalar_one()
    if not left:
        connection.execute(sa.delete(TENANT_KEYS).where(which))


def _name(tenant: str, version: int) -> bytes:
    return f"{version}:{tenant}".encode()


def _context(row: Any) -> bytes:
    return _name(row.tenant, row.version)


def _is(row: Any) -> sa.ColumnElement[bool]:
    return sa.and_(TENANT_KEYS.c.tenant == row.tenant, TENANT_KEYS.c.version == row.version)
