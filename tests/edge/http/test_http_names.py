"""Names that come from outside and go on to others: taken as far as they are sound."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.edge.http.request_id import request_id, trace_of

TRACE_ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("said", "flags"), [("01", "01"), ("00", "00"), ("ff", "01"), ("fe", "00"), ("03", "01")]
)
def test_only_the_flag_that_is_known_is_passed_on(said: str, flags: str) -> None:
    """Level 1 has one, sampled; whoever passes on the others says what it does not know."""
    assert trace_of(f"00-{TRACE_ID}-{SPAN}-{said}".encode()).flags == flags


def test_a_later_version_is_read_as_far_as_this_one_goes() -> None:
    """What it adds is left out; version 00 with more behind it, and version ff, are none."""
    later = trace_of(f"42-{TRACE_ID}-{SPAN}-01-what-may-come".encode())
    assert (later.trace_id, later.parent) == (TRACE_ID, SPAN)
    assert str(later) == f"00-{TRACE_ID}-{later.span_id}-01"
    for wrong in (
        f"00-{TRACE_ID}-{SPAN}-01-more",
        f"ff-{TRACE_ID}-{SPAN}-01",
        f"42-{TRACE_ID}-{SPAN}-01more",
    ):
        assert trace_of(wrong.encode()).parent == ""


@given(st.binary(max_size=80))
def test_whatever_is_given_the_names_are_sound(given_name: bytes) -> None:
    """A header, a log line and a file could have them in."""
    name, trace = request_id(given_name), trace_of(given_name)
    assert 8 <= len(name) <= 64
    assert set(name) <= set(string.ascii_letters + string.digits + "._~-")
    assert len(trace.trace_id) == 32
    assert trace.trace_id.strip("0")
    assert len(str(trace)) == 55
