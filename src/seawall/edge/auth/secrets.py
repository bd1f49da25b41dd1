"""Secrets that are none: defaults, words, patterns, and what is too short to be one."""

import math
from collections import Counter
from itertools import pairwise

from seawall.foundation.errors import ConfigError

_LEAST_BYTES = 32
# 32 random hexadecimal digits carry 128 bits, of which so short a text shows 116 as a rule, and 87 once in 10^5 times.
_LEAST_BITS = 80.0
_LEAST_STEPS = 9
# What repeats for three characters is taken to say nothing new.
_SEEN = 3
# Long enough that 64 random letters and digits hold none of them but once in 10^5 times.
_DEFAULTS = (
    "changeme", "changethis", "default", "example", "letmein", "password", "passw0rd", "qwerty", "replaceme", "secretkey",
    "yoursecret", "yourkey", "supersecret", "topsecret", "insecure", "seawall", "development", "notasecret", "abcdefg",
    "1234567", "deadbeef", "administrator",
)  # fmt: skip
_MAKE_ONE = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


def require_strong(name: str, secret: str) -> str:
    """Return the secret; ConfigError, which names the setting and never its value, for one that can be guessed.

    Asked for are 32 bytes, no known default in it, and an estimate of 80 bits or more from how often each character
    occurs. It cannot tell a random secret from one that looks random, such as a line of a book.
    """
    length = len(secret.encode("utf-8", "surrogatepass"))
    if length < _LEAST_BYTES:
        raise ConfigError(
            f"{name} has {length} bytes, a secret needs {_LEAST_BYTES} random ones; {_MAKE_ONE}"
        )
    plain = "".join(sign for sign in secret.casefold() if sign.isalnum())
    if any(word in plain for word in _DEFAULTS):
        raise ConfigError(f"{name} holds a well-known word or default, which is tried first; {_MAKE_ONE}")
    bits = _bits(secret)
    if bits < _LEAST_BITS:
        raise ConfigError(
            f"{name} is not random: about {bits:.0f} bits, a secret needs {_LEAST_BITS:.0f}; {_MAKE_ONE}"
        )
    return secret


def _bits(text: str) -> float:
    """Estimate the information in a text: Shannon's of its characters, for as much of it as was not there before."""
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    if len(steps) < _LEAST_STEPS:
        # Rows of the alphabet or of the keyboard: every character another, and none a surprise.
        return 0.0
    fresh = len({text[at : at + _SEEN] for at in range(len(text) - _SEEN + 1)}) + _SEEN - 1
    shares = [count / len(text) for count in Counter(text).values()]
    return -fresh * sum(share * math.log2(share) for share in shares)
