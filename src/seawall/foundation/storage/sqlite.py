"""SQLite as Seawall wants it: durable across a power cut, readable while written."""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine, create_engine

from seawall.foundation.errors import StoreError


def open_sqlite(path: Path) -> Engine:
    """Open (or create, for the owner's eyes only) a SQLite database in WAL mode with synchronous=FULL.

    WAL is 4 to 7 times faster than SQLite's default journal for small commits; FULL keeps a commit that was
    acknowledged before a power cut. The journal mode is a property of the file, the rest of each connection.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(
            f"cannot open the database {path}: {error.strerror}; choose a folder you can write to"
        ) from error
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def pragmas(connection: Any, _record: object) -> None:
        # Transactions are begun by the dialect; IMMEDIATE makes two writers queue instead of failing half-way.
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA foreign_keys=ON")
        # Deleted content is overwritten, so that what expired cannot be read out of the file's free pages.
        connection.execute("PRAGMA secure_delete=ON")

    _ = pragmas
    return engine
