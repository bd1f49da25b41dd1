"""What one request may still spend on its way: time, and tries.

Source: deadlines as gRPC carries them; one retry budget a request, so that retries of retries cannot multiply.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.units import Period, seconds


class Purse:
    """Tries that a request may still make, shared by everything that is done for it."""

    __slots__ = ("retries",)

    def __init__(self, retries: int) -> None:
        self.retries = retries

    def take(self) -> bool:
        """Spend one; False where none is left."""
        if self.retries <= 0:
            return False
        self.retries -= 1
        return True


@dataclass(frozen=True, slots=True)
class Allowance:
    """`until` is the deadline in monotonic seconds, infinite where there is none."""

    until: float
    purse: Purse


_current: ContextVar[Allowance | None] = ContextVar("seawall_allowance", default=None)


def current_allowance() -> Allowance | None:
    """Return what the current request may still spend; None outside of one."""
    return _current.get()


@contextmanager
def spending(allowance: Allowance) -> Generator[Allowance]:
    """Make `allowance` that of the current task while the block lasts."""
    before = _current.set(allowance)
    try:
        yield allowance
    finally:
        _current.reset(before)


def allow(within: Period | None, *, retries: int = 2, clock: Clock = SYSTEM_CLOCK) -> Allowance:
    """Return a new allowance: `within` from now (None: for ever) and at most `retries`.

    Inside another request it is never later than the outer one's, and the tries are the outer one's: a request that
    asks another agent does not begin anew. For use as `with spending(allow("30s")): ...`.
    """
    until = inf if within is None else clock.monotonic() + seconds(within)
    outer = _current.get()
    if outer is None:
        return Allowance(until, Purse(retries))
    return Allowance(min(until, outer.until), outer.purse)
