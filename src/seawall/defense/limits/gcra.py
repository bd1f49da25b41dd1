"""The generic cell rate algorithm, weighted, as a pure function over one stored number.

Source: ITU-T I.371 and the ATM Forum's Traffic Management 4.0 (virtual scheduling form); for HTTP, Brandur
Leach, "Rate Limiting, Cells, and GCRA". A bucket is one theoretical arrival time (TAT): the instant at which
everything admitted so far will have been earned back. In any window of t nanoseconds, however callers
interleave, at most `burst + t / interval` units are admitted. Time is whole nanoseconds because sums of
floats drift past that bound.

Giving back what a reservation did not need is not in the sources. Each unit taken holds a piece of time of
its own, at the earliest the instant it was taken at and at the latest `burst * interval` after: that is why the
bound holds. Only the part of a reservation that lies ahead may be given back, and nothing that was taken later
may move to before the instant it was taken at; `Quota.settle` keeps to that, so the bound holds for what was
really used as well.
"""

from dataclasses import dataclass
from typing import NamedTuple

from seawall.foundation.errors import ConfigError

_NS = 1_000_000_000
_FINEST_INTERVAL = 100


class Bucket(NamedTuple):
    """What is stored: all that was taken is earned back at `tat`, and the bucket has been in use without a
    break since `since`; in that time `given` nanoseconds were given back.
    """

    tat: int
    since: int
    given: int


class Verdict(NamedTuple):
    """What a rule found: `tat` is when all that was taken is free again; waits are nanoseconds, `retry_after`
    None for never.
    """

    ok: bool
    tat: int
    remaining: int
    retry_after: int | None
    reset_after: int


@dataclass(frozen=True, slots=True)
class Quota:
    """One unit is earned back every `interval` nanoseconds; `burst` units may be spent at once."""

    limit: int
    interval: int
    burst: int

    @classmethod
    def of(cls, limit: int, period: float, burst: int) -> "Quota":
        """Spread `limit` units over `period` seconds; ConfigError above ten million a second.

        The interval is rounded up to a nanosecond: a limit is never exceeded, and under-used by at most 0.1 %
        up to a million units a second, by at most 1 % up to ten million.
        """
        interval = -(-round(period * _NS) // limit)
        if interval < _FINEST_INTERVAL:
            raise ConfigError(
                f"{limit} in {period:g} s is more than 10,000,000 a second; use a lower limit or a longer period"
            )
        return cls(limit, interval, burst)

    @property
    def most(self) -> int:
        """Units that may be spent at once, ever."""
        return self.burst

    def share(self, count: int) -> "Quota":
        """Return what one of `count` equal parts may spend; together they spend no more than the whole.

        The rate is divided exactly, the burst rounded down: to 0 where it is less than `count`.
        """
        return Quota(max(1, self.limit // count), self.interval * count, self.burst // count)

    def judge(self, bucket: Bucket | None, now: int, cost: int) -> tuple[Verdict, Bucket]:
        """Judge `cost` units at `now`, and return the bucket to store if they are admitted."""
        tat, since, given = bucket or (now, now, 0)
        if tat <= now:
            tat, since, given = now, now, 0
        verdict = gcra(tat, now, self, cost)
        return verdict, Bucket(verdict.tat, since, given)

    def settle(self, bucket: Bucket | None, mark: Bucket, now: int, spare: int) -> Bucket | None:
        """Give back `spare` units of the take that left the bucket at `mark`, or charge them if negative.

        Only what is not earned back yet is given back; a charge is taken whatever it leads to. Right after the
        take all of it is given back; if others were given back in between, possibly less: the rest is earned back
        with time.
        """
        amount = spare * self.interval
        if amount < 0:
            start = bucket if bucket is not None and bucket.tat > now else Bucket(now, now, 0)
            return Bucket(start.tat - amount, start.since, start.given)
        if bucket is None or bucket.since != mark.since:
            return bucket
        # What was given back since may have moved the take forward by as much, so it ends no earlier than this.
        ends = mark.tat - (bucket.given - mark.given)
        back = min(amount, ends - now)
        return bucket if back <= 0 else Bucket(bucket.tat - back, bucket.since, bucket.given + back)


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
    interval = quota.interval
    start = tat if tat > now else now  # noqa: FURB136  half the time of max()
    horizon = now + quota.burst * interval
    after = start + cost * interval
    if after > horizon:
        if not cost:
            return Verdict(True, after, 0, 0, after - now)
        left = max(0, (horizon - start) // interval)
        return Verdict(False, tat, left, None if cost > quota.burst else after - horizon, start - now)
    return Verdict(True, after, (horizon - after) // interval, 0, after - now)
