"""API keys in a real database: who is let in, what rotation and revocation do, and what holds when the disk does not."""

import sqlite3
import tempfile
import zlib
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from seawall.edge.auth.key_rows import NoSuchKey, open_rows
from seawall.edge.auth.key_store import KeyStore, open_key_store
from seawall.edge.auth.keys import ApiKey, new_token
from seawall.edge.auth.refused import AuthRefused
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import ConfigError, StoreError
from seawall.foundation.events import Event, EventBus, StoreChanged
from seawall.testing import FakeClock

RING = Keyring.ephemeral()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Generator[KeyStore]:
    """Keys that nothing refreshes but the test."""
    with closing(open_key_store(tmp_path, RING, clock=clock)) as keys:
        yield keys


def wait(store: KeyStore, clock: FakeClock, period: str) -> None:
    """Let time pass, in which the store looks at its database as it does."""
    clock.advance(period)
    store.refresh()


def fate(store: KeyStore, token: str) -> str:
    """Return "taken", or the reason of the refusal."""
    found = store.verify(token)
    return found.reason if isinstance(found, AuthRefused) else "taken"


def test_a_key_lets_its_owner_in(store: KeyStore, tmp_path: Path, clock: FakeClock) -> None:
    """At once, and in every process that opens the same folder with the same master key."""
    made = store.create("acme", "ann", scopes=["run"], name="nightly", lasts="90d")
    with closing(open_key_store(tmp_path, RING, clock=clock)) as other:
        for each in (store, other):
            found = each.verify(made.token)
            assert isinstance(found, ApiKey)
            assert (found.tenant, found.subject, found.scopes) == ("acme", "ann", {"run"})
    assert [key.name for key in store.all("acme")] == ["nightly"]
    assert store.all("other") == []


def test_wrong_keys_are_unknown(store: KeyStore) -> None:
    """The wrong secret of a key that is there, and a key that nobody has, read the same to who sent them."""
    made = store.create("acme", "ann")
    _, stranger = new_token()
    forged = _with_checksum(made.token[:16] + stranger[16:59])
    assert store.verify(forged) == AuthRefused("unknown", made.key.id)
    assert store.verify(stranger) == AuthRefused("unknown", "")
    assert AuthRefused("unknown", made.key.id).detail == AuthRefused("unknown").detail


def _with_checksum(body: str) -> str:
    return f"{body}_{zlib.crc32(body.encode()):08x}"


@pytest.mark.parametrize("token", ["", "sw_", "sw_x_y_z", "x" * 68, "sw_" + "é" * 65, "sw_" + "a" * 100_000])
def test_what_is_no_key_is_malformed(store: KeyStore, token: str) -> None:
    """Cut, endless or foreign text is never compared with anything."""
    assert fate(store, token) == "malformed"


def test_a_revoked_key_is_refused_at_once(store: KeyStore, tmp_path: Path, clock: FakeClock) -> None:
    """Here when the call returns, elsewhere with the next look, and after a restart; revoking again changes nothing."""
    made = store.create("acme", "ann")
    with closing(open_key_store(tmp_path, RING, clock=clock)) as other:
        first = store.revoke(made.key.id)
        assert fate(store, made.token) == "revoked"
        assert fate(other, made.token) == "taken"
        other.refresh()
        assert fate(other, made.token) == "revoked"
        clock.advance("1h")
        assert store.revoke(made.key.id).revoked_at == first.revoked_at
    with closing(open_key_store(tmp_path, RING, clock=clock)) as later:
        assert fate(later, made.token) == "revoked"


def test_a_slow_look_undoes_nothing(store: KeyStore) -> None:
    """What was read before a key was revoked here, and is taken up after it, does not let it in again."""
    made = store.create("acme", "ann")
    _, read_before = store._rows.since(-1)
    store.revoke(made.key.id)
    store._apply(read_before)
    assert fate(store, made.token) == "revoked"


