"""Where records are kept: a file in a state folder, or a Postgres that several machines share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from seawall.foundation.errors import ConfigError
from seawall.foundation.storage.sqlite import open_sqlite

_POSTGRES = ("postgresql://", "postgres://", "postgresql+psycopg://")
# Any number of our own: whoever makes tables waits for whoever else does.
_PREPARING = 7_325_521


def open_database(where: Path | str, file: str) -> sa.Engine:
    """Open `file` in a state folder, or a Postgres by its URL; ConfigError for another URL."""
    if isinstance(where, Path) or "://" not in where:
        return open_sqlite(Path(where) / file)
    scheme = next((scheme for scheme in _POSTGRES if where.startswith(scheme)), None)
    if scheme is None:
        raise ConfigError("a database is a folder or a URL that begins with postgresql://")
    try:
        return sa.create_engine(
            "postgresql+psycopg://" + where.removeprefix(scheme), hide_parameters=True, pool_pre_ping=True
        )
    except ImportError:
        raise ConfigError("a Postgres URL needs psycopg 3; install psycopg, or name a folder") from None


def is_sqlite(where: sa.Engine | sa.Connection) -> bool:
    """Whether it is a file, with one writer at a time."""
    return where.dialect.name == "sqlite"


def begin_write(connection: sa.Connection) -> None:
    """Take the write lock before the first look, where there is one: what is read must not change until it is written."""
    if is_sqlite(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def make_tables(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Make the tables that are not there; several processes may do so at once."""
    if not is_sqlite(connection):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARING)))
    metadata.create_all(connection)


def insert_new(
    connection: sa.Connection, table: sa.Table, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> int:
    """Insert rows but those whose primary key is taken; how many were inserted, where one was given."""
    insert = sqlite.insert if is_sqlite(connection) else postgresql.insert
    # Postgres' driver would not say otherwise.
    statement = insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return connection.execute(statement, rows).rowcount  # type: ignore[arg-type]
