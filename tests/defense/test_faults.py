"""What an error is read as: kinds, what counts against a dependency, what is for another try."""

import asyncio
import errno
import json
import os
import socket
import sqlite3
import ssl
from email.utils import formatdate
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, get_args

import httpx2
import psycopg
import pytest
import redis.exceptions as redis_errors
from hypothesis import given
from hypothesis import strategies as st
from openai import APIConnectionError
from pydantic import BaseModel, ValidationError
from pydantic_ai import exceptions as ai
from sqlalchemy.exc import OperationalError as SqlError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from seawall.defense import CircuitOpen, GuardBlocked
from seawall.defense.faults import Fault, FaultKind, read_fault
from seawall.defense.resilience import Refusal
from seawall.foundation.errors import ConfigError, Rejected, StoreError
from seawall.testing import FakeClock


def chained(*errors: BaseException) -> BaseException:
    """The first error, raised from the second, raised from the third, and so on."""
    for outer, inner in pairwise(errors):
        outer.__cause__ = inner
    return errors[0]


def http(status: int, **more: Any) -> ai.ModelHTTPError:
    """What a model's client makes of a status that has no kind of its own."""
    return ai.ModelHTTPError(status, "m", **more)


def status_error(status: int, **headers: str) -> httpx2.HTTPStatusError:
    """What a plain HTTP client raises for a status."""
    request = httpx2.Request("GET", "http://localhost/")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.HTTPStatusError("", request=request, response=httpx2.Response(status, headers=named))


def unreachable(*causes: BaseException) -> BaseException:
    """What pydantic_ai makes of a connection that could not be opened, down to `causes`."""
    openai = APIConnectionError(request=httpx2.Request("POST", "http://localhost/"))
    outer = ai.ModelConnectionError("m", "no connection", phase="connect")
    return chained(outer, openai, httpx2.ConnectError("all attempts failed"), *causes)


def wrong_json() -> json.JSONDecodeError:
    return json.JSONDecodeError("no JSON", "<html>", 0)


class Shape(BaseModel):
    label: str


def wrong_shape() -> ValidationError:
    try:
        Shape.model_validate({})
    except ValidationError as error:
        return error
    raise AssertionError


class Late(Rejected):
    by = "deadline"