def test_a_key_expires(store: KeyStore, clock: FakeClock) -> None:
    """Without anybody looking at the database."""
    made = store.create("acme", "ann", lasts="1h")
    clock.advance(3599)
    assert fate(store, made.token) == "taken"
    clock.advance(1)
    assert fate(store, made.token) == "expired"


def test_rotation_overlaps(store: KeyStore, clock: FakeClock) -> None:
    """Both keys hold for the overlap, then the successor alone, with the same owner and the same length of life."""
    old = store.create("acme", "ann", scopes=["run"], lasts="90d")
    wait(store, clock, "80d")
    new = store.rotate(old.key.id, overlap="24h")
    assert (fate(store, old.token), fate(store, new.token)) == ("taken", "taken")
    assert (new.key.tenant, new.key.subject, new.key.scopes) == ("acme", "ann", {"run"})
    assert new.key.expires_at == clock.time() + 90 * 86400
    wait(store, clock, "24h")
    assert (fate(store, old.token), fate(store, new.token)) == ("expired", "taken")
    assert next(key for key in store.all() if key.id == old.key.id).rotated_to == new.key.id


def test_rotation_gives_no_key_a_longer_life(store: KeyStore, clock: FakeClock) -> None:
    """An overlap beyond the old key's own end is cut; what holds no more, or has a successor, is not rotated."""
    old = store.create("acme", "ann", lasts="1h")
    store.rotate(old.key.id, overlap="24h")
    with pytest.raises(ConfigError, match="is rotated already"):
        store.rotate(old.key.id)
    clock.advance("1h")
    assert fate(store, old.token) == "expired"
    gone = store.create("acme", "ann")
    store.revoke(gone.key.id)
    with pytest.raises(ConfigError, match="is revoked"):
        store.rotate(gone.key.id)
    assert len(store.all()) == 3


def test_there_has_to_be_a_key(store: KeyStore) -> None:
    """Neither revocation nor rotation of a mistyped id passes for done."""
    for act in (store.revoke, store.rotate):
        with pytest.raises(NoSuchKey, match="no API key has this id"):
            act("none")


def test_a_new_master_key_leaves_old_keys_good(tmp_path: Path, clock: FakeClock) -> None:
    """Keys go on under the master key they were made with, until that is destroyed; then they are nobody's."""
    one, two = "a1" + RING.key("x").hex()[2:], "b2" + RING.key("y").hex()[2:]
    with closing(open_key_store(tmp_path, Keyring.from_hex(one), clock=clock)) as store:
        old = store.create("acme", "ann")
    with closing(open_key_store(tmp_path, Keyring.from_hex(f"{one}\n{two}"), clock=clock)) as store:
        new = store.create("acme", "ann")
        assert (fate(store, old.token), fate(store, new.token)) == ("taken", "taken")
    with closing(open_key_store(tmp_path, Keyring.from_hex(f"-\n{two}"), clock=clock)) as store:
        assert (fate(store, old.token), fate(store, new.token)) == ("unknown", "taken")
    with pytest.raises(StoreError, match="made under another master key"):
        open_rows(tmp_path, Keyring.ephemeral())


def test_the_file_tells_neither_keys_nor_people(store: KeyStore, tmp_path: Path) -> None:
    """No token, secret or subject can be read out of it, and it is its owner's alone."""
    made = store.create("acme", "ann@acme.example", name="Ann's laptop", scopes=["run"])
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for text in (made.token, made.token[16:59], "ann@acme.example", "laptop"):
        assert text.encode() not in content
    assert (tmp_path / "keys.db").stat().st_mode & 0o077 == 0


