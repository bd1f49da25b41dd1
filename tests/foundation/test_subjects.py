"""People have keys of their own, on SQLite and on Postgres: found under every name, shredded for good, rotated under load."""

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from seawall.foundation.compliance.envelope import DataKey
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import StoreError
from seawall.foundation.subjects.book import Erased, SubjectBook
from seawall.foundation.subjects.tables import TENANT_KEYS
from seawall.testing.clock import FakeClock

ZOE = "zoe@example.com"
ONE, TWO = secrets.token_hex(32), secrets.token_hex(32)


@pytest.fixture
def book(where: Path | str) -> Iterator[SubjectBook]:
    opened = SubjectBook(where, Keyring.from_hex(ONE), clock=FakeClock())
    yield opened
    opened.close()


def another(where: Path | str, ring: str = ONE) -> SubjectBook:
    """Open the same people in what might be another process."""
    return SubjectBook(where, Keyring.from_hex(ring), clock=FakeClock())


def test_a_person_has_one_key_in_every_process(book: SubjectBook, where: Path | str) -> None:
    """Met twice, by two processes, by name or by record: one id, one key; another tenant's is another."""
    first = book.meet("acme", ZOE)
    sealed = first.key.seal(b"content", b"here")
    other = another(where)
    again = other.meet("acme", ZOE)
    (name,) = other.names("acme", ZOE)
    assert again.id == first.id == other.meet_named("acme", [name])[name].id
    assert again.key.open(sealed, b"here") == b"content"
    stranger = other.meet("globex", ZOE)
    assert stranger.id != first.id
    for key, context in ((stranger.key, b"here"), (first.key, b"there")):
        with pytest.raises(StoreError, match="cannot open"):
            key.open(sealed, context)
    with pytest.raises(Erased):
        other.get("globex", first.id)
    other.close()


def test_a_shredded_key_is_gone_everywhere(book: SubjectBook, where: Path | str) -> None:
    """In this process at once, in another after its next refresh; the person may come back as somebody new."""
    other = another(where)
    subject = book.meet("acme", ZOE)
    assert other.get("acme", subject.id).id == subject.id
    book.shred("acme", [subject.id])
    with pytest.raises(Erased):
        book.get("acme", subject.id)
    other.refresh()
    with pytest.raises(Erased):
        other.get("acme", subject.id)
    assert book.find("acme", ZOE) == []
    assert book.meet("acme", ZOE).id != subject.id
    other.close()


def test_names_survive_a_new_master_key(book: SubjectBook, where: Path | str) -> None:
    """Under a ring with one key more a person is who they were, by the old name and by the new."""
    subject = book.meet("acme", ZOE)
    sealed = subject.key.seal(b"content", b"")
    (old,) = book.names("acme", ZOE)
    later = another(where, f"{ONE}\n{TWO}")
    assert later.meet("acme", ZOE).id == subject.id
    new, older = later.names("acme", ZOE)
    assert older == old != new
    assert later.meet_named("acme", [new, old])[new].id == subject.id
    assert [one.id for one in later.find("acme", ZOE)] == [subject.id]
    assert later.wrap_anew() == 1
    # The older master key can be destroyed now.
    last = another(where, f"-\n{TWO}")
    assert last.meet("acme", ZOE).key.open(sealed, b"") == b"content"
    behind = another(where)
    with pytest.raises(StoreError, match="key version 2"):
        behind.meet("acme", "somebody new")
    for one in (later, last, behind):
        one.close()


def test_a_tenants_key_is_changed_while_others_work(book: SubjectBook, where: Path | str) -> None:
    """All people stay readable, those who come meanwhile too, and the old key is gone."""
    people = [book.meet("acme", f"u-{n}") for n in range(1_200)]
    sealed = {one.id: one.key.seal(one.id.encode(), b"") for one in people}
    done = threading.Event()
    came: list[str] = []

    def work() -> None:
        other = another(where)
        while not done.is_set():
            other.refresh()
            subject = other.meet("acme", f"new-{len(came)}")
            sealed[subject.id] = subject.key.seal(subject.id.encode(), b"")
            came.append(subject.id)
            assert other.get("acme", people[len(came) % 1_200].id)
        other.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert book.rotate("acme") >= 1_200
    finally:
        done.set()
        thread.join()
    fresh = another(where)
    for subject_id in [*(one.id for one in people), *came]:
        assert fresh.get("acme", subject_id).key.open(sealed[subject_id], b"") == subject_id.encode()
    with fresh.engine.connect() as connection:
        assert connection.execute(sa.select(TENANT_KEYS.c.version)).scalars().all() == [2]
    fresh.close()


def test_a_rotation_that_was_cut_short_goes_on(book: SubjectBook) -> None:
    """Called again it takes the key that is there, and makes no third."""
    people = [book.meet("acme", f"u-{n}") for n in range(3)]
    with book.engine.begin() as connection:
        book._tenants.add(connection, "acme")
    assert book.rotate("acme") == 3
    with book.engine.connect() as connection:
        assert connection.execute(sa.select(TENANT_KEYS.c.version)).scalars().all() == [2]
    assert all(book.get("acme", one.id) for one in people)


def test_what_holds_for_a_person_is_known_everywhere(book: SubjectBook, where: Path | str) -> None:
    """Restricted and held, in every process after its refresh, until lifted."""
    other = another(where)
    book.restrict("acme", ZOE, on=True)
    book.hold("acme", ZOE, "Zoë Testperson v. Acme")
    other.refresh()
    (subject,) = other.find("acme", ZOE)
    assert (subject.restricted, subject.held, other.is_restricted("acme", ZOE)) == (True, True, True)
    assert list(other.held()) == [subject.id]
    book.restrict("acme", ZOE, on=False)
    assert (book.release("acme", ZOE), book.release("acme", ZOE)) == (True, False)
    other.refresh()
    assert [other.is_restricted(tenant, ZOE) for tenant in ("acme", "globex")] == [False, False]
    assert list(other.held()) == []
    other.close()


def test_nothing_shows_who_they_are(book: SubjectBook, where: Path | str, tmp_path: Path) -> None:
    """Neither files nor what is printed hold a name, a reason or a key."""
    book.hold("acme", ZOE, "Zoë Testperson v. Acme")
    assert repr(book.meet("acme", ZOE).key) == "DataKey()"
    if isinstance(where, Path):
        raw = b"".join(path.read_bytes() for path in where.iterdir())
        assert not any(mark in raw for mark in (b"zoe", b"Testperson", b"example.com"))


@pytest.mark.parametrize("damage", [b"", b"SD\x01", b"SD\x01" + b"\0" * 40, b"XX\x01" + b"\0" * 40])
def test_what_was_altered_does_not_open(damage: bytes) -> None:
    """A record that was cut, forged or is none at all is an error that says so."""
    with pytest.raises(StoreError):
        DataKey(DataKey.fresh()).open(damage, b"")
