"""Every way to fail, as real clients report it over a real socket, is read as the fault that it is."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import ModelRequestParameters

from seawall.defense.faults import Fault, read_fault
from tests.defense.broken import (
    EVERY,
    READ,
    SECONDS,
    Breakage,
    Broken,
    chat_model,
    client_tls,
    tasks_left,
    web_client,
)

Client = Callable[[Broken], Awaitable[object]]
# All but those that a status tells, which nothing reads on a bare socket.
NO_STATUS = [kind for kind in READ if not kind[0].isdigit() and kind not in {"quota", "context window"}]


class Label(BaseModel):
    """What the healthy server answers to anything but a chat completion."""

    label: str


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncGenerator[None]:
    """Whatever fails, no task is left of it."""
    yield
    assert not await tasks_left()


async def whole(server: Broken) -> object:
    """Ask for a chat completion in one piece."""
    async with chat_model(server) as model, asyncio.timeout(0.2):
        return await model.request(
            [ModelRequest.user_text_prompt("How is it?")], None, ModelRequestParameters()
        )


async def stream(server: Broken) -> object:
    """Ask for a chat completion as it comes, and hear it to its end."""
    messages: Any = [ModelRequest.user_text_prompt("How is it?")]
    async with chat_model(server) as model, asyncio.timeout(0.2):
        async with model.request_stream(messages, None, ModelRequestParameters()) as answer:
            async for _ in answer:
                pass
        return answer.get()


async def plain(server: Broken) -> object:
    """Ask as a tool or a guard asks some service, with a client's own time limits."""
    async with web_client(0.2) as client:
        response = await client.post(f"{server.url}/label", json={"text": "some"})
        response.raise_for_status()
        return Label.model_validate(response.json())


async def bare(server: Broken) -> object:
    """Speak over a socket, with nothing between."""
    address = urlsplit(server.url)
    secret = client_tls() if address.scheme == "https" else None
    async with asyncio.timeout(0.2):
        reader, writer = await asyncio.open_connection(address.hostname, address.port or 80, ssl=secret)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            return Label.model_validate_json(await reader.readexactly(size))
        finally:
            writer.close()


async def read(ask: Client, kind: Breakage) -> Fault:
    """Have a client fail, and read what it raises."""
    async with Broken(kind) as server:
        with pytest.raises(Exception) as raised:  # noqa: PT011  whatever it raises is what is read
            await ask(server)
    return read_fault(raised.value)


def test_every_way_to_fail_has_a_row() -> None:
    """The table leaves out only the answers that are no failure of a server."""
    assert {*READ, "healthy", "content filter"} == {*EVERY}


@pytest.mark.parametrize("ask", [whole, stream, plain, bare])
async def test_a_healthy_server_is_no_fault(ask: Client) -> None:
    """Every client gets its answer from the same server when that does not fail."""
    async with Broken() as server:
        assert await ask(server)


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("ask", [whole, stream, plain])
async def test_every_client_tells_every_way_to_fail(ask: Client, kind: Breakage) -> None:
    """Name, weight and another try are the same whoever asked, but for what a client cannot know."""
    expected = READ[kind]
    if kind == "error in the stream" and ask is stream:
        # It comes with the provider's code, where a body of status 200 has only the wrong shape.
        expected = ("server_error", True, True)
    if kind == "quota" and ask is plain:
        # Its status says that there were too many requests; that there is no money is said in words of the provider's.
        expected = ("rate_limited", True, True)
    fault = await read(ask, kind)
    assert (fault.kind, fault.counts, fault.again) == expected


@pytest.mark.parametrize("kind", NO_STATUS)
async def test_a_bare_socket_tells_what_is_no_status(kind: Breakage) -> None:
    """The errors of the system and of the standard library are read without any client's words."""
    fault = await read(bare, kind)
    # Where connecting and reading share one limit, it is not known which of them ran into it.
    expected = "read_timeout" if READ[kind][0] == "connect_timeout" else READ[kind][0]
    assert (fault.kind, fault.counts) == (expected, True)


@pytest.mark.parametrize("ask", [whole, stream, plain])
@pytest.mark.parametrize("kind", ["429 seconds", "429 date", "503 seconds"])
async def test_the_wait_that_was_asked_for_arrives_in_seconds(ask: Client, kind: Breakage) -> None:
    """Whether the header has seconds or a date, what is read is seconds from now."""
    fault = await read(ask, kind)
    assert fault.retry_after is not None
    assert SECONDS - 10 < fault.retry_after <= SECONDS
