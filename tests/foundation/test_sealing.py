"""Sealing: what was sealed comes back whole or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.sealing import Sealer
from seawall.foundation.errors import StoreError

KEY = "9f2c81d04be7a35f6610c8d97b3ea4520f8d1c6bb7e94a2358d0f16c9ae37b41"
OTHER = "05b7e1c94f3a82d66c1e90ab57f24d38e6b09c71f5a4832d9b60c7e81fd25a3c"
RING = Keyring.from_hex(KEY)


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_is_sealed_opens(plaintext: bytes, context: bytes) -> None:
    """Sealing and opening with the same key and context is the identity."""
    sealer = Sealer(RING, "engine")
    assert sealer.open(sealer.seal(plaintext, context), context) == plaintext


@given(st.binary(max_size=60), st.data())
def test_any_changed_bit_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    """Flipping any one bit of a sealed record, header included, makes it unreadable."""
    sealer = Sealer(RING, "engine")
    sealed = bytearray(sealer.seal(plaintext, b"row 1"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StoreError):
        sealer.open(bytes(sealed), b"row 1")


@given(st.binary(max_size=60), st.integers(1, 92))
def test_a_cut_record_is_noticed(plaintext: bytes, cut: int) -> None:
    """A record that lost its end is refused, however much of it is left."""
    sealer = Sealer(RING, "engine")
    with pytest.raises(StoreError):
        sealer.open(sealer.seal(plaintext, b"")[:-cut], b"")


@pytest.mark.parametrize(
    ("opener", "context"),
    [
        (Sealer(RING, "ledger"), b"row 1"),
        (Sealer(RING, "engine", tenant="acme"), b"row 1"),
        (Sealer(Keyring.from_hex(OTHER), "engine"), b"row 1"),
        (Sealer(RING, "engine"), b"row 2"),
    ],
)
def test_another_purpose_tenant_key_or_place_cannot_open(opener: Sealer, context: bytes) -> None:
    """A record opens for its purpose, tenant, key and context only, and the message says what to check."""
    sealed = Sealer(RING, "engine").seal(b"secret", b"row 1")
    with pytest.raises(StoreError, match="key file") as refused:
        opener.open(sealed, context)
    assert "secret" not in str(refused.value)


def test_old_records_open_after_rotation_and_not_after_destruction() -> None:
    """A rotated keyring opens what the old key sealed, until that key is destroyed."""
    old = Sealer(RING, "engine").seal(b"x", b"")
    assert Sealer(Keyring.from_hex(f"{KEY}\n{OTHER}"), "engine").open(old, b"") == b"x"
    with pytest.raises(StoreError, match="version 1"):
        Sealer(Keyring.from_hex(f"-\n{OTHER}"), "engine").open(old, b"")


def test_the_same_text_never_seals_the_same() -> None:
    """Two records of one text do not show that they are equal."""
    sealer = Sealer(RING, "engine")
    assert sealer.seal(b"x", b"") != sealer.seal(b"x", b"")


def test_foreign_bytes_are_named_as_such() -> None:
    """Bytes that were never sealed are reported as that, not as tampering."""
    with pytest.raises(StoreError, match="not a sealed record"):
        Sealer(RING, "engine").open(b"{}" * 40, b"")
