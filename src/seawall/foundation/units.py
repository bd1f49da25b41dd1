"""Durations and sizes as people write them."""

import re
from datetime import timedelta
from functools import lru_cache
from typing import cast

from seawall.foundation.errors import ConfigError

Period = str | timedelta
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_A_DURATION = "a duration such as '30s', '5m' or '30d'"
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s?([A-Za-z]+)")


def seconds(value: Period) -> float:
    """Turn `"30s"`, `"1.5h"`, `"250ms"` or a timedelta into seconds; ConfigError unless it is positive."""
    given = cast("object", value)
    if isinstance(given, timedelta):
        amount = given.total_seconds()
    elif isinstance(given, str):
        amount = _duration(given)
    else:
        amount = _parse(given, _SECONDS, _A_DURATION)
    if amount <= 0:
        raise ConfigError(f"duration {value!r} must be longer than nothing, such as '30s'")
    return amount


@lru_cache(maxsize=256)
def _duration(text: str) -> float:
    # Policies say the same few over and over, each run anew.
    return _parse(text, _SECONDS, _A_DURATION)


def size(value: str | int) -> int:
    """Turn `"256 kB"`, `"2 MiB"` or a count into bytes; ConfigError unless it is positive."""
    amount = (
        value if isinstance(value, int) else int(_parse(value, _BYTES, "a size such as '256 kB' or '2 MiB'"))
    )
    if amount <= 0:
        raise ConfigError(f"size {value!r} must be larger than nothing, such as '256 kB'")
    return amount


def _parse(value: object, units: dict[str, float] | dict[str, int], expected: str) -> float:
    match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    unit = match.group(2) if match else ""
    factor = units.get(unit if unit in units else unit.lower())
    if match is None or factor is None:
        raise ConfigError(f"{value!r} is not {expected}; units: {', '.join(units)}")
    return float(match.group(1)) * factor