def test_a_row_that_was_altered_opens_nothing(tmp_path: Path, clock: FakeClock) -> None:
    """Who can write to the file without the master key cannot widen a key, move it, or lend it his own digest."""
    with closing(open_key_store(tmp_path, RING, clock=clock)) as store:
        mine, theirs = (
            store.create("acme", "eve", scopes=["run"]),
            store.create("other", "root", scopes=["admin"]),
        )
        good = store.create("acme", "ann")
    for column in ("tenant", "sealed"):
        with closing(sqlite3.connect(tmp_path / "keys.db")) as file, file:
            of = file.execute(f"SELECT {column} FROM api_keys WHERE id = ?", (theirs.key.id,)).fetchone()
            was = file.execute(f"SELECT {column} FROM api_keys WHERE id = ?", (mine.key.id,)).fetchone()
            file.execute(f"UPDATE api_keys SET {column} = ? WHERE id = ?", (*of, mine.key.id))
        with closing(open_key_store(tmp_path, RING, clock=clock)) as store:
            assert (fate(store, mine.token), fate(store, good.token)) == ("unknown", "taken")
            with pytest.raises(StoreError):
                store.all()
        with closing(sqlite3.connect(tmp_path / "keys.db")) as file, file:
            file.execute(f"UPDATE api_keys SET {column} = ? WHERE id = ?", (*was, mine.key.id))
    with closing(sqlite3.connect(tmp_path / "keys.db")) as file, file:
        file.execute(
            "UPDATE api_keys SET digest = (SELECT digest FROM api_keys WHERE id = ?) WHERE id = ?",
            (mine.key.id, theirs.key.id),
        )
    with closing(open_key_store(tmp_path, RING, clock=clock)) as store:
        borrowed = _with_checksum(theirs.token[:16] + mine.token[16:59])
        assert (fate(store, borrowed), fate(store, theirs.token)) == ("unknown", "unknown")


def test_uses_are_written_in_groups(store: KeyStore, tmp_path: Path, clock: FakeClock) -> None:
    """Once a minute a key at most, never by the call that verifies, and never to an earlier time."""
    made = store.create("acme", "ann")
    began = clock.time()
    assert fate(store, made.token) == "taken"
    assert store.all()[0].last_used_at is None
    store.write_used()
    assert store.all()[0].last_used_at == began
    clock.advance(59)
    assert fate(store, made.token) == "taken"
    assert not store._used
    clock.advance(1)
    with closing(open_key_store(tmp_path, RING, clock=clock)) as other:
        assert fate(other, made.token) == "taken"
    assert store.all()[0].last_used_at == began + 60
    store._used[made.key.id] = began
    store.write_used()
    assert store.all()[0].last_used_at == began + 60


def test_keys_go_on_while_the_database_cannot_be_read(tmp_path: Path, clock: FakeClock) -> None:
    """For an hour, and it shows; then none is taken, as any may have been revoked, until it can be read again."""
    heard: list[Event] = []
    with closing(open_key_store(tmp_path, RING, clock=clock, events=EventBus(heard.append))) as store:
        made = store.create("acme", "ann")
        with closing(sqlite3.connect(tmp_path / "keys.db")) as file, file:
            file.execute("ALTER TABLE api_key_changes RENAME TO gone")
        store.refresh()
        store.refresh()
        assert (store.state, fate(store, made.token)) == ("open", "taken")
        with pytest.raises(StoreError, match="nothing was changed"):
            store.revoke(made.key.id)
        assert fate(store, made.token) == "taken"
        clock.advance(3601)
        assert fate(store, made.token) == "key_unavailable"
        assert fate(store, new_token()[1]) == "unknown"
        with closing(sqlite3.connect(tmp_path / "keys.db")) as file, file:
            file.execute("ALTER TABLE gone RENAME TO api_key_changes")
        store.refresh()
        assert (store.state, store.why, fate(store, made.token)) == ("closed", "", "taken")
    assert [(event.store, event.healthy) for event in heard if isinstance(event, StoreChanged)] == [
        ("api keys", False),
        ("api keys", True),
    ]


def test_uses_are_kept_while_they_cannot_be_written(store: KeyStore, tmp_path: Path) -> None:
    """A disk that takes nothing costs no request anything, and no note of use."""
    made = store.create("acme", "ann")
    assert fate(store, made.token) == "taken"
    with closing(sqlite3.connect(tmp_path / "keys.db")) as file, file:
        file.execute("ALTER TABLE api_keys RENAME TO gone")
    store.write_used()
    assert list(store._used) == [made.key.id]
    with closing(sqlite3.connect(tmp_path / "keys.db")) as file, file:
        file.execute("ALTER TABLE gone RENAME TO api_keys")
    store.write_used()
    assert store.all()[0].last_used_at is not None


