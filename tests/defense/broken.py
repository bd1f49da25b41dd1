"""A server that fails in the way it is told, on a real socket of this machine."""

import asyncio
import json
import socket
import ssl
import struct
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import cache
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any, Literal, Self, get_args

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from seawall.defense.faults import FaultKind
from seawall.testing import say
from seawall.testing.sse import in_fours, stream_events

Breakage = Literal[
    "healthy",
    "dns",
    "refused",
    "reset on accept",
    "reset on request",
    "tls on a plain port",
    "tls self-signed",
    "tls hang",
    "connect timeout",
    "read timeout",
    "stall",
    "cut",
    "error in the stream",
    "429",
    "429 seconds",
    "429 date",
    "quota",
    "500",
    "502 html",
    "503",
    "503 seconds",
    "504",
    "529",
    "400",
    "context window",
    "content filter",
    "401",
    "403",
    "404",
    "408",
    "413",
    "422",
    "empty",
    "invalid json",
    "wrong shape",
]
EVERY: tuple[Breakage, ...] = get_args(Breakage)
# What each is read as: kind of fault, whether it counts against the dependency, whether it is for another try.
READ: dict[Breakage, tuple[FaultKind, bool, bool]] = {
    "dns": ("dns", True, True),
    "refused": ("refused", True, True),
    "reset on accept": ("reset", True, True),
    "reset on request": ("reset", True, True),
    "tls on a plain port": ("tls", True, False),
    "tls self-signed": ("tls", True, False),
    "tls hang": ("connect_timeout", True, True),
    "connect timeout": ("connect_timeout", True, True),
    "read timeout": ("read_timeout", True, False),
    "stall": ("read_timeout", True, False),
    "cut": ("reset", True, True),
    "error in the stream": ("unreadable", True, True),
    "429": ("rate_limited", True, True),
    "429 seconds": ("rate_limited", True, True),
    "429 date": ("rate_limited", True, True),
    "quota": ("rate_limited", True, False),
    "500": ("server_error", True, True),
    "502 html": ("server_error", True, True),
    "503": ("overloaded", True, True),
    "503 seconds": ("overloaded", True, True),
    "504": ("server_error", True, True),
    "529": ("overloaded", True, True),
    "400": ("rejected", False, False),
    "context window": ("rejected", False, False),
    "401": ("authentication", True, False),
    "403": ("authentication", False, False),
    "404": ("rejected", False, False),
    "408": ("reset", True, True),
    "413": ("rejected", False, False),
    "422": ("rejected", False, False),
    "empty": ("unreadable", True, True),
    "invalid json": ("unreadable", True, True),
    "wrong shape": ("unreadable", True, True),
}
Reply = Callable[[dict[str, Any]], Mapping[str, Any]]

SENTENCE = "All is well. "
# One that no caller of these tests would wait out.
SECONDS = 70


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def _well(request: dict[str, Any]) -> Mapping[str, Any]:
    return say(request, SENTENCE * 20)


def _error(status: int, code: str, *, retry_after: str | None = None) -> _Answer:
    body = json.dumps({"error": {"message": "scripted failure", "type": code, "code": code}}).encode()
    return _Answer(status, body, () if retry_after is None else (("Retry-After", retry_after),))


def _answers() -> dict[Breakage, _Answer]:
    return {
        "429": _error(429, "rate_limit_exceeded"),
        "429 seconds": _error(429, "rate_limit_exceeded", retry_after=str(SECONDS)),
        "429 date": _error(429, "rate_limit_exceeded", retry_after=formatdate(time() + SECONDS, usegmt=True)),
        "quota": _error(429, "insufficient_quota"),
        "500": _error(500, "server_error"),
        "502 html": _Answer(502, b"<html><h1>Bad gateway</h1></html>", (("Content-Type", "text/html"),)),
        "503": _error(503, "service_unavailable"),
        "503 seconds": _error(503, "service_unavailable", retry_after=str(SECONDS)),
        "504": _error(504, "gateway_timeout"),
        "529": _error(529, "overloaded_error"),
        "400": _error(400, "invalid_request_error"),
        "context window": _error(400, "context_length_exceeded"),
        "401": _error(401, "invalid_api_key"),
        "403": _error(403, "permission_denied"),
        "404": _error(404, "model_not_found"),
        "408": _error(408, "request_timeout"),
        "413": _error(413, "request_too_large"),
        "422": _error(422, "invalid_request_error"),
        "empty": _Answer(200),
        "invalid json": _Answer(200, b'{"label": "ok", '),
        "wrong shape": _Answer(200, b'{"verdict": ["of", "another", "kind"]}'),
    }


