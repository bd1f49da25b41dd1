"""Identifiers that sort by time of creation."""

import secrets
import time


def new_id(prefix: str) -> str:
    """Make an id such as `txn_0193f2a1c4b85e0f9d…`: 48 bits of milliseconds, then 80 random bits (as RFC 9562's UUIDv7)."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
