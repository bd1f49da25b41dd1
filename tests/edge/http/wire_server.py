"""uvicorn on a free loopback port, in a thread of its own as it runs in production, with bounds that a test can wait for."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
import uvloop

from seawall.edge.http.intake import Intake
from seawall.edge.http.protocol import Front, WireProtocol

App = Callable[[Any, Any, Any], Awaitable[None]]
GOOD = b"GET /good HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
HASTE = {"header_seconds": 0.2, "linger_seconds": 0.2, "write_seconds": 0.2}


@dataclass
class Echo:
    """Answers with what it was asked. `/early` reads no body, `/hang` waits for its caller to leave, `/flood` never ends."""

    front: Front | None = None
    begun: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        path = scope["path"]
        self.begun.append(path)
        if path == "/hang":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.append(path)
            return
        size = 0 if path == "/early" else await _read(receive)
        if path == "/flood":
            await self._flood(receive, send)
            return
        names = [name.decode("latin-1") for name, _ in scope["headers"]]
        said = json.dumps({"path": path, "size": size, "names": names}).encode()
        headers = [(b"content-length", b"%d" % len(said))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    async def _flood(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
        self.left.append("/flood")


async def _read(receive: Any) -> int:
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size


@dataclass
class Wire:
    """The server: where it is, and what it holds."""

    port: int
    server: uvicorn.Server
    protocol: type[WireProtocol]
    echo: Echo

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def exchange(self, *packets: bytes) -> bytes:
        """Send the packets, and return all that comes back until the server closes."""
        reader, writer = await self.open()
        try:
            for packet in packets:
                writer.write(packet)
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass
        try:
            return await until_closed(reader)
        finally:
            await gone(writer)

    async def is_well(self) -> None:
        """See that a good request is answered, and that nothing is left once nobody is there."""
        assert (await self.exchange(GOOD)).startswith(b"HTTP/1.1 200 ")
        await eventually(lambda: not self.server.server_state.connections)
        await eventually(lambda: not self.server.server_state.tasks)


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the end, or until a reset."""
    said = b""
    try:
        async with asyncio.timeout(20):
            while piece := await reader.read(1 << 16):
                said += piece
    except ConnectionError:
        pass
    return said


async def gone(writer: asyncio.StreamWriter) -> None:
    """Close a connection and let go of it."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def eventually(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(
    echo: Echo | None = None, *, loop: str = "uvloop", max_body: int = 1_000_000, **bounds: Any
) -> AsyncGenerator[Wire]:
    """Serve until the block is left; `bounds` are the protocol's."""
    echo = echo or Echo()
    app: Any = Intake(echo, max_body=max_body, body_seconds=bounds.pop("body_seconds", 0.3))
    app.front = echo.front
    protocol = type("Hasty", (WireProtocol,), {**HASTE, **bounds})
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        loop="none",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=1,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)

    def run() -> None:
        factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(server._serve([listening]))

    thread = threading.Thread(target=run, name="wire server")
    thread.start()
    try:
        await eventually(lambda: server.started)
        yield Wire(listening.getsockname()[1], server, protocol, echo)
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join, 20)
        assert not thread.is_alive()