class McpError(Exception):
    """Has the shape of the Model Context Protocol's own error."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.error = SimpleNamespace(code=code)


def busy() -> sqlite3.Error:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


CASES: list[tuple[BaseException, FaultKind, bool, bool]] = [
    (socket.gaierror(socket.EAI_NONAME, "unknown"), "dns", True, True),
    (unreachable(socket.gaierror(socket.EAI_AGAIN, "later")), "dns", True, True),
    (ConnectionRefusedError(), "refused", True, True),
    (unreachable(ConnectionRefusedError()), "refused", True, True),
    (unreachable(), "refused", True, True),
    (OSError("Multiple exceptions: two addresses"), "refused", True, True),
    (OSError(errno.EHOSTUNREACH, "no route"), "refused", True, True),
    (ConnectionResetError(), "reset", True, True),
    (BrokenPipeError(), "reset", True, True),
    (asyncio.IncompleteReadError(b"", 4), "reset", True, True),
    (httpx2.RemoteProtocolError("disconnected"), "reset", True, True),
    (ai.ModelConnectionError("m", "dropped", phase="read"), "reset", True, True),
    (ssl.SSLEOFError(8, "EOF"), "reset", True, True),
    (ssl.SSLError(1, "wrong version number"), "tls", True, False),
    (unreachable(ssl.SSLCertVerificationError(1, "self-signed")), "tls", True, False),
    (TimeoutError(errno.ETIMEDOUT, "timed out"), "connect_timeout", True, True),
    (httpx2.ConnectTimeout("slow"), "connect_timeout", True, True),
    (ai.ModelTimeoutError("m", "slow", phase="connect"), "connect_timeout", True, True),
    (TimeoutError(), "read_timeout", True, False),
    (httpx2.ReadTimeout("slow"), "read_timeout", True, False),
    (ai.ModelTimeoutError("m", "slow"), "read_timeout", True, False),
    (ai.ModelRequestTimeout("m", 3), "read_timeout", True, False),
    (httpx2.PoolTimeout("our own"), "held_back", False, False),
    (ai.ModelTimeoutError("m", "our own", phase="pool"), "held_back", False, False),
    (OSError(errno.EMFILE, "our own"), "held_back", False, False),
    (http(429), "rate_limited", True, True),
    (ai.ModelRateLimitError("m", "slow down"), "rate_limited", True, True),
    (ai.ModelQuotaExceededError("m", "no money"), "rate_limited", True, False),
    (
        ai.ModelHTTPError.for_category(ai.ModelQuotaExceededError, status_code=429, model_name="m"),
        "rate_limited",
        True,
        False,
    ),
    (http(402), "rate_limited", True, False),
    (http(503), "overloaded", True, True),
    (http(529), "overloaded", True, True),
    (http(503, headers={"x-should-retry": "false"}), "overloaded", True, False),
    (ai.ModelOverloadedError("m", "busy"), "overloaded", True, True),
    (http(500), "server_error", True, True),
    (status_error(502), "server_error", True, True),
    (http(504), "server_error", True, True),
    (ai.ModelServerError("m", "boom"), "server_error", True, True),
    (ai.ModelAPIError("m", "boom", in_stream=True), "server_error", True, True),
    (http(408), "reset", True, True),
    (ai.ModelAPIError("m", "expected a JSON response"), "unreadable", True, True),
    (chained(ai.ModelAPIError("m", "failed to decode"), wrong_json()), "unreadable", True, True),
    (ai.UnexpectedModelBehavior("invalid response"), "unreadable", True, True),
    (chained(ai.UnexpectedModelBehavior("too many"), ai.ModelRetry("no")), "unreadable", False, False),
    (wrong_json(), "unreadable", True, True),
    (wrong_shape(), "unreadable", True, True),
    (status_error(301), "unreadable", True, True),
    *((http(status), "rejected", False, False) for status in (400, 404, 405, 409, 413, 422, 501)),
    (ai.ModelContextWindowExceededError("m", "too long"), "rejected", False, False),
    (ai.ModelNotFoundError("m", "who?"), "rejected", False, False),
    (ConfigError("wrong"), "rejected", False, False),
    (ai.UserError("wrong"), "rejected", False, False),
    (ai.IncompleteToolCall("cut short"), "rejected", False, False),
    (http(401), "authentication", True, False),
    (ai.ModelAuthenticationError("m", "no"), "authentication", True, False),
    (http(403), "authentication", False, False),
    (
        ai.ModelHTTPError.for_category(ai.ModelAuthenticationError, status_code=403, model_name="m"),
        "authentication",
        False,
        False,
    ),
    (ai.ContentFilterError("no"), "content", False, False),
    (GuardBlocked(), "content", False, False),
    (asyncio.CancelledError(), "cancelled", False, False),
    (KeyboardInterrupt(), "cancelled", False, False),
    (ai.RunCancelled("stopped"), "cancelled", False, False),
    (ai.RunTimedOut("stopped"), "out_of_time", False, False),
    (Late(), "out_of_time", False, False),
    (CircuitOpen("m", Refusal("open", 3.0, "it failed")), "held_back", False, False),
    (ai.UsageLimitExceeded("enough"), "held_back", False, False),
    (ai.ApprovalRequired(), "held_back", False, False),
    (RuntimeError("no idea"), "unknown", True, False),
    (chained(RuntimeError("lookup failed"), ConnectionRefusedError()), "refused", True, True),
    (chained(TimeoutError(), asyncio.CancelledError()), "read_timeout", True, False),
    (chained(RuntimeError(), asyncio.CancelledError()), "unknown", True, False),
    (ai.ToolFailed("no such customer"), "rejected", False, False),
    (chained(ai.ToolFailed("no answer"), ConnectionRefusedError()), "refused", True, False),
    (ai.ModelRetry("another date"), "rejected", False, False),
    (StoreError("left alone"), "unknown", True, False),
    (chained(StoreError("no answer"), TimeoutError()), "read_timeout", True, False),
    (chained(redis_errors.ConnectionError("Error 111"), ConnectionRefusedError()), "refused", True, True),
    (redis_errors.ConnectionError("closed by server"), "reset", True, True),
    (redis_errors.TimeoutError("slow"), "read_timeout", True, False),
    (redis_errors.BusyLoadingError("loading"), "overloaded", True, True),
    (redis_errors.AuthenticationError("no"), "authentication", True, False),
    (redis_errors.MaxConnectionsError("our own"), "held_back", False, False),
    (redis_errors.ResponseError("WRONGTYPE"), "rejected", False, False),
    (psycopg.OperationalError("server closed the connection"), "reset", True, True),
    (psycopg.errors.ConnectionTimeout("slow"), "connect_timeout", True, True),
    (psycopg.errors.QueryCanceled("statement timeout"), "read_timeout", True, False),
    (psycopg.errors.CannotConnectNow("starting up"), "overloaded", True, True),
    (psycopg.errors.SerializationFailure("conflict"), "server_error", True, True),
    (psycopg.errors.UniqueViolation("twice"), "rejected", False, False),
    (psycopg.errors.InvalidPassword("no"), "authentication", True, False),
    (chained(SqlError("", {}, Exception()), psycopg.errors.AdminShutdown()), "reset", True, True),
    (NoConnectionFree("our own"), "held_back", False, False),
    (busy(), "overloaded", True, True),
    (McpError(-32000), "reset", True, True),
    (McpError(-32700), "unreadable", True, True),
    (McpError(408), "connect_timeout", True, True),
    (McpError(-32602), "rejected", False, False),
]


def _name(value: object) -> str:
    return type(value).__name__ if isinstance(value, BaseException) else str(value)


@pytest.mark.parametrize(("error", "kind", "counts", "again"), CASES, ids=_name)
def test_each_error_is_read_as_its_row_says(
    error: BaseException, kind: FaultKind, counts: bool, again: bool
) -> None:
    """Kind, what counts against the dependency and what is for another try, error by error."""
    assert read_fault(error) == Fault(kind, counts, again, read_fault(error).retry_after)


def test_every_kind_has_a_row() -> None:
    """The table above leaves no kind out."""
    assert {kind for _, kind, _, _ in CASES} == set(get_args(FaultKind))


def test_a_real_error_of_the_system_is_told_by_its_number() -> None:
    """Python picks the class from the number; what has no class of its own is known by the number."""
    assert read_fault(OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))).kind == "refused"
    assert read_fault(OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))).kind == "refused"
    assert read_fault(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))).kind == "unknown"


def test_a_group_is_as_bad_as_its_worst_member() -> None:
    """A failure that counts outweighs one that does not, and one not to be tried again outweighs one that may be."""
    held = CircuitOpen("m", Refusal("open", 3.0, "it failed"))
    worst = ai.FallbackExceptionGroup("all failed", [held, http(500), TimeoutError(), http(400)])
    assert read_fault(worst).kind == "read_timeout"
    assert read_fault(ExceptionGroup("", [held, http(400), http(503)])).kind == "overloaded"
    assert not read_fault(ExceptionGroup("", [held, ExceptionGroup("", [http(400)])])).counts
    assert read_fault(chained(RuntimeError(), ExceptionGroup("", [http(500)]))).kind == "server_error"


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (http(429, headers={"Retry-After": "7"}), 7),
        (http(429, headers={"retry-after-ms": "1500"}), 1.5),
        (status_error(503, Retry_After="7"), 7),
        (status_error(503, Retry_After="0.5"), 0.5),
        (status_error(429, retry_after_ms="250"), 0.25),
        (status_error(503, Retry_After="Thu, 01 Jan 1970 00:02:00 GMT"), 20),
        (status_error(503, Retry_After="Thu Jan  1 00:02:00 1970"), 20),
        (status_error(503, Retry_After=formatdate(40, usegmt=True)), 0),
        (CircuitOpen("m", Refusal("open", 3.0, "it failed")), 3),
        (chained(RuntimeError(), status_error(429, Retry_After="7")), 7),
        (status_error(503, Retry_After="soon"), None),
        (status_error(503, Retry_After="-3"), None),
        (status_error(503, Retry_After="nan"), None),
        (status_error(503, Retry_After="9" * 400), None),
        (status_error(503, Retry_After="Fri, 31 Dec 99999 23:59:59 GMT"), None),
        (status_error(503), None),
    ],
)
def test_the_wait_that_was_asked_for_is_read_in_seconds(error: BaseException, waits: float | None) -> None:
    """Seconds, thousandths or a date; what is no wait is none, however it was meant."""
    assert read_fault(error, clock=FakeClock(time=100)).retry_after == waits


def test_a_ring_of_causes_comes_to_an_end() -> None:
    """Two errors that name each other as their cause are read as if once."""
    first, second = RuntimeError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert read_fault(first).kind == "unknown"


def test_an_error_that_hides_its_context_is_read_by_itself() -> None:
    """`raise ... from None` says that what happened before is nobody's business."""
    with pytest.raises(RuntimeError) as raised:
        try:
            raise ConnectionRefusedError
        except ConnectionRefusedError:
            raise RuntimeError from None
    assert read_fault(raised.value).kind == "unknown"


def test_an_error_that_fails_when_looked_at_is_read_all_the_same() -> None:
    """Properties are not asked: reading one failure must not make another of it."""

    class Touchy(ConnectionResetError):
        @property
        def response(self) -> object:
            raise ValueError

        retry_after = headers = status = code = sqlstate = response

    assert read_fault(Touchy()) == Fault("reset", counts=True, again=True)


@given(
    st.lists(st.sampled_from([error for error, *_ in CASES]), min_size=1, max_size=6, unique_by=id),
    st.booleans(),
)
def test_any_errors_can_be_raised_from_any_others(errors: list[BaseException], grouped: bool) -> None:
    """Reading never fails, and what is ours to answer for is never tried again."""
    before = [error.__cause__ for error in errors]
    try:
        error = chained(*errors)
        fault = read_fault(BaseExceptionGroup("", [error]) if grouped else error)
        assert fault.kind in get_args(FaultKind)
        assert fault.counts or not fault.again
    finally:
        for error, cause in zip(errors, before, strict=True):
            error.__cause__ = cause
