"""Bodies: how large they may be, and how slowly they may come."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from seawall.edge.http.problems import problem, rendered
from seawall.foundation.errors import SeawallError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Render = Callable[[str, dict[str, Any]], tuple[int, Headers, bytes]]

# After a while, a body has to have come at this rate on average: a byte now and then does not hold a place.
_GRACE_SECONDS = 5.0
_LEAST_BYTES_PER_SECOND = 1024


class BodyRefused(SeawallError):
    """A body is larger than its bound, came too slowly, or was not sent to its end; `code` is the problem's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Intake:
    """Stands before an application, and bounds what it reads, whichever way it reads it.

    A body of more than `max_body` bytes, or than `larger` has for its path, is refused before a byte of it is read if it says
    its length, else as soon as it is too long (413). One that is not there within `body_seconds` of its first read, or
    comes at less than 1 KiB/s after the first 5 s, is refused (408). The application's own read raises BodyRefused; where it
    makes another answer of that, the refusal goes out all the same, as `render` has it for a path.
    """

    def __init__(
        self,
        app: App,
        *,
        max_body: int,
        body_seconds: float,
        larger: Mapping[str, int] | None = None,
        render: Render = lambda _path, told: rendered(told),
    ) -> None:
        self._app = app
        self._larger = larger or {}
        self._render = render
        self._max_body = max_body
        self._body_seconds = body_seconds

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass a request on, with its body bounded."""
        if scope["type"] != "http" or not _has_body(scope["headers"]):
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        most = self._larger.get(path, self._max_body)
        try:
            check_announced(scope["headers"], most)
        except BodyRefused as refused:
            await _send(send, *self._render(path, problem(refused.code, str(refused))))
            return
        reading = Reading(receive, most=most, within=self._body_seconds)
        answering = _Answering(reading, send, lambda told: self._render(path, told))
        try:
            await self._app(scope, reading, answering)
        except BodyRefused:
            if reading.refused is None or answering.started:
                raise
            await answering.refuse(reading.refused)


class Reading:
    """Receives what `receive` does, as long as it is within bounds; BodyRefused, now and ever after, when it is not."""

    def __init__(self, receive: Receive, *, most: int, within: float) -> None:
        self._receive = receive
        self._most = most
        self._within = within
        self._began: float | None = None
        self._size = 0
        self._whole = False
        self.refused: BodyRefused | None = None

    async def __call__(self) -> Message:
        """Receive the next part of the body; behind it, the end of the connection."""
        if self.refused is not None:
            raise self.refused
        if self._whole:
            return await self._receive()
        try:
            return await self._part()
        except BodyRefused as refused:
            self.refused = refused
            raise

    async def _part(self) -> Message:
        try:
            async with asyncio.timeout_at(self._due()):
                message = await self._receive()
        except TimeoutError:
            raise BodyRefused(
                "request-timeout",
                f"the body came too slowly: {self._size} bytes of it within {self._waited():g} s",
            ) from None
        if message["type"] == "http.disconnect":
            self._whole = True
            return message
        self._size += len(message.get("body", b""))
        if self._size > self._most:
            raise BodyRefused("too-large", f"the body is larger than {self._most} bytes")
        self._whole = not message.get("more_body")
        return message

    def _due(self) -> float:
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
        return self._began + self._waited()

    def _waited(self) -> float:
        return min(self._within, _GRACE_SECONDS + self._size / _LEAST_BYTES_PER_SECOND)


class _Answering:
    """Sends an application's answer, or the refusal of its body in place of it."""

    def __init__(
        self, reading: Reading, send: Send, render: Callable[[dict[str, Any]], tuple[int, Headers, bytes]]
    ) -> None:
        self._reading = reading
        self._send = send
        self._render = render
        self.started = False
        self._done = False

    async def __call__(self, message: Message) -> None:
        if self._done:
            return
        if not self.started and self._reading.refused is not None:
            await self.refuse(self._reading.refused)
            return
        self.started = True
        await self._send(message)

    async def refuse(self, refused: BodyRefused) -> None:
        if not self._done:
            self._done = True
            await _send(self._send, *self._render(problem(refused.code, str(refused))))


def check_announced(headers: Headers, most: int) -> None:
    """Refuse a body by the length that it announces; BodyRefused before a byte of it is read."""
    said = next((value for name, value in headers if name == b"content-length"), b"0")
    if not said.isdigit():
        raise BodyRefused("bad-request", "Content-Length is no number")
    if int(said) > most:
        raise BodyRefused("too-large", f"the body has {int(said)} bytes; at most {most} are read here")


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _has_body(headers: Headers) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in headers)