def test_an_older_database_put_in_place_is_taken_as_it_is(store: KeyStore, tmp_path: Path) -> None:
    """A restored backup counts, whatever this process saw before."""
    kept = store.create("acme", "ann")
    lost = store.create("acme", "bob")
    store.refresh()
    with closing(sqlite3.connect(tmp_path / "keys.db")) as file, file:
        file.execute("DELETE FROM api_keys WHERE id = ?", (lost.key.id,))
        file.execute("UPDATE api_key_changes SET number = 1")
    store.refresh()
    assert (fate(store, kept.token), fate(store, lost.token)) == ("taken", "unknown")


class TwoProcesses(RuleBasedStateMachine):
    """Two stores on one file against a model: who did something knows it at once, the other after a look."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        self.stores = [open_key_store(Path(self.folder.name), RING, clock=self.clock) for _ in range(2)]
        self.tokens: dict[str, str] = {}
        self.ends: dict[str, float] = {}
        self.revoked: set[str] = set()
        self.rotated: set[str] = set()
        self.behind: list[set[str]] = [set(), set()]

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    def wrote(self, by: int, *ids: str) -> None:
        self.behind[1 - by] |= set(ids)
        self.behind[by] -= set(ids)

    @rule(by=st.integers(0, 1), lasts=st.sampled_from([None, "10m", "2h"]))
    def create(self, by: int, lasts: str | None) -> None:
        made = self.stores[by].create("acme", "ann", lasts=lasts)
        self.tokens[made.key.id] = made.token
        self.ends[made.key.id] = float("inf") if made.key.expires_at is None else made.key.expires_at
        self.wrote(by, made.key.id)

    @precondition(lambda self: bool(self.tokens))
    @rule(by=st.integers(0, 1), which=st.integers(0, 99))
    def revoke(self, by: int, which: int) -> None:
        key_id = list(self.tokens)[which % len(self.tokens)]
        self.stores[by].revoke(key_id)
        if key_id not in self.revoked:
            self.revoked.add(key_id)
            self.wrote(by, key_id)

    @precondition(lambda self: bool(self.tokens))
    @rule(by=st.integers(0, 1), which=st.integers(0, 99))
    def rotate(self, by: int, which: int) -> None:
        key_id = list(self.tokens)[which % len(self.tokens)]
        dead = key_id in self.revoked | self.rotated or self.ends[key_id] <= self.clock.time()
        try:
            made = self.stores[by].rotate(key_id, overlap="30m")
        except ConfigError:
            assert dead
            return
        assert not dead
        self.rotated.add(key_id)
        self.ends[key_id] = min(self.ends[key_id], self.clock.time() + 1800)
        self.tokens[made.key.id] = made.token
        self.ends[made.key.id] = float("inf") if made.key.expires_at is None else made.key.expires_at
        self.wrote(by, key_id, made.key.id)

    @rule(by=st.integers(0, 1))
    def look(self, by: int) -> None:
        self.stores[by].refresh()
        self.behind[by].clear()

    @rule(minutes=st.integers(1, 40))
    def wait(self, minutes: int) -> None:
        self.clock.advance(minutes * 60)
        for by in (0, 1):
            self.look(by)

    @invariant()
    def everyone_knows(self) -> None:
        for by, store in enumerate(self.stores):
            for key_id, token in self.tokens.items():
                if key_id not in self.behind[by]:
                    late = "expired" if self.ends[key_id] <= self.clock.time() else "taken"
                    assert fate(store, token) == ("revoked" if key_id in self.revoked else late)


TwoProcesses.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


class TestTwoProcesses(TwoProcesses.TestCase):
    """Runs the model."""
