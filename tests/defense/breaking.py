"""A provider that breaks off a streamed answer at the place and in the way it is told, on a real socket."""

import asyncio
import json
import socket
import struct
from collections.abc import Sequence
from typing import Any, Literal

from seawall.testing.sse import in_fours, stream_events
from tests.defense.broken import Broken, Reply

Break = Literal["cut", "reset", "stall", "error event", "truncated"]

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


def events_of(completion: dict[str, Any]) -> list[bytes]:
    """The server-sent events of a completion: its role, `reasoning_content` if it has any, then the rest as `stream_events` does."""
    role, *others = stream_events(completion, in_fours, with_usage=True)
    thought = completion["choices"][0]["message"].get("reasoning_content") or ""
    thinks = [_instead(role, {"reasoning_content": piece}) for piece in in_fours(thought)]
    return [role, *thinks, *others]


def place_of(events: Sequence[bytes], said: str) -> int:
    """How many events there are up to the one in which `said` is complete: a thought, a tool's name, words or arguments."""
    heard = ""
    for number, event in enumerate(events, start=1):
        heard += _said(event)
        if said in heard:
            return number
    raise ValueError(f"the answer never says {said!r}")


class Breaking(Broken):
    """Sends `after` events of a streamed answer, none and no headers where it is -1, then breaks off by `how`.

    `cut` closes the connection, `reset` with RST, `stall` says nothing more, `error event` sends `error` as an event,
    `truncated` ends the body as if that were all. Where `only` is given, that is the number, from 1, of the one request
    it happens to; the others are answered whole.
    """

    def __init__(
        self, how: Break, after: int, reply: Reply, *, error: str = "server_error", only: int | None = None
    ) -> None:
        super().__init__(reply=reply)
        self._how: Break = how
        self._after = after
        self._error = error
        self._only = only

    async def _stream(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        events = events_of(self._completion(request))
        whole = self._only not in {None, self.requests}
        if whole or self._after >= 0:
            writer.write(_HEAD)
        for event in events if whole else events[: max(self._after, 0)]:
            writer.write(_chunk(event))
        await writer.drain()
        if whole:
            writer.write(_chunk(b""))
        else:
            await self._break_off(reader, writer)

    async def _break_off(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match self._how:
            case "cut":
                return
            case "reset":
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            case "stall":
                await self._hang(reader)
            case "error event":
                error = {"error": {"message": "scripted failure", "type": self._error, "code": self._error}}
                writer.write(_HEAD if self._after < 0 else b"")
                writer.write(_chunk(b"data: " + json.dumps(error).encode() + b"\n\n") + _chunk(b""))
            case "truncated":
                writer.write(_HEAD if self._after < 0 else b"")
                writer.write(_chunk(b""))


def _chunk(event: bytes) -> bytes:
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


def _instead(event: bytes, delta: dict[str, Any]) -> bytes:
    """Write an event with another delta in it."""
    chunk = json.loads(event.removeprefix(b"data: "))
    chunk["choices"][0]["delta"] = delta
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _said(event: bytes) -> str:
    body = event.removeprefix(b"data: ").strip()
    choices: list[dict[str, Any]] = json.loads(body)["choices"] if body.startswith(b"{") else []
    delta: dict[str, Any] = choices[0]["delta"] if choices else {}
    calls: list[dict[str, Any]] = delta.get("tool_calls") or []
    called = "".join(call["function"].get("name", "") + call["function"]["arguments"] for call in calls)
    return (delta.get("reasoning_content") or "") + (delta.get("content") or "") + called
