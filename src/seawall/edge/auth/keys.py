"""API keys: what one looks like, what is kept of it, and when it holds.

A key is `sw_ID_SECRET_CHECKSUM`: 12 and 43 letters or digits and 8 hexadecimal digits, 68 characters in all. The secret is
256 random bits. The checksum (CRC-32 of what stands before it) proves nothing; it tells a typing error from an attack, and
lets scanners for leaked secrets report no false finds. Only an HMAC-SHA-256 of a key is ever kept.
"""

import hmac
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from seawall.foundation.errors import ConfigError

PREFIX = "sw_"
_ALPHABET = string.digits + string.ascii_letters
_ID_LENGTH = 12
# 62^43 is a little more than 2^256.
_SECRET_LENGTH = 43
_ID_END = len(PREFIX) + _ID_LENGTH
_BODY_LENGTH = _ID_END + 1 + _SECRET_LENGTH
_LENGTH = _BODY_LENGTH + 9
_LONGEST_NAME = 256
_LONGEST_SCOPE = 128
_MOST_SCOPES = 64


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret. Times are seconds since the epoch; `rotated_to` is the id of its successor."""

    id: str
    tenant: str
    subject: str = field(repr=False)
    scopes: frozenset[str]
    name: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None
    rotated_to: str | None = None

    def fault(self, now: float) -> Literal["revoked", "expired"] | None:
        """Say why the key does not hold at this time, or None where it does."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return None


class NewKey(NamedTuple):
    """A key just made: the only time that its token, the secret, is seen."""

    key: ApiKey
    token: str

    def __repr__(self) -> str:
        """Show the key without its token."""
        return f"NewKey(key={self.key!r})"


def new_token() -> tuple[str, str]:
    """Make a key; return its id and the whole token."""
    name = _random(_ID_LENGTH)
    body = f"{PREFIX}{name}_{_random(_SECRET_LENGTH)}"
    return name, body + _checksum(body)


def id_of(token: str) -> str | None:
    """Return the id in a token, or None for what cannot be a key: wrong length, alphabet or checksum."""
    if len(token) != _LENGTH or not token.isascii() or not token.startswith(PREFIX):
        return None
    body = token[:_BODY_LENGTH]
    if token[_BODY_LENGTH:] != _checksum(body):
        return None
    name = token[len(PREFIX) : _ID_END]
    if token[_ID_END] != "_" or not name.isalnum() or not token[_ID_END + 1 : _BODY_LENGTH].isalnum():
        return None
    return name


def digest(token: str, secret: bytes) -> bytes:
    """Return what is kept of a token: 32 bytes that lead back to it neither without the secret nor with it."""
    return hmac.digest(secret, token.encode(), "sha256")


def check_owner(tenant: str, subject: str, scopes: frozenset[str], name: str) -> None:
    """Refuse, by ConfigError, what could not be told apart, printed or sent in a header later."""
    for what, text in (("tenant", tenant), ("subject", subject), ("name", name)):
        if len(text) > _LONGEST_NAME or not text.isprintable() or (not text.strip() and what != "name"):
            raise ConfigError(
                f"an API key's {what} has {len(text)} characters: expected 1 to {_LONGEST_NAME} that can be printed"
            )
    if len(scopes) > _MOST_SCOPES or not all(_is_scope(scope) for scope in scopes):
        raise ConfigError(
            f"an API key's scopes: expected at most {_MOST_SCOPES}, each of 1 to {_LONGEST_SCOPE} printable ASCII "
            "characters without spaces, quotes or backslashes (RFC 6749, section 3.3)"
        )


def _is_scope(scope: str) -> bool:
    return 0 < len(scope) <= _LONGEST_SCOPE and all(
        "!" <= sign <= "~" and sign not in '"\\' for sign in scope
    )


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    return f"_{zlib.crc32(body.encode()):08x}"
