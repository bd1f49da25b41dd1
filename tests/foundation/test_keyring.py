"""The keyring: keys that are apart, files that are private, messages that help."""

import os
import pickle
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import ConfigError

KEY = "9f2c81d04be7a35f6610c8d97b3ea4520f8d1c6bb7e94a2358d0f16c9ae37b41"
OTHER = "05b7e1c94f3a82d66c1e90ab57f24d38e6b09c71f5a4832d9b60c7e81fd25a3c"
NAMES = st.text(max_size=8)


@given(NAMES, NAMES.filter(bool), NAMES, NAMES.filter(bool))
def test_purposes_and_tenants_never_share_a_key(
    tenant: str, purpose: str, other_tenant: str, other: str
) -> None:
    """Two derived keys are equal exactly where tenant and purpose are."""
    ring = Keyring.from_hex(KEY)
    same = (tenant, purpose) == (other_tenant, other)
    assert (ring.key(purpose, tenant=tenant) == ring.key(other, tenant=other_tenant)) is same


def test_derivation_is_fixed() -> None:
    """A key derived today must be derived again by every later release: records depend on it."""
    assert Keyring.from_hex(KEY).key("pseudonym", tenant="acme").hex().startswith("3a8a24114aa26f39")


def test_rotation_keeps_old_versions() -> None:
    """An appended key becomes current; the old one still derives what it derived before."""
    before, after = Keyring.from_hex(KEY), Keyring.from_hex(f"{KEY}\n{OTHER}\n")
    assert after.current == 2
    assert after.key("x", version=1) == before.key("x")
    assert after.key("x") != before.key("x")


def test_destroyed_keys_leave_a_gap() -> None:
    """A key replaced by a dash is gone, and the versions after it keep their numbers."""
    ring = Keyring.from_hex(f"-\n{OTHER}")
    assert ring.versions == (2,)
    with pytest.raises(KeyError):
        ring.key("x", version=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "at least one key"),
        ("abcd", "2 bytes"),
        ("zz" * 32, "not hexadecimal"),
        ("00" * 32, "not random"),
        (bytes(range(32)).hex(), "not random"),
        ("0123456789abcdef" * 4, "not random"),
        (b"correct horse battery staple 123".hex(), "not random"),
        (f"{KEY}\n-", "destroyed"),
    ],
)
def test_bad_keys_are_refused_with_a_way_out(text: str, expected: str) -> None:
    """What is no random key is refused, with the reason, and without the key in the message."""
    with pytest.raises(ConfigError, match=expected) as refused:
        Keyring.from_hex(text)
    assert len(text) < 8 or text not in str(refused.value)


def test_a_missing_file_is_made_once_and_privately(tmp_path: Path) -> None:
    """`create` makes a file only its owner can read, leaves nothing beside it, and keeps what it made."""
    path = tmp_path / "keys" / "master.key"
    made = Keyring.from_file(path, create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert Keyring.from_file(path, create=True).fingerprint() == made.fingerprint()
    assert made.fingerprint() != Keyring.ephemeral().fingerprint()


def test_a_missing_file_is_not_made_unasked(tmp_path: Path) -> None:
    """Without `create` a missing key is an error: a new key would orphan every record."""
    with pytest.raises(ConfigError, match="no key file"):
        Keyring.from_file(tmp_path / "master.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A key file open to group or world is refused with the command that mends it."""
    path = tmp_path / "master.key"
    path.write_text(KEY)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        Keyring.from_file(path)


def test_a_folder_or_pipe_is_no_key_file(tmp_path: Path) -> None:
    """What is not a regular file is refused instead of read."""
    with pytest.raises(ConfigError, match="not a regular file"):
        Keyring.from_file(tmp_path)


def test_keys_do_not_show_or_travel() -> None:
    """Neither printing nor pickling a keyring gives its key away."""
    ring = Keyring.from_hex(KEY)
    assert KEY not in repr(ring)
    assert ring.key("fingerprint").hex() not in repr(ring)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(ring)


def test_the_first_of_two_creators_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another process makes the file in between, its key is the one that is used."""
    path = tmp_path / "master.key"
    link = os.link

    def late(source: Path, target: Path) -> None:
        target.touch(mode=0o600)
        target.write_text(OTHER)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert Keyring.from_file(path, create=True).fingerprint() == Keyring.from_hex(OTHER).fingerprint()
