"""Secrets that are none are refused before a service starts with them."""

import base64
import secrets
import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.edge.auth.secrets import require_strong
from seawall.foundation.errors import ConfigError


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "changeme",
        "ChangeMe-ChangeMe-ChangeMe-ChangeMe",
        "please-CHANGE_ME-1f8a7c22d09b4e6fa3c5",
        "password" * 5,
        "my super-secret key of the year 2026!",
        "seawall-seawall-seawall-seawall-2026",
        "a" * 64,
        "ab" * 32,
        "0123456789abcdef" * 4,
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP",
        "hunter2" * 6,
        "qwertyuiopasdfghjklzxcvbnm1234567890",
        "\x00" * 32,
        "é" * 15,
        "857139d1e84a86bd0aed2690f87af5",
    ],
)
def test_weak_secrets_are_refused(secret: str) -> None:
    """Known defaults, patterns and what is short; the message says how to make one, and not what was given."""
    with pytest.raises(ConfigError, match="^SEAWALL_X .* make one with: ") as refused:
        require_strong("SEAWALL_X", secret)
    assert not secret or secret not in str(refused.value)


@given(st.binary(min_size=32, max_size=64))
def test_no_bytes_raise_another_error(content: bytes) -> None:
    """Whatever is given, it is taken or refused."""
    with suppress(ConfigError):
        require_strong("X", content.decode("utf-8", "surrogateescape"))


def test_random_secrets_are_taken() -> None:
    """What the message says to make passes, in every usual form."""
    for _ in range(300):
        content = secrets.token_bytes(32)
        letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(40))
        for secret in (secrets.token_urlsafe(32), content.hex(), base64.b64encode(content).decode(), letters):
            assert require_strong("SEAWALL_X", secret) == secret
        assert require_strong("SEAWALL_X", secrets.token_hex(16))
