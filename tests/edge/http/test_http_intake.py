"""Bodies within bounds, whichever way they are read."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from seawall.edge.http import intake
from seawall.edge.http.intake import BodyRefused, Intake, Reading

Parts = list[bytes]


def client(parts: Parts, *, stalls: bool = False) -> Callable[[], Awaitable[Any]]:
    """Send parts of a body; then end it, or say nothing more."""
    left = [*parts]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        if not left and stalls:
            await asyncio.Event().wait()
        if not left:
            return {"type": "http.disconnect"}
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left) or stalls}

    return receive


async def answer(
    app: Any, receive: Any, headers: list[tuple[bytes, bytes]], **scope: Any
) -> tuple[int, dict[str, Any]]:
    """Ask an application, and return its status and what it said."""
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    asked = {"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b"", **scope}
    await app(asked, receive, send)
    kinds = [one["type"] for one in told]
    assert kinds == ["http.response.start", *["http.response.body"] * (len(kinds) - 1)]
    assert len(kinds) > 1
    body = b"".join(one.get("body", b"") for one in told[1:])
    return told[0]["status"], json.loads(body)


async def whole(receive: Any, *, most: int, within: float) -> bytes:
    """Read a body to its end."""
    reading, body, more = Reading(receive, most=most, within=within), b"", True
    while more:
        message = await reading()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def web() -> FastAPI:
    """Make an application that knows nothing of bounds."""
    app = FastAPI()

    @app.post("/")
    async def parsed(request: Request) -> int:
        return len(await request.json())

    @app.post("/caught")
    async def caught(request: Request) -> str:
        try:
            await request.body()
        except BodyRefused:
            return "never mind"
        return "read"

    return app


CHUNKED = [(b"transfer-encoding", b"chunked")]
JSON = [*CHUNKED, (b"content-type", b"application/json")]


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=8), st.integers(0, 120))
def test_a_body_is_read_whole_or_not_at_all(parts: Parts, most: int) -> None:
    """However it comes: the bytes that were sent, or a refusal where they are too many."""
    body = b"".join(parts)
    reading = whole(client(parts), most=most, within=5.0)
    if len(body) <= most:
        assert asyncio.run(reading) == body
    else:
        with pytest.raises(BodyRefused, match=f"larger than {most} bytes") as refused:
            asyncio.run(reading)
        assert refused.value.code == "too-large"


async def never(*_: Any) -> Any:
    """Fail where anything is read."""
    raise AssertionError


@pytest.mark.parametrize(
    ("said", "code"), [(b"11", "too-large"), (b"1e1", "bad-request"), (b"-1", "bad-request")]
)
async def test_a_length_is_judged_before_anything_is_read(said: bytes, code: str) -> None:
    """One that is too large, and one that is none."""
    headers = [(b"content-length", said)]
    bounded = Intake(never, max_body=10, body_seconds=5.0)
    _, told = await answer(bounded, never, headers)
    assert told["code"] == code


@pytest.mark.parametrize("path", ["/", "/caught"])
async def test_a_route_that_reads_in_its_own_way_is_bounded_too(path: str) -> None:
    """Whatever the framework or the route makes of the error, the caller is told what it was: once."""
    bounded = Intake(web(), max_body=10, body_seconds=0.05)
    status, told = await answer(bounded, client([b"[1,", b"2" * 20]), JSON, path=path)
    assert (status, told["code"]) == (413, "too-large")
    status, told = await answer(bounded, client([b"[1,"], stalls=True), JSON, path=path)
    assert (status, told["code"]) == (408, "request-timeout")


async def test_a_route_that_lets_the_error_out_is_answered_for() -> None:
    """One that had begun its answer is not answered twice."""
    begun: list[bool] = []

    async def reads(_scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await receive()

    bounded = Intake(reads, max_body=10, body_seconds=5.0)
    status, told = await answer(bounded, client([b"x" * 11]), CHUNKED)
    assert (status, told["code"]) == (413, "too-large")
    begun.append(True)
    with pytest.raises(BodyRefused):
        await answer(bounded, client([b"x" * 11]), CHUNKED)


async def test_a_path_may_be_allowed_more() -> None:
    """For a route that takes whole files."""
    bounded = Intake(web(), max_body=10, body_seconds=5.0, larger={"/": 1000})
    body = json.dumps([1] * 100).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    assert (await answer(bounded, client([body]), headers, path="/caught"))[0] == 413
    assert await answer(bounded, client([body]), headers) == (200, 100)


async def test_a_body_that_is_too_slow_for_its_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before all its time is over, where next to nothing of it came."""
    monkeypatch.setattr(intake, "_GRACE_SECONDS", 0.02)
    with pytest.raises(BodyRefused, match="too slowly: 3 bytes") as refused:
        await whole(client([b"abc"], stalls=True), most=10**6, within=1000.0)
    assert refused.value.code == "request-timeout"


async def test_behind_the_body_the_end_of_the_connection_is_waited_for_without_a_bound() -> None:
    """A long answer's caller has no time limit to stay; and what has no body is passed through as it is."""
    seen: list[str] = []

    async def waits(_scope: Any, receive: Any, send: Any) -> None:
        async with asyncio.timeout(20):
            while (await receive())["type"] != "http.disconnect":
                pass
        seen.append("left")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    leave = asyncio.Event()
    parts = client([b"abc"])

    async def receive() -> Any:
        message = await parts()
        if message["type"] == "http.disconnect":
            await leave.wait()
        return message

    bounded = Intake(waits, max_body=10, body_seconds=0.02)
    asking = asyncio.ensure_future(answer(bounded, receive, CHUNKED))
    await asyncio.wait([asking], timeout=0.1)
    assert not asking.done()
    leave.set()
    assert await asking == (200, {})
    assert await answer(bounded, client([]), []) == (200, {})
    assert seen == ["left"] * 2


async def test_what_is_no_request_passes() -> None:
    """The lifespan has no body."""
    kinds: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        kinds.append(scope["type"])

    await Intake(app, max_body=10, body_seconds=1.0)({"type": "lifespan"}, never, never)
    assert kinds == ["lifespan"]


@pytest.mark.parametrize("turns", range(6))
async def test_a_read_that_is_cancelled_is_cancelled(turns: int) -> None:
    """At every await: a cancellation is no timeout."""
    parts = client([b"a", b"b"], stalls=True)
    reading = asyncio.ensure_future(whole(parts, most=10, within=20.0))
    for _ in range(turns):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
