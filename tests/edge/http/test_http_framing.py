"""Requests that two readers could read differently, or that are too large: refused, closed, and nothing read behind them."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from seawall.edge.http.problems import CATALOGUE
from tests.edge.http.wire_server import GOOD, Echo, Wire, eventually, gone, serving, until_closed

GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
# What would be a second request, for whoever reads the first one otherwise.
HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"

AMBIGUOUS = {
    "length and chunks": POST + b"content-length: 3\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and length": POST + CHUNKED + b"content-length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"content-length: 3\r\ncontent-length: 40\r\n\r\nabc",
    "one length twice": POST + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"content-length: 3, 3\r\n\r\nabc",
    "a signed length": POST + b"content-length: +3\r\n\r\nabc",
    "a negative length": POST + b"content-length: -3\r\n\r\nabc",
    "a hexadecimal length": POST + b"content-length: 0x3\r\n\r\nabc",
    "no length": POST + b"content-length: \r\n\r\n",
    "a length beyond 64 bits": POST + b"content-length: 99999999999999999999999\r\n\r\n",
    "no coding": POST + b"transfer-encoding: identity\r\n\r\n0\r\n\r\n",
    "an unknown coding": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks not last": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + CHUNKED * 2 + b"\r\n0\r\n\r\n",
    "a tab before a coding": POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in 1.0": b"POST / HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "a space before a colon": POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a header before the first": b"GET / HTTP/1.1\r\n host: x\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nhost: x\n\n",
    "a bare carriage return": GET + b"a: b\rc: d\r\n\r\n",
    "a signed chunk": POST + CHUNKED + b"\r\n+3\r\nabc\r\n0\r\n\r\n",
    "a chunk beyond 64 bits": POST + CHUNKED + b"\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a chunk without its end": POST + CHUNKED + b"\r\n3\r\nabcd\r\n0\r\n\r\n",
    "a chunk ended by a line feed": POST + CHUNKED + b"\r\n3\nabc\n0\n\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"host: y\r\n\r\n",
    "a null byte in the address": b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
    "a null byte in a value": GET + b"a: b\x00c\r\n\r\n",
    "a null byte in a name": GET + b"a\x00: b\r\n\r\n",
    "a name that is no ASCII": GET + b"\xc3\xa9: b\r\n\r\n",
    "an address that is no ASCII": b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
    "an address without a path": b"GET http://x HTTP/1.1\r\nhost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
    "version 0.9": b"GET / HTTP/0.9\r\n\r\n",
    "version 2": b"GET / HTTP/2.0\r\nhost: x\r\n\r\n",
    "version 2, known before": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nothing of the kind": b"\x00" * 100,
}
TOO_LARGE = {
    "many headers": (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 100 + b"\r\n", 431),
    "a long header": (GET + b"a: " + b"b" * 33_000 + b"\r\n\r\n", 431),
    "a long header without end": (GET + b"a: " + b"b" * 200_000, 431),
    "a long name without end": (GET + b"b" * 200_000, 431),
    "many middling headers": (GET + b"".join(b"a%d: %s\r\n" % (i, b"b" * 900) for i in range(60)), 431),
    "a long address": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
    "a long address without end": (b"GET /" + b"a" * 200_000, 414),
    "empty lines": (b"\r\n" * 20_000, 431),
    "a trailer without end": (POST + CHUNKED + b"\r\n0\r\na: " + b"b" * 1_000_000, 431),
    "an extension without end": (POST + CHUNKED + b"\r\n1;a=" + b"b" * 1_000_000, 431),
}  # fmt: skip


@pytest.fixture
async def wire() -> AsyncGenerator[Wire]:
    """Serve; a body has all the time that a test needs."""
    async with serving(body_seconds=10.0, linger_seconds=2.0) as wire:
        yield wire


def packets(sent: bytes, size: int) -> list[bytes]:
    """Cut what is sent."""
    return [sent[at : at + size] for at in range(0, len(sent), size)]


def is_problem(said: bytes, status: int) -> bool:
    """Whether an answer, and nothing else, is a problem of the catalogue that ends the connection."""
    head, _, body = said.partition(b"\r\n\r\n")
    known = any(b'"code":"%s"' % code.encode() in body for code in CATALOGUE)
    return (
        said.startswith(b"HTTP/1.1 %d " % status)
        and b"\r\ncontent-type: application/problem+json\r\n" in head
        and b"\r\nx-content-type-options: nosniff\r\n" in head
        and b"\r\nconnection: close\r\n" in head
        and known
        and said.count(b"HTTP/1.1 ") == 1
    )


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_can_be_read_two_ways_is_refused_and_nothing_behind_it_is_read(
    wire: Wire, sent: bytes
) -> None:
    """400 and the end of the connection; a request hidden in it never begins, in one packet or in many."""
    for cut in (len(sent) + len(HIDDEN), 7):
        assert is_problem(await wire.exchange(*packets(sent + HIDDEN, cut)), 400)
    assert "/hidden" not in wire.echo.begun
    await wire.is_well()


@pytest.mark.parametrize(("sent", "status"), TOO_LARGE.values(), ids=TOO_LARGE)
async def test_what_is_too_large_is_refused(wire: Wire, sent: bytes, status: int) -> None:
    """As soon as it is known, whether or not its end ever comes; and the client gets to read why."""
    assert is_problem(await wire.exchange(sent), status)
    assert is_problem(await wire.exchange(*packets(sent, 60_000)), status)
    await wire.is_well()


async def test_what_is_just_not_too_large_is_read(wire: Wire) -> None:
    """A hundred headers, 30 KiB in one of them, 8 KiB of address."""
    end = b"connection: close\r\n\r\n"
    for sent in (
        GET + b"a: b\r\n" * 98 + end,
        GET + b"a: " + b"b" * 30_000 + b"\r\n" + end,
        b"GET /" + b"a" * 8_000 + b" HTTP/1.1\r\nhost: x\r\n" + end,
    ):
        assert (await wire.exchange(*packets(sent, 5_000))).startswith(b"HTTP/1.1 200 ")


async def test_bytes_that_are_no_text_in_a_value_reach_the_application_as_they_are(wire: Wire) -> None:
    """RFC 9110 calls them opaque: they are not read as text here, and do no harm."""
    sent = GET + b"a: \xff\xfe\xc3\x28\r\nconnection: close\r\n\r\n"
    assert (await wire.exchange(sent)).startswith(b"HTTP/1.1 200 ")


async def test_a_trailer_is_no_header(wire: Wire) -> None:
    """What comes behind the body, and so behind whoever judged the headers, is left out."""
    body = b"connection: close\r\n\r\n3\r\nabc\r\n0\r\nauthorization: Bearer evil\r\n\r\n"
    said = await wire.exchange(POST + CHUNKED + body)
    assert b'"size": 3' in said
    assert b"authorization" not in said


@pytest.mark.parametrize("kind", [b"h2c", b"websocket"])
async def test_an_offer_to_change_the_protocol_is_passed_over(wire: Wire, kind: bytes) -> None:
    """The request is answered as it is; what follows is not read as HTTP, whatever it says."""
    upgrade = b"connection: upgrade\r\nupgrade: " + kind + b"\r\n"
    for sent in (GET + upgrade + b"\r\n", POST + upgrade + b"content-length: 3\r\n\r\nabc"):
        said = await wire.exchange(sent + HIDDEN)
        assert said.startswith(b"HTTP/1.1 200 ")
        assert said.count(b"HTTP/1.1 ") == 1
    assert "/hidden" not in wire.echo.begun
    await wire.is_well()


@pytest.mark.parametrize("more", [b"", b"host: x\r\nconnection: keep-alive\r\n"])
async def test_http_1_0_is_answered_and_closed(wire: Wire, more: bytes) -> None:
    """It needs no host, and keeps no connection."""
    said = await wire.exchange(b"GET / HTTP/1.0\r\n" + more + b"\r\n")
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in said
    await wire.is_well()


async def test_a_hundred_megabytes_are_refused(wire: Wire) -> None:
    """By their length before they come, by their number while they do; and whoever sends on reads the answer all the same."""
    part = b"x" * (1 << 20)
    for head, piece in (
        (b"content-length: 104857600\r\n\r\n", part),
        (CHUNKED + b"\r\n", b"100000\r\n" + part + b"\r\n"),
    ):
        reader, writer = await wire.open()
        writer.write(POST + head)
        try:
            for _ in range(100):
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        said = await until_closed(reader)
        assert said.startswith(b"HTTP/1.1 413 ")
        await gone(writer)
    await wire.is_well()


async def test_a_body_is_asked_for_only_where_it_will_be_read(wire: Wire) -> None:
    """`Expect: 100-continue`: go on, or a refusal and nothing else."""
    expect = b"expect: 100-continue\r\ncontent-length: "
    reader, writer = await wire.open()
    writer.write(POST + expect + b"3\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"abc" + GOOD)
    said = await until_closed(reader)
    assert b'"size": 3' in said
    assert said.count(b"HTTP/1.1 200") == 2
    await gone(writer)
    assert (await wire.exchange(POST + expect + b"100000000\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
    await wire.is_well()


class Guard:
    """Refuses what is addressed to `/no`, and fails at `/oops`."""

    def refuse(self, method: bytes, path: bytes, scope: Any, ip: str) -> bytes | None:
        """Decide."""
        assert ip == "127.0.0.1"
        assert (b"host", b"x") in scope["headers"]
        if path == b"/oops":
            raise KeyError("secret")
        return b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno" if path == b"/no" else None


async def test_what_the_front_refuses_costs_no_task_and_leaves_the_connection_usable() -> None:
    """With a body, without, and for HEAD, whose answer has none; then the next request on the same connection."""
    echo = Echo(front=Guard())
    async with serving(echo) as wire:
        no = b"POST /no HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"
        for sent in (no + GOOD, no * 3 + GOOD, no.replace(b"POST", b"HEAD") + GOOD):
            for cut in (len(sent), 11):
                said = await wire.exchange(*packets(sent, cut))
                assert said.count(b"HTTP/1.1 403 Forbidden\r\n") == sent.count(b"/no")
                assert said.count(b"\r\n\r\nno") == sent.count(b"POST /no")
                assert said.count(b"HTTP/1.1 200 ") == 1
        assert set(echo.begun) == {"/good"}
        late = no.replace(b"3", b"9" * 9)
        assert (await wire.exchange(late)).startswith(b"HTTP/1.1 403 ")
        bye = no.replace(b"host", b"connection: close\r\nhost")
        assert (await wire.exchange(bye + HIDDEN)).count(b"HTTP/1.1 ") == 1
        assert "/hidden" not in echo.begun
        await wire.is_well()


async def test_a_front_that_fails_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    """500 without what failed, which is in the log."""
    echo = Echo(front=Guard())
    async with serving(echo) as wire:
        said = await wire.exchange(b"GET /oops HTTP/1.1\r\nhost: x\r\n\r\n" + HIDDEN)
        assert is_problem(said, 500)
        assert b"secret" not in said
        assert echo.begun == []
        await wire.is_well()
    assert "the front failed" in caplog.text


async def test_requests_in_one_packet_are_answered_in_their_order(wire: Wire) -> None:
    """Each with its own body; the next begins when the one before it is answered."""
    sent = b"".join(
        b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (i, i) + b"x" * i for i in range(10)
    )
    said = await wire.exchange(sent + GOOD)
    assert wire.echo.begun == [*(f"/{i}" for i in range(10)), "/good"]
    assert all(b'"path": "/%d", "size": %d' % (i, i) in said for i in range(10))
    await wire.is_well()


async def test_more_requests_than_may_wait_are_not_kept(wire: Wire) -> None:
    """Those that wait are answered, the last of them ends the connection, and memory does not grow with the rest."""
    said = await wire.exchange(b"GET /early HTTP/1.1\r\nhost: x\r\n\r\n" * 2000)
    answers = said.count(b"HTTP/1.1 200 ")
    assert answers == wire.protocol.most_waiting + 1
    assert len(wire.echo.begun) == answers
    assert said.count(b"connection: close") == 1
    await wire.is_well()


@pytest.mark.parametrize("bad", [b"GARBAGE\r\n\r\n", POST + CHUNKED + b"\r\nzz\r\n"], ids=["head", "body"])
async def test_a_broken_request_behind_a_good_one_does_not_break_into_its_answer(
    wire: Wire, bad: bytes
) -> None:
    """The good one is answered, then the connection ends; the broken one never begins."""
    said = await wire.exchange(b"GET /early HTTP/1.1\r\nhost: x\r\n\r\n" + bad + HIDDEN)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.count(b"HTTP/1.1 ") == 1
    assert wire.echo.begun == ["/early"]
    await wire.is_well()


async def test_a_caller_that_leaves_ends_what_runs_and_what_waits(wire: Wire) -> None:
    """The request that is under way hears of it though others were read behind it, and those never begin."""
    _, writer = await wire.open()
    writer.write(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n" + HIDDEN * 3)
    await eventually(lambda: wire.echo.begun)
    writer.transport.abort()
    await eventually(lambda: wire.echo.left)
    assert wire.echo.begun == ["/hang"]
    await wire.is_well()
