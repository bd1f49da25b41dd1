"""The wire: HTTP/1.1 as uvicorn reads it, with bounds on what a connection may send before anybody knows who it is.

Source: RFC 9112, RFC 6585 (431). Bodies are bounded where they are read, in `intake.py`.
"""

import asyncio
from typing import Any, ClassVar, Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from seawall.edge.http.problems import problem, rendered
from seawall.foundation.units import seconds

_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    414: b"URI Too Long",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


class Front(Protocol):
    """Decides on a request by its line and headers alone, before there is a task for it."""

    def refuse(self, method: bytes, path: bytes, headers: list[tuple[bytes, bytes]], ip: str) -> bytes | None:
        """Return the whole answer of a request that goes no further, None for one that does."""
        ...


class _Over:
    """Stands for a request that was answered already."""

    response_complete = True
    disconnected = False
    message_event = asyncio.Event()


_OVER = _Over()


class WireProtocol(HttpToolsProtocol):
    """One connection. Requests that are refused by their headers cost no task and one write.

    A request line of 8 KiB, 100 headers, and 32 KiB of both together are the most; they have to be complete within
    `header_seconds` of the connection, or of their first byte. Beyond `most_connections` a connection is answered 503 and
    closed.
    """

    most_line: ClassVar[int] = 8 * 1024
    most_headers: ClassVar[int] = 100
    most_bytes: ClassVar[int] = 32 * 1024
    most_connections: ClassVar[int] = 2000
    header_seconds: ClassVar[float] = seconds("10s")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.front = cast("Front | None", getattr(cast("Any", self.app), "front", None))
        # What came of a head so far, and what of it was read as headers: it may all come at once.
        self._head = self._named = 0
        self._in_head = True
        self._dead = False
        self._alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._close_with("overloaded", retry_after=1.0)
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it."""
        self._calm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as far as a head may go."""
        if self._dead:
            return
        if self._in_head:
            self._head += len(data)
            if self._alarm is None:
                self._await_head()
        super().data_received(data)
        if self._in_head and self._head > self.most_bytes and not self._dead:
            self._close_with("headers-too-large")

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head, self._head, self._named = True, 0, 0

    def on_url(self, url: bytes) -> None:
        """Read the request line."""
        super().on_url(url)
        if len(self.url) > self.most_line:
            self._close_with("uri-too-long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header."""
        super().on_header(name, value)
        self._named += len(name) + len(value)
        if len(self.headers) > self.most_headers or self._named > self.most_bytes:
            self._close_with("headers-too-large")

    def on_headers_complete(self) -> None:
        """Ask the front, where nothing is being answered; have the application answer the rest."""
        self._in_head = False
        self._calm()
        if self._dead:
            self.cycle = cast("Any", _OVER)
            return
        parser, cycle = cast("Any", self.parser), cast("Any", self.cycle)
        idle = cycle is None or cycle.response_complete
        if self.front is not None and idle and not self.expect_100_continue:
            path = self.url.partition(b"?")[0]
            ip = self.client[0] if self.client else ""
            refusal = self.front.refuse(parser.get_method(), path, self.headers, ip)
            if refusal is not None:
                self.cycle = cast("Any", _OVER)
                self.transport.write(refusal)
                if parser.should_keep_alive():
                    self.on_response_complete()
                else:
                    self.transport.close()
                return
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._close_with("bad-request")

    def _await_head(self) -> None:
        self._alarm = self.loop.call_later(self.header_seconds, self._late)

    def _calm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _late(self) -> None:
        self._alarm = None
        if self._in_head and not self._dead:
            self._close_with("request-timeout")

    def _close_with(self, code: str, *, retry_after: float | None = None) -> None:
        if self._dead:
            return
        self._dead = True
        self._calm()
        if not self.transport.is_closing():
            self.transport.write(
                wire(*rendered(problem(code, retry_after=retry_after), [(b"connection", b"close")]))
            )
            self.transport.close()


def wire(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Return an answer as it goes over the wire."""
    lines = [b"HTTP/1.1 %d %s" % (status, _REASONS.get(status, b"Refused"))]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
