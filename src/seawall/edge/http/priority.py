"""Which lane a request asks for: RFC 9218, `Priority: u=0` to `u=7`, 3 where nothing is said."""

from seawall.defense.load import Lane
from seawall.foundation.patterns import compile_pattern

# A member of a dictionary of structured fields (RFC 9651), whose parameters say nothing here.
_URGENCY = compile_pattern(r"[ \t]*u=([0-7])[ \t]*(?:;.*)?")
_BATCH, _BACKGROUND = 4, 6


def lane_of(value: bytes | None) -> Lane:
    """Return `interactive` for an urgency up to 3, `batch` up to 5, `background` beyond; what says nothing is left out.

    >>> lane_of(None), lane_of(b"u=5, i"), lane_of(b"u=7"), lane_of(b"now!")
    ('interactive', 'batch', 'background', 'interactive')
    """
    if value is None:
        return "interactive"
    # Of several, the last holds.
    said = [_URGENCY.fullmatch(member) for member in value.decode("latin-1").split(",")]
    urgency = next((int(one.group(1) or 0) for one in reversed(said) if one), 0)
    if urgency < _BATCH:
        return "interactive"
    return "batch" if urgency < _BACKGROUND else "background"
