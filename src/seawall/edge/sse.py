"""Server-sent events over ASGI."""

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from starlette.responses import Response

from seawall.edge.presence import CallerLeft, while_present

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class EventStream(Response):
    """An answer of events. The generator behind it is read by the request's own task, and closed when its reader leaves.

    `first` is what was read of it already: what goes wrong before can still be answered with a status.
    """

    media_type = "text/event-stream"

    def __init__(
        self, frames: AsyncGenerator[bytes], headers: dict[str, str] | None = None, *, first: bytes = b""
    ) -> None:
        self._frames = frames
        self._first = first
        self.status_code = 200
        self.background = None
        # Proxies hold back what they think they may.
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})})

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]], send: Send
    ) -> None:
        """Send the frames as they come, until their end or their reader's."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with suppress(CallerLeft):
            await while_present(receive, self._sent(send))

    async def _sent(self, send: Send) -> None:
        try:
            if self._first:
                await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for frame in self._frames:
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        finally:
            await self._frames.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
