"""The wire: HTTP/1.1 as uvicorn reads it, with bounds on what a connection may send before anybody knows who it is.

Source: RFC 9112 (framing, and what of it smuggles requests past a proxy), RFC 6585 (431). Bodies are bounded where they are
read, in `intake.py`.
"""

import asyncio
import logging
from collections.abc import MutableMapping
from functools import cache
from typing import Any, ClassVar, Literal, Protocol, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from seawall.edge.http.problems import problem, rendered
from seawall.edge.http.security import SECURITY
from seawall.foundation.units import seconds

_REASONS = {
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}
_CLOSE = (b"connection", b"close")
_END = b"\r\n\r\n"
_COLON_AND_END = 4
_log = logging.getLogger("seawall.http")


class Front(Protocol):
    """Decides on a request by its line and headers alone, before there is a task for it."""

    def refuse(self, method: bytes, path: bytes, scope: MutableMapping[str, Any], ip: str) -> bytes | None:
        """Return the whole answer of a request that goes no further, None for one that does.

        `scope` is the request's own, with its headers; what was learnt may be left there for the application.
        """
        ...


class _Refused(Exception):
    """Ends the parsing of what a connection sent, from within."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


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
    closed. At most `most_waiting` requests wait behind the one that is being answered; the connection ends with the last.
    Framing that two readers could read differently is refused, and nothing is read behind it. Trailers are not read.

    After an answer that needed no more of the body, what is left of it is read for `linger_seconds` at most, so that the
    answer is not lost to a reset. A client that reads nothing for `write_seconds` is cut off. One that closes its side has
    left: what it asked for ends.
    """

    most_line: ClassVar[int] = 8 * 1024
    most_headers: ClassVar[int] = 100
    most_bytes: ClassVar[int] = 32 * 1024
    most_connections: ClassVar[int] = 2000
    most_waiting: ClassVar[int] = 16
    header_seconds: ClassVar[float] = seconds("10s")
    linger_seconds: ClassVar[float] = seconds("5s")
    write_seconds: ClassVar[float] = seconds("30s")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.front = cast("Front | None", getattr(cast("Any", self.app), "front", None))
        self._at: Literal["rest", "head", "body"] = "rest"
        # Bytes that came and were neither a whole head nor part of a body, by packets; and what a head's headers say.
        self._loose = self._named = self._hosts = 0
        self._coding: bytes | None = None
        # Nothing is read any more: there is an answer on its way that is the last.
        self._deaf = False
        # The request that is being answered; `cycle` is the one that was read last.
        self._serving: Any = None
        # Until when a head, or what is left of a body, has to be here; until when what was written has to be taken.
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away."""
        super().connection_made(transport)
        beyond = len(self.connections) - self.most_connections
        if beyond <= 0:
            self._reading = self.loop.call_later(self.header_seconds, self._late)
            return
        self._answer("overloaded", retry_after=1.0)
        if beyond > self.most_connections // 8:
            # Too many to see each of them off.
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all requests of it that their caller has left."""
        self._calm()
        self._taken()
        self._unset_keepalive_if_required()
        for cycle in (self._serving, *(waiting for waiting, _ in self.pipeline)):
            _leave(cycle)
        self.pipeline.clear()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Close a connection whose other side was closed: nobody waits there."""
        self._end()

    def data_received(self, data: bytes) -> None:
        """Read on, as far as the bounds go."""
        if self._deaf:
            return
        self._loose += len(data)
        try:
            cast("Any", self.parser).feed_data(data)
        except httptools.HttpParserUpgrade:
            # What follows would be another protocol, and none is spoken here.
            self._stop()
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._fail(cause.code if isinstance(cause, _Refused) else "bad-request")
        else:
            self._bound()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._at = "head"
        self._named = self._hosts = 0
        self._coding = None

    def on_url(self, url: bytes) -> None:
        """Read the request line."""
        super().on_url(url)
        if len(self.url) > self.most_line:
            raise _Refused("uri-too-long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header. One behind the body, where nothing judges it any more, is left out."""
        if self._at == "body":
            return
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"transfer-encoding":
            self._coding = value.strip().lower()
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        self._named += len(name) + len(value) + _COLON_AND_END
        if len(self.headers) > self.most_headers or len(self.url) + self._named > self.most_bytes:
            raise _Refused("headers-too-large")

    def on_headers_complete(self) -> None:
        """Ask the front, where nothing is being answered; have the application answer the rest."""
        self._check_framing()
        if self._serving is not None and len(self.pipeline) >= self.most_waiting:
            raise _Refused("overloaded")
        if self._serving is not None or not self._turned_away():
            super().on_headers_complete()
        self._at, self._loose = "body", 0
        self._calm()

    def on_body(self, body: bytes) -> None:
        """Read of a body."""
        self._loose = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request as far as it is read."""
        super().on_message_complete()
        self._at, self._loose = "rest", 0
        if self._serving is None and not self._deaf and not self.transport.is_closing():
            self._calm()
            self._rest()

    def on_response_complete(self) -> None:
        """Go on to the next request: one that waits, or one that is still to come."""
        self.server_state.total_requests += 1
        self._serving = None
        if self.transport.is_closing():
            self._end()
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._at == "rest":
            self._rest()
        else:
            self._bound()

    def pause_writing(self) -> None:
        """Give whoever does not read a while."""
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.write_seconds, self._cut)

    def resume_writing(self) -> None:
        """Go on."""
        self._taken()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that nothing came on for long."""
        self._end()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._serving = cycle
        super()._start_asgi_task(cycle, app)

    def _check_framing(self) -> None:
        version = cast("Any", self.parser).get_http_version()
        if version == "1.1":
            sound = self._hosts == 1 and self._coding in {None, b"chunked"}
        else:
            # Chunks are not known to 1.0, and a proxy that speaks it passes them on.
            sound = version == "1.0" and self._hosts <= 1 and self._coding is None
        if not sound:
            raise _Refused("bad-request")

    def _turned_away(self) -> bool:
        if self.front is None or self.expect_100_continue:
            return False
        parser = cast("Any", self.parser)
        method, ip = parser.get_method(), self.client[0] if self.client else ""
        try:
            refusal = self.front.refuse(method, self.url.partition(b"?")[0], cast("Any", self.scope), ip)
        except Exception:  # noqa: BLE001  whatever it is, nothing goes past it
            _log.exception("the front failed")
            raise _Refused("failed") from None
        if refusal is None:
            return False
        self.server_state.total_requests += 1
        self.cycle = cast("Any", _OVER)
        if method == b"HEAD":
            refusal = refusal[: refusal.index(_END) + len(_END)]
        self.transport.write(refusal)
        if not parser.should_keep_alive():
            self._part()
        return True

    def _bound(self) -> None:
        """See that what was begun ends, and does not grow without end."""
        if self._deaf or self.transport.is_closing():
            return
        if self._loose > self.most_bytes:
            self._fail("headers-too-large")
        elif self._reading is not None or self._serving is not None:
            return
        elif self._at == "head":
            self._reading = self.loop.call_later(self.header_seconds, self._late)
        elif self._at == "body":
            self._reading = self.loop.call_later(self.linger_seconds, self._end)

    def _late(self) -> None:
        self._reading = None
        self._fail("request-timeout")

    def _fail(self, code: str) -> None:
        """Answer what cannot be read on from, after all that came before it; then close."""
        read, serving = cast("Any", self.cycle), self._serving
        if self._at == "body" and read is not None and not read.response_complete:
            if self.pipeline and self.pipeline[0][0] is read:
                # Its body is broken: it is not begun.
                self.pipeline.popleft()
            elif read is serving:
                _leave(serving)
                if serving.response_started:
                    self._end()
                    return
                serving = None
        if serving is not None:
            self._stop()
            return
        self._answer(code)

    def _stop(self) -> None:
        """Read nothing more; the answers that are due are still given."""
        self._deaf = True
        self._calm()
        if self._serving is None:
            self._part()
            return
        last: Any = self.pipeline[0][0] if self.pipeline else self._serving
        last.keep_alive = False

    def _answer(self, code: str, retry_after: float | None = None) -> None:
        if not self.transport.is_closing():
            self.transport.write(_last_word(code, retry_after))
        self._part()

    def _part(self) -> None:
        """Close, and let what was written arrive: closed with something unread, a connection is reset."""
        self._deaf = True
        self._calm()
        self._unset_keepalive_if_required()
        if self.transport.is_closing() or not self.transport.can_write_eof():
            self._end()
            return
        self.transport.write_eof()
        self._writing = self._writing or self.loop.call_later(self.linger_seconds, self._cut)

    def _rest(self) -> None:
        self._unset_keepalive_if_required()
        wait = self.timeout_keep_alive
        self.timeout_keep_alive_task = self.loop.call_later(wait, self.timeout_keep_alive_handler)

    def _end(self) -> None:
        """Close, whether or not what was written is taken."""
        self._calm()
        self._unset_keepalive_if_required()
        self.transport.close()
        if self._writing is None:
            self._writing = self.loop.call_later(self.write_seconds, self._cut)

    def _cut(self) -> None:
        self._writing = None
        self.transport.abort()

    def _calm(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _taken(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


def _leave(cycle: Any) -> None:
    """Tell a request that its caller has left."""
    if cycle is not None and not cycle.response_complete:
        cycle.disconnected = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()


@cache
def _last_word(code: str, retry_after: float | None) -> bytes:
    return wire(*rendered(problem(code, retry_after=retry_after), [_CLOSE, *SECURITY]))


def wire(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Return an answer as it goes over the wire."""
    lines = [b"HTTP/1.1 %d %s" % (status, _REASONS.get(status, b"Refused"))]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + _END + body
