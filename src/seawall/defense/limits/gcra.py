"""The generic cell rate algorithm, weighted, as a pure function over one stored number.

Source: ITU-T I.371 and the ATM Forum's Traffic Management 4.0 (virtual scheduling form); for HTTP, Brandur
Leach, "Rate Limiting, Cells, and GCRA". A bucket is one theoretical arrival time (TAT): the instant at which
everything admitted so far will have been earned back. In any window of t nanoseconds, however callers
interleave, at most `burst + t / interval` units are admitted. Time is whole nanoseconds because sums of
floats drift past that bound.
"""

from dataclasses import dataclass
from typing import NamedTuple

from seawall.foundation.errors import ConfigError

_NS = 1_000_000_000
_FINEST_INTERVAL = 1_000


@dataclass(frozen=True, slots=True)
class Quota:
    """One unit is earned back every `interval` nanoseconds; `burst` units may be spent at once."""

    limit: int
    interval: int
    burst: int

    @classmethod
    def of(cls, limit: int, period: float, burst: int) -> "Quota":
        """Spread `limit` units over `period` seconds; ConfigError above a million a second.

        The interval is rounded up to a nanosecond: a limit may be under-used by at most 0.1 %, never
        exceeded.
        """
        interval = -(-round(period * _NS) // limit)
        if interval < _FINEST_INTERVAL:
            raise ConfigError(
                f"{limit} in {period:g} s is more than 1,000,000 a second; use a lower limit or a longer period"
            )
        return cls(limit, interval, burst)


class Verdict(NamedTuple):
    """What `gcra` found: `tat` is to be stored if `ok`; waits are nanoseconds, `retry_after` None for never."""

    ok: bool
    tat: int
    remaining: int
    retry_after: int | None
    reset_after: int


def nanoseconds(instant: float) -> int:
    """Turn a clock's reading in seconds into whole nanoseconds."""
    return int(instant * _NS)


def wait_seconds(wait: int) -> float:
    """Turn a wait into seconds, one to two microseconds long, so that a float's rounding never brings a
    caller back early.
    """
    return (wait // 1_000 + 2) / 1_000_000 if wait else 0.0


def gcra(tat: int, now: int, quota: Quota, cost: int = 1) -> Verdict:
    """Judge `cost` units at `now` against a bucket; a bucket never seen has `tat` 0.

    A cost of 0 looks without spending. A cost above the burst is refused for ever. If time runs back the
    bucket keeps its debt: the caller may be held longer, never let through early.
    """
    start = max(tat, now)
    horizon = now + quota.burst * quota.interval
    after = start + cost * quota.interval
    if after > horizon and cost:
        left = max(0, (horizon - start) // quota.interval)
        return Verdict(False, tat, left, None if cost > quota.burst else after - horizon, start - now)
    return Verdict(True, after, max(0, (horizon - after) // quota.interval), 0, after - now)
