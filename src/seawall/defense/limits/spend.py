"""What is counted: requests, tokens, dollars, tool calls; all as whole numbers."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

from seawall.foundation.errors import ConfigError

Unit = Literal["requests", "tokens", "usd", "tool_calls"]
Amount = int | Decimal | str

_MICRO = 1_000_000
# Redis counts in doubles, which are exact up to 2^53; a billion dollars or 10^15 tokens leaves room for sums.
_MOST = 10**15


@dataclass(frozen=True, slots=True)
class Spend:
    """What a piece of work uses, or is expected to use. `usd` is a number of dollars: a Decimal, its text, or a
    whole number; never a float, whose sums drift. ConfigError for less than nothing.
    """

    requests: int = 1
    tokens: int = 0
    usd: Amount = 0
    tool_calls: int = 0

    def __post_init__(self) -> None:
        """Refuse amounts that cannot be counted."""
        for unit in UNITS:
            self.units(unit)

    def units(self, of: Unit) -> int:
        """Return the whole number of units that a limit on `of` counts; part of a micro-dollar counts as one."""
        if of == "usd":
            return micro_dollars("Spend(usd)", self.usd)
        value: int = getattr(self, of)
        if not _is_whole(value) or not 0 <= value <= _MOST:
            raise ConfigError(f"Spend({of}={value!r}): expected a whole number from 0 to 10^15, such as 1500")
        return value


UNITS: tuple[Unit, ...] = ("requests", "tokens", "usd", "tool_calls")


def micro_dollars(named: str, dollars: Amount) -> int:
    """Turn dollars into whole micro-dollars, rounded up; ConfigError unless they are a number from 0 to a billion."""
    try:
        value = Decimal(dollars) if isinstance(dollars, Decimal | str) or _is_whole(dollars) else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite() or not 0 <= value <= _MOST // _MICRO:
        raise ConfigError(
            f"{named}: expected dollars as a whole number, a Decimal or its text, such as '5.00', not {type(dollars).__name__}"
        )
    if not value:
        return 0
    if value.adjusted() < -6:
        return 1
    over, under = value.as_integer_ratio()
    return -(-over * _MICRO // under)


def limit_units(named: str, value: object, of: Unit) -> int:
    """Turn a limit's number into whole units, at least 1; ConfigError for what is no whole number of them."""
    if of == "usd" and isinstance(value, Decimal | str | int):
        units = micro_dollars(named, value)
        if units >= 1 and Decimal(units) / _MICRO == Decimal(value):
            return units
        raise ConfigError(f"{named}={value!r}: expected whole micro-dollars, at least 0.000001")
    if not _is_whole(value) or not isinstance(value, int) or not 1 <= value <= _MOST:
        expected = (
            "dollars as text, such as '5.00'" if of == "usd" else "a whole number of at least 1, such as 60"
        )
        raise ConfigError(f"{named}={value!r}: expected {expected}")
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


NOTHING = Spend(requests=0)
