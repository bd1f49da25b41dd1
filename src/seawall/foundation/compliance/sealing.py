"""Records that can be neither read nor altered without the key: AES-256-GCM (NIST SP 800-38D)."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import StoreError

_MAGIC = b"SW\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16
_HEADER_BYTES = len(_MAGIC) + 2


class Sealer:
    """Seals and opens bytes for one purpose (and tenant, where there is one).

    Sealed: 3 bytes `SW` and format, 2 bytes key version, 12 bytes nonce, ciphertext, 16 bytes tag: 33 bytes
    longer than the plaintext, whose length shows. Random nonces make one key good for 2^32 records (SP 800-38D,
    8.3); rotate the keyring before that. It does not stop a record from being deleted or put back in an older
    state: put what distinguishes records, such as their id, into `context`.
    """

    __slots__ = ("_ciphers", "_keyring", "_of")

    def __init__(self, keyring: Keyring, purpose: str, *, tenant: str = "") -> None:
        self._keyring = keyring
        self._of = (f"seal:{purpose}", tenant)
        self._ciphers: dict[int, AESGCM] = {}

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate; `context` is authenticated, not kept, and must be given again to open."""
        version = self._keyring.current
        header = _MAGIC + version.to_bytes(2, "big")
        nonce = os.urandom(_NONCE_BYTES)
        return header + nonce + self._cipher(version).encrypt(nonce, plaintext, header + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed; StoreError where the key or context is another, or a bit was changed."""
        if len(sealed) < _HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES or not sealed.startswith(_MAGIC):
            raise StoreError(
                f"not a sealed record: {len(sealed)} bytes without the expected header; it was cut short, or "
                "written by something else; restore it from a backup"
            )
        header, nonce = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES]
        version = int.from_bytes(header[len(_MAGIC) :], "big")
        try:
            cipher = self._cipher(version)
        except KeyError:
            raise StoreError(
                f"the record was sealed with key version {version}, the keyring holds {list(self._keyring.versions)}; "
                "start with the key file that was in use then (a destroyed key cannot be replaced)"
            ) from None
        try:
            return cipher.decrypt(nonce, sealed[_HEADER_BYTES + _NONCE_BYTES :], header + context)
        except InvalidTag:
            raise StoreError(
                f"cannot open a record sealed with key version {version}: the key is another one, the record was "
                "altered, or it belongs elsewhere; check that the key file is the one it was written with"
            ) from None

    def _cipher(self, version: int) -> AESGCM:
        found = self._ciphers.get(version)
        if found is None:
            purpose, tenant = self._of
            found = self._ciphers[version] = AESGCM(
                self._keyring.key(purpose, tenant=tenant, version=version)
            )
        return found
