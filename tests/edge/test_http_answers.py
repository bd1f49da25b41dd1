"""Problems, the headers of limits, names of requests: what is said on every answer."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.defense import (
    NothingToResume,
    RateLimit,
    RateLimited,
    SlidingWindow,
    StreamInterrupted,
    Unavailable,
)
from seawall.defense.abuse import Distrusted
from seawall.defense.guards import GuardBlocked
from seawall.defense.limits import Decision
from seawall.defense.load import Overloaded, Refused
from seawall.defense.resilience import CircuitOpen, OutOfTime, Refusal
from seawall.edge.http.problems import CATALOGUE, problem, rendered
from seawall.edge.http.rate_headers import policy_header, state_header
from seawall.edge.http.request_id import request_id, trace_of
from seawall.edge.refusals import problem_of
from seawall.foundation.errors import StoreError

DECISION = Decision(ok=False, limit=5, remaining=0, retry_after=2.5, reset_after=60.0, name="few")
# Structured fields: a list of strings, each with parameters that are whole numbers or strings (RFC 9651).
STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
MEMBER = rf"{STRING}(?:;[a-z]+=(?:-?\d{{1,15}}|{STRING}))*"
LIST = re.compile(rf"{MEMBER}(?:, {MEMBER})*")


@pytest.mark.parametrize(
    ("error", "code", "retry_after"),
    [
        (RateLimited(DECISION), "quota-exceeded", 2.5),
        (Distrusted(7.0), "distrusted", 7.0),
        (GuardBlocked(), "guard-blocked", None),
        (Overloaded("x", Refused("full", 1.5, 0.0, 1, 0)), "overloaded", 1.5),
        (CircuitOpen("model m", Refusal("open", 9.0, "it failed")), "unavailable", 9.0),
        (Unavailable((("model m", "TimedOut"),), 10.0), "unavailable", 10.0),
        (OutOfTime("model m", 0.1, 0.5), "deadline", None),
        (StreamInterrupted("abc", 2, 3.0), "interrupted", 3.0),
        (NothingToResume(), "not-found", None),
        (StoreError("secret path"), "unavailable", None),
        (KeyError("secret key"), "failed", None),
    ],
)
def test_each_refusal_is_one_problem(error: Exception, code: str, retry_after: float | None) -> None:
    """With when to come back, and nothing of what is inside."""
    told = problem_of(error)
    assert (told["code"], told.get("retry_after")) == (code, retry_after)
    assert told["status"] == CATALOGUE[code].status
    assert "secret" not in json.dumps(told)


def test_an_answer_says_in_its_header_what_its_body_says() -> None:
    """Whole seconds, never fewer than were meant; its length, its kind, and that nobody keeps it."""
    status, headers, body = rendered(problem("overloaded", retry_after=1.2), [(b"x", b"y")])
    known = dict(headers)
    assert (status, known[b"retry-after"], known[b"x"]) == (503, b"2", b"y")
    assert known[b"content-length"] == b"%d" % len(body)
    assert json.loads(body)["type"] == "/problems/overloaded"


def test_every_problem_has_a_page() -> None:
    """What it means, why it comes, what to do: under its own name."""
    from pathlib import Path

    pages = {page.stem for page in Path("docs/problems").glob("*.md")} - {"index"}
    assert pages == set(CATALOGUE)


@given(st.text(min_size=1, max_size=40), st.integers(1, 100_000), st.sampled_from(["1s", "90s", "1h"]))
def test_headers_of_limits_are_structured_fields(name: str, limit: int, per: str) -> None:
    """Whatever a limit is called."""
    limits = [RateLimit(limit, per, name=name), SlidingWindow(limit, per, name="other")]
    field, value = policy_header(limits)
    assert field == b"ratelimit-policy"
    assert LIST.fullmatch(value.decode("ascii"))
    _, state = state_header(DECISION._replace(name=name))
    assert LIST.fullmatch(state.decode("ascii"))


def test_what_is_left_and_when_it_is_whole_again() -> None:
    """Refused: until the next may pass; admitted: until the share is unused again."""
    assert state_header(DECISION)[1] == b'"few";r=0;t=3'
    assert state_header(DECISION._replace(ok=True, remaining=4))[1] == b'"few";r=4;t=60'
    assert policy_header([RateLimit(600, "1m")])[1] == b'"600 per 1m by subject";q=600;w=60'
    assert policy_header([RateLimit(9, "1s", of="tokens", name="t")])[1] == b'"t";q=9;w=1;qu="tokens"'


@pytest.mark.parametrize(
    "given_id", [None, b"", b"short", b"a" * 65, b"with space1", b"line\r\nbreak", b"\xff" * 10]
)
def test_a_name_that_is_none_is_replaced(given_id: bytes | None) -> None:
    """What a caller calls its request is taken only where it cannot do harm in a header or a log."""
    assert request_id(given_id).startswith("req_")
    assert request_id(b"abc-123.X~_y") == "abc-123.X~_y"


def test_a_trace_goes_on() -> None:
    """The same trace, a place of its own in it; what is no trace begins one."""
    given_trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    trace = trace_of(given_trace)
    assert (trace.trace_id, trace.parent, trace.flags) == (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
        "01",
    )
    assert str(trace) == f"00-{trace.trace_id}-{trace.span_id}-01"
    for wrong in (
        None,
        b"",
        b"00-xyz",
        b"ff" + given_trace[2:],
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
    ):
        assert trace_of(wrong).parent == ""
