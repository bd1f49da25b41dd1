"""Signatures that anybody can check and only the holder of the master key can make: Ed25519 (RFC 8032)."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from seawall.foundation.compliance.keyring import Keyring


class Signer:
    """Signs and checks for one purpose. A signature names its key's version, so that it outlives a rotation."""

    __slots__ = ("_keyring", "_keys", "_purpose")

    def __init__(self, keyring: Keyring, purpose: str) -> None:
        self._keyring = keyring
        self._purpose = f"sign:{purpose}"
        self._keys: dict[int, Ed25519PrivateKey] = {}

    def sign(self, content: bytes) -> bytes:
        """Return 2 bytes of key version and 64 bytes of signature."""
        version = self._keyring.current
        return version.to_bytes(2, "big") + self._key(version).sign(content)

    def verify(self, content: bytes, signature: bytes) -> bool:
        """Whether this was signed, by a key that is still on the ring."""
        try:
            key = self._key(int.from_bytes(signature[:2], "big")).public_key()
        except KeyError:
            return False
        return _holds(key, content, signature[2:])

    def sign_document(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a JSON document with `public_key` and `signature` (base64) over all else in it, see `canonical`."""
        version = self._keyring.current
        signed = dict(document) | {"public_key": self.public_key(version)}
        signature = self._key(version).sign(canonical(signed))
        return signed | {"signature": base64.b64encode(signature).decode()}

    def public_key(self, version: int | None = None) -> str:
        """Return a public key as base64 of its 32 bytes; KeyError for a version that is not on the ring."""
        key = self._key(self._keyring.current if version is None else version).public_key()
        return base64.b64encode(key.public_bytes_raw()).decode()

    def public_keys(self) -> dict[int, str]:
        """Return all public keys by version."""
        return {version: self.public_key(version) for version in self._keyring.versions}

    def _key(self, version: int) -> Ed25519PrivateKey:
        found = self._keys.get(version)
        if found is None:
            seed = self._keyring.key(self._purpose, version=version)
            found = self._keys[version] = Ed25519PrivateKey.from_private_bytes(seed)
        return found


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed: JSON with sorted keys and no spaces, in UTF-8, without `signature`."""
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def document_holds(document: Mapping[str, Any], public_key: str) -> bool:
    """Whether a signed document is as it was signed by the holder of this key (base64), whatever key it names itself."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key))
        signature = base64.b64decode(document["signature"])
    except (KeyError, ValueError, TypeError):
        return False
    return _holds(key, canonical(document), signature)


def _holds(key: Ed25519PublicKey, content: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
