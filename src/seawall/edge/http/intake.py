"""Bodies: how large they may be, and how slowly they may come."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from seawall.foundation.errors import SeawallError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Headers = list[tuple[bytes, bytes]]


class BodyRefused(SeawallError):
    """A body is larger than its bound, came too slowly, or was not sent to its end; `code` is the problem's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def check_announced(headers: Headers, most: int) -> None:
    """Refuse a body by the length that it announces; BodyRefused before a byte of it is read."""
    said = next((value for name, value in headers if name == b"content-length"), b"0")
    if not said.isdigit():
        raise BodyRefused("bad-request", "Content-Length is no number")
    if int(said) > most:
        raise BodyRefused("too-large", f"the body has {int(said)} bytes; at most {most} are read here")


async def read_body(receive: Receive, headers: Headers, *, most: int, within: float) -> bytes:
    """Return a whole body of at most `most` bytes that came within `within` seconds; BodyRefused otherwise."""
    check_announced(headers, most)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(within):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BodyRefused("bad-request", "the caller left before the end of the body")
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise BodyRefused("too-large", f"the body is larger than {most} bytes")
                parts.append(part)
                if not message.get("more_body"):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise BodyRefused("request-timeout", f"the body was not there within {within:g} s") from None