class Broken:
    """A server on a free loopback port that fails in the way of `kind`, open while the context is.

    `kind` may be changed while it is open, except from and to those that are not answered by a server: a name nobody
    knows, a closed port, a full backlog, TLS. Healthy, it answers a chat completion with `reply`, in server-sent events
    where they are asked for, and anything else with a label. `connections` and `requests` count what arrived. `asked` is
    set once a request was read, `left` once a caller that was kept waiting went away. Nothing of it is left after the context.
    """

    def __init__(self, kind: Breakage = "healthy", *, reply: Reply | None = None) -> None:
        self.kind: Breakage = kind
        self.connections = 0
        self.requests = 0
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self._reply = reply or _well
        self._url = ""
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        """Base URL without a slash at its end."""
        return self._url

    async def __aenter__(self) -> Self:
        """Listen, or see to it that nobody does."""
        match self.kind:
            case "dns":
                self._url = "http://nobody.invalid"
            case "refused":
                with socket.create_server(("127.0.0.1", 0)) as closed:
                    self._url = f"http://127.0.0.1:{closed.getsockname()[1]}"
            case "connect timeout":
                self._url = f"http://127.0.0.1:{self._full_backlog()}"
            case _:
                await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the port, and end what is still being answered."""
        await self._stack.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        # Connections are let go of in the loop's next turn.
        await asyncio.sleep(0)

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        await self._stack.enter_async_context(server)
        scheme = "https" if self.kind.startswith("tls") else "http"
        self._url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def _full_backlog(self) -> int:
        """Return a port whose one place in the queue is taken, so that the system answers no further knock."""
        silent = self._stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = silent.getsockname()[1]
        self._stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        return port

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.kind == "reset on accept":
                _reset(writer)
                return
            if self.kind == "tls on a plain port":
                await reader.readexactly(1)
                await _write(writer, _Answer(400, b"this port speaks plain HTTP"), whole=True)
                return
            if self.kind == "tls hang":
                await self._hang(reader)
                return
            if self.kind == "tls self-signed":
                await writer.start_tls(server_tls())
            request = await _read_request(reader)
            self.requests += 1
            self.asked.set()
            await self._answer(request, reader, writer)
        except (OSError, EOFError, ValueError):
            # The caller went away, or will not speak to this server.
            self.left.set()
        finally:
            writer.close()

    async def _answer(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answers = _answers()
        match self.kind:
            case "reset on request":
                _reset(writer)
            case "read timeout":
                await self._hang(reader)
            case kind if kind in answers:
                await _write(writer, answers[kind], whole=True)
            case _ if request.get("stream"):
                await self._stream(request, reader, writer)
            case _:
                await self._whole(request, reader, writer)

    async def _whole(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        body = self._completion(request) if "messages" in request else {"label": "ok", "score": 0.0}
        if self.kind == "error in the stream":
            body = {"error": {"message": "scripted failure", "code": "server_error"}}
        text = json.dumps(body).encode()
        await _write(writer, _Answer(200, text), whole=self.kind not in {"cut", "stall"})
        if self.kind == "stall":
            await self._hang(reader)

    async def _stream(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        events = stream_events(self._completion(request), in_fours, with_usage=True)
        whole = self.kind in {"healthy", "content filter"}
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        for event in events if whole else events[: len(events) // 2]:
            writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        if self.kind == "error in the stream":
            event = b'data: {"error": {"message": "scripted failure", "code": "server_error"}}\n\n'
            writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        if whole or self.kind == "error in the stream":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        if self.kind == "stall":
            await self._hang(reader)

    def _completion(self, request: dict[str, Any]) -> dict[str, Any]:
        completion = dict(self._reply(request))
        if self.kind == "content filter":
            message = {"role": "assistant", "content": None}
            completion["choices"] = [{"index": 0, "message": message, "finish_reason": "content_filter"}]
        return completion

    async def _hang(self, reader: asyncio.StreamReader) -> None:
        # Whoever waits says nothing more; the end of what it sends is the end of its patience.
        await reader.read()
        self.left.set()


async def _read_request(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    size = next(
        (line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:")), "0"
    )
    body = await reader.readexactly(int(size))
    return json.loads(body) if body else {}


async def _write(writer: asyncio.StreamWriter, answer: _Answer, *, whole: bool) -> None:
    headers = {"Content-Type": "application/json", "Connection": "close", **dict(answer.headers)}
    lines = [f"HTTP/1.1 {answer.status} Scripted", f"Content-Length: {len(answer.body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    writer.write(answer.body if whole else answer.body[: len(answer.body) // 2])
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST in place of FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@cache
def server_tls() -> ssl.SSLContext:
    """Speak TLS with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "both.pem")
        file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(file)
    return context


@cache
def client_tls() -> ssl.SSLContext:
    """Trust whom this machine trusts; made once, since reading the certificates takes longer than most of these tests."""
    return ssl.create_default_context()


@asynccontextmanager
async def web_client(read: float | None = None) -> AsyncGenerator[httpx2.AsyncClient]:
    """Give an HTTP client that is soon tired of connecting, and waits `read` seconds for an answer."""
    times = httpx2.Timeout(read, connect=0.1)
    async with httpx2.AsyncClient(verify=client_tls(), timeout=times) as client:
        yield client


@asynccontextmanager
async def chat_model(server: Broken, name: str = "first") -> AsyncGenerator[OpenAIChatModel]:
    """Give a real client of the chat completions that `server` gives, or does not."""
    async with web_client() as web:
        client = AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="test", max_retries=0, http_client=web, timeout=web.timeout
        )
        yield OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


async def tasks_left() -> set[asyncio.Task[object]]:
    """Return the tasks of this loop that are still there when all that can end has ended; for a fixture's own last word."""
    for _ in range(5):
        await asyncio.sleep(0)
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
