"""Which lane a request asks for."""

import pytest

from seawall.edge.http.priority import lane_of

LANES = [
    (None, "interactive"),
    (b"", "interactive"),
    (b"u=3", "interactive"),
    (b"u=4, i", "batch"),
    (b"i, u=5;x=1", "batch"),
    (b"u=6", "background"),
    (b"u=1,  u=7", "background"),
    (b"u=8", "interactive"),
    (b"u=-1", "interactive"),
    (b"xu=7", "interactive"),
    (b"u=77", "interactive"),
    (b"\xff\xfe", "interactive"),
]


@pytest.mark.parametrize(("said", "lane"), LANES)
def test_an_urgency_is_a_lane(said: bytes | None, lane: str) -> None:
    """What cannot be one says nothing, as RFC 9218 has it."""
    assert lane_of(said) == lane
