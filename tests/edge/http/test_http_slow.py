"""Clients that are slow on purpose, or say nothing: each costs its place for a moment, and nobody else anything."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from tests.edge.http.wire_server import GOOD, Wire, eventually, gone, serving, until_closed

LENGTH = b"content-length: 100000\r\n\r\n"
EARLY = b"POST /early HTTP/1.1\r\nhost: x\r\n"
SLOW = b"POST /slow HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(params=["uvloop", "asyncio"])
async def wire(request: pytest.FixtureRequest) -> AsyncGenerator[Wire]:
    """Serve on either loop, with little patience."""
    async with serving(loop=request.param) as wire:
        yield wire


async def trickle(wire: Wire, first: bytes, again: bytes) -> bytes:
    """Send something, then a little now and then for as long as the connection is open."""
    reader, writer = await wire.open()
    writer.write(first)
    answer = asyncio.ensure_future(until_closed(reader))
    while not answer.done():
        writer.write(again)
        await asyncio.wait([answer], timeout=0.02)
    await gone(writer)
    return answer.result()


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
        (b"", b"\r\n"),
        (b"GET /", b"a"),
        (b"GET / HTTP/1.1\r\na: ", b"b"),
    ],
    ids=["headers", "empty lines", "an address", "one header"],
)
async def test_a_head_that_trickles_is_given_up(wire: Wire, first: bytes, again: bytes) -> None:
    """However it is cut, the whole head has its time and no byte makes it longer."""
    assert (await trickle(wire, first, again)).startswith(b"HTTP/1.1 408 ")
    await wire.is_well()


async def test_a_connection_that_says_nothing_is_given_up(wire: Wire) -> None:
    """It is told why."""
    assert (await wire.exchange()).startswith(b"HTTP/1.1 408 ")
    await wire.is_well()


@pytest.mark.parametrize("rest", [b"G", b"\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_a_second_request_that_is_not_sent_to_its_end_is_given_up(wire: Wire, rest: bytes) -> None:
    """The first byte behind an answer stops the clock for idle connections; another one runs from there."""
    said = await wire.exchange(b"GET /good HTTP/1.1\r\nhost: x\r\n\r\n", rest)
    assert said.startswith(b"HTTP/1.1 200 ")
    await wire.is_well()


async def test_a_body_that_trickles_is_given_up(wire: Wire) -> None:
    """408, and the connection does not stay for what is left of it."""
    assert (await trickle(wire, SLOW + LENGTH, b"x")).startswith(b"HTTP/1.1 408 ")
    await wire.is_well()


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n", b"5;a=b\r\nhello\r\n"])
async def test_chunks_that_trickle_are_given_up(wire: Wire, chunk: bytes) -> None:
    """As any body."""
    said = await trickle(wire, SLOW + b"transfer-encoding: chunked\r\n\r\n", chunk)
    assert said.startswith(b"HTTP/1.1 408 ")
    await wire.is_well()


@pytest.mark.parametrize("again", [b"x", b"x" * 60_000], ids=["slow", "fast"])
async def test_a_body_that_nobody_needs_is_not_read_for_ever(wire: Wire, again: bytes) -> None:
    """What comes behind an answer is read for a moment, that the answer may arrive; then the connection ends."""
    said = await trickle(wire, EARLY + b"content-length: 100000000000\r\n\r\n", again)
    assert said.startswith(b"HTTP/1.1 413 ")
    said = await trickle(
        wire, EARLY + b"transfer-encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n" % (len(again), again)
    )
    assert said.startswith(b"HTTP/1.1 200 ")
    await wire.is_well()


async def test_a_client_that_reads_nothing_is_cut_off(wire: Wire) -> None:
    """An answer that nobody takes holds neither the task that writes it nor the memory that it fills."""
    reader, writer = await wire.open()
    taking = cast("asyncio.ReadTransport", writer.transport)
    taking.pause_reading()
    writer.write(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n")
    await eventually(lambda: wire.echo.left == ["/flood"])
    await eventually(lambda: not wire.server.server_state.connections)
    taking.resume_reading()
    await until_closed(reader)
    await gone(writer)
    await wire.is_well()


@pytest.mark.parametrize("path", [b"/hang", b"/flood"])
async def test_a_client_that_closes_its_side_has_left(wire: Wire, path: bytes) -> None:
    """What it asked for ends, whether or not it was being answered."""
    reader, writer = await wire.open()
    writer.write(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    await eventually(lambda: wire.echo.begun)
    writer.write_eof()
    await eventually(lambda: wire.echo.left == [path.decode()])
    await until_closed(reader)
    await gone(writer)
    await wire.is_well()


async def test_a_client_that_closes_its_side_in_a_head_or_a_body_has_left(wire: Wire) -> None:
    """Nothing waits for the rest."""
    for part in (b"", b"GET / HT", SLOW + LENGTH + b"abc"):
        reader, writer = await wire.open()
        writer.write(part)
        writer.write_eof()
        await until_closed(reader)
        await gone(writer)
    await wire.is_well()


async def test_a_thousand_idle_connections_keep_nobody_out() -> None:
    """A good request is answered while they are there; they end, and are not missed."""
    async with serving(header_seconds=30.0) as wire:
        idle = [await wire.open() for _ in range(1000)]
        await eventually(lambda: len(wire.server.server_state.connections) == 1000)
        assert (await wire.exchange(GOOD)).startswith(b"HTTP/1.1 200 ")
        for _, writer in idle:
            await gone(writer)
        await wire.is_well()


async def test_beyond_the_most_connections_a_new_one_is_told_so() -> None:
    """503 with when to come back, a moment to read it, and none where there are too many of them; those inside go on."""
    async with serving(most_connections=8, header_seconds=30.0) as wire:
        inside = [await wire.open() for _ in range(8)]
        await eventually(lambda: len(wire.server.server_state.connections) == 8)
        said = await wire.exchange(GOOD)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in said
        crowd = [await wire.open() for _ in range(30)]
        for reader, writer in crowd:
            assert (await until_closed(reader)).startswith(b"HTTP/1.1 503 ")
            await gone(writer)
        for reader, writer in inside:
            writer.write(GOOD)
            assert (await until_closed(reader)).startswith(b"HTTP/1.1 200 ")
            await gone(writer)
        await wire.is_well()
