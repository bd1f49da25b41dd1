"""How long a caller waits, said in a header, so that it is known before the body."""

from math import isfinite

DEADLINE = b"seawall-deadline"
_LONGEST = 3600.0


class BadHeader(Exception):
    """A header of ours says something that it cannot mean."""


def deadline_of(value: bytes | None) -> float | None:
    """Read `Seawall-Deadline`: seconds that the caller will wait, such as 2.5; BadHeader for what is no such number."""
    if value is None:
        return None
    try:
        waits = float(value)
    except ValueError:
        waits = 0.0
    if not (isfinite(waits) and 0 < waits <= _LONGEST):
        raise BadHeader("Seawall-Deadline: expected seconds, more than 0 and at most 3600, such as 2.5")
    return waits
