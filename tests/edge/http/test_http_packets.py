"""The protocol without a network: whatever comes, in whatever packets, it is answered the same and nothing is left over."""

import asyncio
from itertools import pairwise
from typing import Any

import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from seawall.edge.http.intake import Intake
from seawall.edge.http.protocol import WireProtocol
from tests.edge.http.wire_server import Echo

HOST = b"host: x\r\n"
PIECES = [
    b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /early HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n",
    b"POST /b HTTP/1.1\r\n" + HOST + b"content-length: 5\r\n\r\nhello",
    b"POST /early HTTP/1.1\r\n" + HOST + b"content-length: 5\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n",
    b"POST /d HTTP/1.1\r\n" + HOST + b"content-length: 5000000\r\n\r\n",
    b"POST /e HTTP/1.1\r\n" + HOST + b"expect: 100-continue\r\ncontent-length: 1\r\n\r\nx",
    b"HEAD /no HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"upgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    b"a: " + b"b" * 40_000 + b"\r\n",
    b"GET /f HTTP/1.1\r\n" + HOST,
    b"\r\n",
    b"\x00",
    b"0\r\n\r\n",
    b"hello",
]  # fmt: skip


class Line(asyncio.Transport):
    """A connection that takes everything at once and remembers it."""

    def __init__(self) -> None:
        super().__init__()
        self.said = b""
        self.closed = self.ended = False

    def write(self, data: Any) -> None:
        """Take what is written; nothing may be, behind the end."""
        assert not self.ended
        if not self.closed:
            self.said += data

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Close it."""
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        """Say that it can be closed on one side."""
        return True

    def write_eof(self) -> None:
        """Close this side."""
        self.ended = True

    def pause_reading(self) -> None:
        """Let the packets wait: they are all there already."""

    def resume_reading(self) -> None:
        """Let them come."""


async def conversation(packets: list[bytes], *, patient: bool) -> bytes:
    """Return what is said to the packets; `patient` lets each be answered before the next one comes."""
    state = ServerState()
    app: Any = Intake(Echo(), max_body=1_000_000, body_seconds=0.05)
    config = uvicorn.Config(app, lifespan="off", ws="none", proxy_headers=False, log_config=None)
    config.load()
    line, protocol = Line(), WireProtocol(config, state, {})
    protocol.connection_made(line)
    for packet in packets:
        if line.closed:
            break
        protocol.data_received(packet)
        if patient:
            await asyncio.sleep(0)
    for _ in range(300):
        await asyncio.sleep(0)
    if not line.closed:
        protocol.eof_received()
    protocol.connection_lost(None)
    async with asyncio.timeout(5):
        await asyncio.gather(*state.tasks)
    assert not state.connections
    assert not state.tasks
    timers = [protocol._reading, protocol._writing, protocol.timeout_keep_alive_task]
    assert timers == [None] * 3
    return line.said


def statuses(said: bytes) -> list[bytes]:
    """Return the status of each answer."""
    return [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]]


def cut(sent: bytes, at: list[int]) -> list[bytes]:
    """Return what is sent in packets that end at these places."""
    ends = [0, *sorted({place % (len(sent) + 1) for place in at}), len(sent)]
    return [sent[begin:end] for begin, end in pairwise(ends) if end > begin]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5), st.lists(st.integers(0, 10**6), max_size=8))
def test_answers_do_not_depend_on_how_packets_were_cut(pieces: list[bytes], at: list[int]) -> None:
    """The same requests are answered the same, up to where one that is refused may cut off what was not yet answered."""
    sent = b"".join(pieces)
    whole = statuses(asyncio.run(conversation([sent], patient=False)))
    apart = statuses(asyncio.run(conversation(cut(sent, at), patient=False)))
    shorter = min(len(whole), len(apart))
    assert whole[:shorter] == apart[:shorter]
    assert set(whole[shorter:] + apart[shorter:]) <= {b"400", b"431", b"408"}


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=40)), max_size=6),
    st.lists(st.integers(0, 10**6), max_size=8),
    st.booleans(),
)
def test_nothing_that_is_sent_leaves_anything_behind(
    pieces: list[bytes],
    at: list[int],
    patient: bool,
) -> None:
    """No task, no timer, no connection; and nothing is written behind the end."""
    asyncio.run(conversation(cut(b"".join(pieces), at), patient=patient))
