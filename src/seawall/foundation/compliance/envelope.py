"""Envelope encryption: a key for each person, wrapped by a key of the tenant, wrapped by a master key.

Content is sealed under the person's key. Whoever destroys that one key, 32 bytes, makes all of the person's content
unreadable at once, wherever copies of it are; and a key above is changed without touching the content below.
"""

import os
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.sealing import Sealer
from seawall.foundation.errors import StoreError

_MAGIC = b"SD\x01"
_NONCE_BYTES = 12
_LEAST = len(_MAGIC) + _NONCE_BYTES + 16


class MasterKeys(Protocol):
    """What keeps the keys above all others: a key file, or a key management service.

    `context` must be given again to unwrap. Asked seldom: once a tenant and process. May block.
    """

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a key under the current master key."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return the key; StoreError where it cannot be had."""
        ...


class LocalMasterKeys:
    """Master keys from a key file or the environment: `MasterKeys` on a `Keyring`."""

    def __init__(self, keyring: Keyring) -> None:
        self._sealer = Sealer(keyring, "tenant keys")

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a key under the current master key."""
        return self._sealer.seal(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return the key; StoreError where it was wrapped by another keyring, or altered."""
        return self._sealer.open(wrapped, context)


class DataKey:
    """One key's AES-256-GCM: content sealed with it is 31 bytes longer, and opens only for the same context.

    Random nonces make a key good for 2^32 records (NIST SP 800-38D, 8.3).
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @staticmethod
    def fresh() -> bytes:
        """Make 32 random bytes to be one."""
        return AESGCM.generate_key(256)

    def seal(self, content: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate; `context` is authenticated and not kept."""
        nonce = os.urandom(_NONCE_BYTES)
        return _MAGIC + nonce + self._cipher.encrypt(nonce, content, _MAGIC + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed; StoreError for another key or context, or one bit that was changed."""
        if len(sealed) < _LEAST or not sealed.startswith(_MAGIC):
            raise StoreError(
                f"not a sealed record: {len(sealed)} bytes without the expected header; it was cut short, or written "
                "by something else; restore it from a backup"
            )
        nonce, content = (
            sealed[len(_MAGIC) : len(_MAGIC) + _NONCE_BYTES],
            sealed[len(_MAGIC) + _NONCE_BYTES :],
        )
        try:
            return self._cipher.decrypt(nonce, content, _MAGIC + context)
        except InvalidTag:
            raise StoreError(
                "cannot open a record: its key is another one, it was altered, or it belongs elsewhere; restore it "
                "from a backup"
            ) from None

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "DataKey()"
