"""Where records are kept: a file in a state folder, or a Postgres that several machines share."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from seawall.foundation.errors import ConfigError, StoreError
from seawall.foundation.storage.sqlite import open_sqlite

_POSTGRES = ("postgresql://", "postgres://", "postgresql+psycopg://")
# Any numbers of our own: whoever makes tables, or writes alone, waits for whoever else does.
_PREPARING, _ALONE = 7_325_521, 7_325_522


# Seconds for which a log may be read by others before that is an error.
_SETTLING = 10.0


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


def begin_alone(connection: sa.Connection) -> None:
    """Let no other writer of the audit in until the transaction ends, whatever database it is."""
    if is_sqlite(connection):
        begin_write(connection)
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ALONE)))


def make_tables(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Make the tables that are not there, and the columns and indexes that a table of an earlier version lacks.

    Several processes may do so at once. A column that may be lacking has a `server_default`.
    """
    if not is_sqlite(connection):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARING)))
    metadata.create_all(connection)
    for table in metadata.sorted_tables:
        _complete(connection, table)


def settle(engine: sa.Engine, tables: Sequence[str]) -> None:
    """Have what was deleted from tables be gone from the files: StoreError where readers keep it there for long.

    SQLite overwrites deleted rows in its file and empties its log; Postgres makes their room free to be reused, and keeps
    its log until it needs that no more.
    """
    if not is_sqlite(engine):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in tables:
                connection.execute(sa.text(f"VACUUM {table}"))
        return
    until = time.monotonic() + _SETTLING
    while True:
        with engine.connect() as connection:
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
        if not busy:
            return
        if time.monotonic() > until:
            raise StoreError(
                "a database's log could not be emptied, as others read it all the time; try again"
            )
        time.sleep(0.05)


def _complete(connection: sa.Connection, table: sa.Table) -> None:
    there = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in there:
            # Names and types are our own.
            new = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
            connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {new}"))
    for index in table.indexes:
        index.create(connection, checkfirst=True)


def insert_new(
    connection: sa.Connection, table: sa.Table, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> int:
    """Insert rows but those whose primary key is taken; how many were inserted, where one was given."""
    insert = sqlite.insert if is_sqlite(connection) else postgresql.insert
    # Postgres' driver would not say otherwise.
    statement = insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return connection.execute(statement, rows).rowcount  # type: ignore[arg-type]
