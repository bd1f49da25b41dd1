"""A real Postgres for tests, on a free loopback port, where this machine has one installed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def _folder_of_binaries() -> Path | None:
    found = shutil.which("postgres")
    folder = None if found is None else Path(found).resolve().parent
    return folder if folder is not None and (folder / "initdb").exists() else None


def _user() -> str | None:
    """Return whom it runs as; Postgres refuses to be run by root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="module")
def postgres_port() -> Iterator[int]:
    """Give the port of a server of the module's own, which trusts its callers and keeps nothing."""
    binaries, user = _folder_of_binaries(), _user()
    if binaries is None:
        pytest.skip("no Postgres is installed here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    room = Path(tempfile.mkdtemp(prefix="seawall-pg-"))
    if user is not None:
        shutil.chown(room, user)
    data = str(room / "data")
    try:
        making = [
            str(binaries / "initdb"),
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "tester",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        subprocess.run(making, user=user, cwd=room, check=True, capture_output=True)
        running = [str(binaries / "pg_ctl"), "-D", data, "-w", "-s"]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        starting = [*running, "-o", options, "-l", str(room / "log"), "start"]
        subprocess.run(starting, user=user, cwd=room, check=True)
        yield port
        subprocess.run([*running, "-m", "immediate", "stop"], user=user, cwd=room, check=True)
    finally:
        shutil.rmtree(room)
