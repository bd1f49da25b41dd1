"""What comes over the wire before anybody knows who it is: refused cleanly, and the service goes on."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from seawall import Policy
from seawall.edge.app import Seawall
from seawall.edge.http.protocol import WireProtocol
from tests.edge.serve.world import World, serving


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[World]:
    """Serve with little patience."""
    monkeypatch.setattr(WireProtocol, "header_seconds", 0.3)
    app = Seawall()
    app.add(Agent(TestModel(), name="clerk"), Policy(abuse=None))
    async with serving(app, tmp_path) as world:
        yield world


async def exchange(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send the parts, and return all that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def is_well(world: World) -> bool:
    """Whether the service answers."""
    said = await exchange(world.port, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    return said.startswith(b"HTTP/1.1 200")


HEAD = b"POST /v1/agents/clerk/runs HTTP/1.1\r\nhost: x\r\n"
HOSTILE: dict[str, tuple[bytes, int]] = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "a long address": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    "long headers": (b"GET / HTTP/1.1\r\na: " + b"b" * 70_000 + b"\r\n\r\n", 431),
    "two lengths": (HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400),
    "a length and chunks": (HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "no length": (HEAD + b"content-length: many\r\n\r\n", 400),
    "a null byte": (b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
}


@pytest.mark.parametrize(("sent", "status"), HOSTILE.values(), ids=HOSTILE)
async def test_what_is_hostile_is_refused_and_closed(world: World, sent: bytes, status: int) -> None:
    """With a problem, no connection left, and nobody else worse off."""
    said = await exchange(world.port, sent)
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in said
    assert await is_well(world)


async def test_headers_that_trickle_are_given_up(world: World) -> None:
    """Slowloris: a byte now and then does not hold a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    answer = asyncio.ensure_future(reader.read())
    writer.write(b"GET / HTTP/1.1\r\n")
    while not answer.done():
        writer.write(b"a: b\r\n")
        await asyncio.wait([answer], timeout=0.05)
    writer.close()
    assert answer.exception() is not None or answer.result().startswith(b"HTTP/1.1 408 ")
    assert await is_well(world)


async def test_a_connection_that_says_nothing_is_given_up(world: World) -> None:
    """It costs its place for a moment only."""
    assert (await exchange(world.port)).startswith(b"HTTP/1.1 408 ")


async def test_many_idle_connections_keep_nobody_out(world: World) -> None:
    """Five hundred that say nothing, and one that asks."""
    idle = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(500)]
    try:
        assert await is_well(world)
    finally:
        for _, writer in idle:
            writer.close()


async def test_beyond_the_most_connections_a_new_one_is_turned_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, at once, and those inside go on."""
    monkeypatch.setattr(WireProtocol, "most_connections", 2)
    inside = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(2)]
    said = await exchange(world.port)
    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in said
    for _, writer in inside:
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(0.05)
    assert await is_well(world)


async def test_an_announced_body_is_refused_before_it_is_sent(world: World) -> None:
    """A hundred megabytes are not waited for."""
    async with world.client() as client:
        key = client.headers["authorization"].encode()
    head = (
        HEAD
        + b"authorization: "
        + key
        + b"\r\ncontent-type: application/json\r\ncontent-length: 100000000\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(head)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
    writer.close()
    assert await is_well(world)


async def test_requests_one_after_another_in_one_packet_are_all_answered(world: World) -> None:
    """Pipelined, in their order."""
    one = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /problems/overloaded HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    said = await exchange(world.port, one * 3 + last)
    assert said.count(b"HTTP/1.1 200") == 4
    assert said.endswith(b"}")
