"""Keys that one process changes while another serves: two real processes on one database."""

import os
import secrets
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from seawall.edge.auth.key_store import KeyStore, open_key_store
from seawall.foundation.compliance.keyring import Keyring

MASTER = secrets.token_hex(32)
# Says when it serves, then whenever the fate of the token it was given changes.
SERVING = """
import os, sys, time
from pathlib import Path
from seawall.edge.auth.key_store import open_key_store
from seawall.foundation.compliance.keyring import Keyring

with open_key_store(Path(sys.argv[1]), Keyring.from_hex(os.environ["MASTER"])) as keys:
    before = None
    while True:
        now = getattr(keys.verify(sys.argv[2]), "reason", "taken")
        if now != before:
            print(now, flush=True)
            before = now
        time.sleep(0.002)
"""
MAKING = """
import os, sys
from pathlib import Path
from seawall.edge.auth.key_store import open_key_store
from seawall.foundation.compliance.keyring import Keyring

keys = open_key_store(Path(sys.argv[1]), Keyring.from_hex(os.environ["MASTER"]))
for number in range(25):
    made = keys.create("acme", f"{sys.argv[2]}-{number}")
    if number % 2:
        keys.revoke(made.key.id)
    print(made.token, flush=True)
keys.close()
"""


def run(program: str, folder: Path, argument: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder), argument],
        env=os.environ | {"MASTER": MASTER},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def store(tmp_path: Path) -> Generator[KeyStore]:
    with closing(open_key_store(tmp_path, Keyring.from_hex(MASTER))) as keys:
        yield keys


def test_a_serving_process_hears_of_a_revocation(store: KeyStore, tmp_path: Path) -> None:
    """A key that is revoked in one process is refused in another that nobody told; how soon is measured elsewhere."""
    made = store.create("acme", "ann")
    with run(SERVING, tmp_path, made.token) as serving:
        try:
            assert serving.stdout is not None
            assert serving.stdout.readline() == "taken\n"
            store.revoke(made.key.id)
            assert serving.stdout.readline() == "revoked\n"
        finally:
            serving.kill()


def test_processes_change_keys_at_once(store: KeyStore, tmp_path: Path) -> None:
    """Nothing is lost or mixed up where several processes make and revoke keys in the same file."""
    making = [run(MAKING, tmp_path, name) for name in ("one", "two")]
    said = [process.communicate(timeout=60)[0].split() for process in making]
    assert [process.returncode for process in making] == [0, 0]
    store.refresh()
    for tokens in said:
        fates = [getattr(store.verify(token), "reason", "taken") for token in tokens]
        assert fates == ["revoked" if number % 2 else "taken" for number in range(25)]
    assert len(store.all()) == 50
