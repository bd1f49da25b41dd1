"""The proxy that breaks connections: each fault, on new and on open connections, over real sockets."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Literal

import psutil
import pytest
import pytest_asyncio

from chaos.fault import Fault, cut, garbage, hang, latency, parse_fault, passing, refuse, reset, slow
from chaos.proxy import FaultProxy
from seawall.testing import MockProvider, say
from tests.chaos.postgres_server import postgres_port
from tests.chaos.talks import (
    BROKEN,
    WORDS,
    EchoServer,
    EchoTalk,
    HttpTalk,
    PostgresTalk,
    RedisTalk,
    Talk,
    talking,
)
from tests.redis_server import RedisServer

__all__ = ["postgres_port"]

Makes = Callable[[int], Talk]
PATIENCE = 30.0
# Long enough for an answer to come that must not.
MOMENT = 0.1
FOR_EVER = latency(3600)
PROTOCOLS = [
    "echo",
    "redis",
    "http",
    pytest.param("postgres", marks=pytest.mark.xdist_group("postgres")),
]


@pytest_asyncio.fixture(params=PROTOCOLS)
async def proxied(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[FaultProxy, Makes]]:
    """Give a proxy before a server of one protocol, and what makes a client of it."""
    match request.param:
        case "echo":
            async with EchoServer() as server, FaultProxy("127.0.0.1", server.port) as proxy:
                yield proxy, EchoTalk
        case "http":
            with MockProvider(lambda asked: say(asked, WORDS.decode())) as provider:
                port = int(provider.url.split(":")[2].split("/")[0])
                async with FaultProxy("127.0.0.1", port) as proxy:
                    yield proxy, HttpTalk
        case "redis":
            redis: RedisServer = request.getfixturevalue("redis_server")
            async with FaultProxy("127.0.0.1", redis.port) as proxy:
                yield proxy, RedisTalk
        case _:
            async with FaultProxy("127.0.0.1", request.getfixturevalue("postgres_port")) as proxy:
                yield proxy, PostgresTalk


@pytest_asyncio.fixture
async def echoed() -> AsyncGenerator[tuple[FaultProxy, EchoServer]]:
    """Give a proxy before a server that says what it hears."""
    async with EchoServer() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        yield proxy, server


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that must come to hold."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.002)


async def ask(talk: Talk) -> Literal["answered", "broken"]:
    """Ask, and say what it came to."""
    try:
        async with asyncio.timeout(PATIENCE):
            await talk.ask()
    except TimeoutError:
        raise AssertionError("neither an answer nor an error") from None
    except BROKEN:
        return "broken"
    return "answered"


@pytest.mark.parametrize("live", [False, True], ids=["new", "live"])
@pytest.mark.parametrize("fault", [passing(), latency(0.01, 0.005), slow(200_000)], ids=lambda f: f.kind)
async def test_what_only_slows_down_changes_nothing(
    proxied: tuple[FaultProxy, Makes], fault: Fault, *, live: bool
) -> None:
    """Every protocol gets its answers through a proxy that forwards, forwards late, or slowly."""
    proxy, make = proxied
    async with talking(make(proxy.port)) as talk:
        if live:
            assert await ask(talk) == "answered"
        proxy.fault = fault
        assert [await ask(talk) for _ in range(3)] == ["answered"] * 3
    assert min(proxy.passed.connections, proxy.passed.request_bytes, proxy.passed.answer_bytes) > 0


@pytest.mark.parametrize("live", [False, True], ids=["new", "live"])
@pytest.mark.parametrize("fault", [hang(), FOR_EVER, slow(0.001)], ids=lambda f: f.kind)
async def test_what_holds_up_lets_go(proxied: tuple[FaultProxy, Makes], fault: Fault, *, live: bool) -> None:
    """A question gets no answer while it lasts, and its answer as soon as the fault is over."""
    proxy, make = proxied
    async with talking(make(proxy.port)) as talk:
        if live:
            assert await ask(talk) == "answered"
        proxy.fault = fault
        asking = asyncio.create_task(ask(talk))
        await asyncio.wait([asking], timeout=MOMENT)
        assert not asking.done()
        proxy.fault = passing()
        assert await asking == "answered"


@pytest.mark.parametrize("live", [False, True], ids=["new", "live"])
@pytest.mark.parametrize("fault", [reset(), cut(0), cut(3)], ids=["reset", "cut0", "cut3"])
async def test_what_breaks_is_an_error_at_once(
    proxied: tuple[FaultProxy, Makes], fault: Fault, *, live: bool
) -> None:
    """Every protocol's client sees a broken connection, and gets its answer when it asks again afterwards."""
    proxy, make = proxied
    async with talking(make(proxy.port)) as talk:
        if live:
            assert await ask(talk) == "answered"
        proxy.fault = fault
        assert await ask(talk) == "broken"
        await until(lambda: proxy.live == 0)
    proxy.fault = passing()
    async with talking(make(proxy.port)) as talk:
        assert await ask(talk) == "answered"


async def test_refusal_is_for_new_connections(proxied: tuple[FaultProxy, Makes]) -> None:
    """While it refuses, an open connection goes on, a new one is refused; then the same port listens again."""
    proxy, make = proxied
    port = proxy.port
    async with talking(make(port)) as old:
        assert await ask(old) == "answered"
        proxy.fault = refuse()
        assert await ask(old) == "answered"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        async with talking(make(port)) as new:
            assert await ask(new) == "broken"
        # Refusing is not forgotten by another word for it, and the port is nobody else's meanwhile.
        proxy.fault = refuse()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        proxy.fault = passing()
        async with talking(make(port)) as again:
            assert await ask(again) == "answered"
    assert proxy.port == port


@pytest.mark.parametrize("live", [False, True], ids=["new", "live"])
async def test_garbage_is_never_an_answer(proxied: tuple[FaultProxy, Makes], *, live: bool) -> None:
    """No client takes random bytes for an answer; some wait for the rest of what they seem to begin."""
    proxy, make = proxied
    async with talking(make(proxy.port)) as talk:
        if live:
            assert await ask(talk) == "answered"
        proxy.fault = garbage()
        asking = asyncio.create_task(ask(talk))
        await asyncio.wait([asking], timeout=1.0)
        if asking.done():
            assert asking.result() == "broken"
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_bytes_are_what_they_were(echoed: tuple[FaultProxy, EchoServer]) -> None:
    """A megabyte comes through late answers whole and in order; the count of it is right."""
    proxy, _ = echoed
    proxy.fault = latency(0.003, 0.003)
    words = bytes(range(256)) * 4096
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(words)
    assert await reader.readexactly(len(words)) == words
    writer.close()
    await until(lambda: proxy.live == 0)
    assert (proxy.passed.connections, proxy.passed.request_bytes, proxy.passed.answer_bytes) == (
        1,
        len(words),
        len(words),
    )


async def test_a_half_closed_connection_is_answered(echoed: tuple[FaultProxy, EchoServer]) -> None:
    """A caller that has said all it will say still gets all that comes back, and the end of it."""
    proxy, _ = echoed
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(WORDS)
    writer.write_eof()
    assert await reader.read() == WORDS
    writer.close()
    await until(lambda: proxy.live == 0)


async def test_a_cut_counts_from_when_it_was_asked_for(echoed: tuple[FaultProxy, EchoServer]) -> None:
    """Of the answers after it exactly so many bytes pass, then the connection ends in good order."""
    proxy, _ = echoed
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(WORDS)
    await reader.readexactly(len(WORDS))
    proxy.fault = cut(100)
    writer.write(WORDS[:60])
    assert await reader.readexactly(60) == WORDS[:60]
    writer.write(WORDS)
    assert await reader.read() == WORDS[:40]
    writer.close()
    assert proxy.passed.answer_bytes == len(WORDS) + 100


async def test_garbage_has_its_length(echoed: tuple[FaultProxy, EchoServer]) -> None:
    """As many bytes come as would have come, and they are others."""
    proxy, _ = echoed
    proxy.fault = garbage()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(WORDS)
    assert await reader.readexactly(len(WORDS)) != WORDS
    proxy.fault = passing()
    writer.write(WORDS)
    assert await reader.readexactly(len(WORDS)) == WORDS
    writer.close()


async def test_a_reset_is_a_reset(echoed: tuple[FaultProxy, EchoServer]) -> None:
    """An idle connection that is open, and one that is opened afterwards, both end with a reset and no end of file."""
    proxy, _ = echoed
    old, old_writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    await until(lambda: proxy.live == 1)
    proxy.fault = reset()
    with pytest.raises(ConnectionResetError):
        await old.read()
    with pytest.raises(ConnectionResetError):
        new, new_writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            await new.read()
        finally:
            new_writer.close()
    old_writer.close()


async def test_a_caller_that_leaves_a_hung_connection_is_let_go(
    echoed: tuple[FaultProxy, EchoServer],
) -> None:
    """Callers that give up and come again, as they do, are not collected while it hangs; nothing they said arrives."""
    proxy, server = echoed
    proxy.fault = hang()
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(WORDS)
        writer.close()
    await until(lambda: proxy.passed.connections == 20 and proxy.live == 0)
    proxy.fault = passing()
    assert server.heard == 0


async def test_a_reader_that_does_not_read_stops_the_flow(echoed: tuple[FaultProxy, EchoServer]) -> None:
    """Where nobody takes the answers, no more is taken in than fits the bounded buffers on the way."""
    proxy, server = echoed
    proxy.fault = FOR_EVER
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    much = bytes(1_000_000)
    sending = asyncio.create_task(_send(writer, much, 200))
    heard = -1
    while heard != server.heard:
        heard = server.heard
        await asyncio.sleep(0.3)
    assert not sending.done()
    assert heard < 40_000_000
    assert proxy.passed.answer_bytes == 0
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    writer.transport.abort()
    proxy.fault = passing()
    await until(lambda: proxy.live == 0)


async def _send(writer: asyncio.StreamWriter, chunk: bytes, times: int) -> None:
    for _ in range(times):
        writer.write(chunk)
        await writer.drain()


async def test_an_upstream_that_is_not_there_is_a_reset() -> None:
    """A caller is told at once that nobody is behind the proxy."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        async with FaultProxy("127.0.0.1", port) as proxy, talking(EchoTalk(proxy.port)) as talk:
            assert await ask(talk) == "broken"


async def test_nothing_is_left_over(echoed: tuple[FaultProxy, EchoServer]) -> None:
    """Left while connections idle, hang and wait, it leaves no task, no socket and no port behind."""
    _, server = echoed
    process, writers = psutil.Process(), list[asyncio.StreamWriter]()
    tasks, files = asyncio.all_tasks(), process.num_fds()
    async with FaultProxy("127.0.0.1", server.port, fault=refuse()) as proxy:
        for fault in (hang(), FOR_EVER, slow(1.0), passing()):
            proxy.fault = fault
            writers.append((await asyncio.open_connection("127.0.0.1", proxy.port))[1])
            writers[-1].write(WORDS)
        await until(lambda: proxy.live == 4)
        port = proxy.port
    assert proxy.live == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    for writer in writers:
        writer.close()
    await until(lambda: asyncio.all_tasks() <= tasks and process.num_fds() <= files)


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "example.com", "::"])
def test_only_this_machine_is_proxied(host: str) -> None:
    """Neither side may be another machine unless somebody says so."""
    with pytest.raises(ValueError, match="allow-remote"):
        FaultProxy(host, 80)
    with pytest.raises(ValueError, match="allow-remote"):
        FaultProxy("localhost", 80, listen=(host, 0))
    assert FaultProxy(host, 80, allow_remote=True).upstream == (host, 80)


def test_faults_are_read_from_a_word() -> None:
    """Each fault has a word, and what is none says what would be."""
    assert parse_fault("latency:0.2,0.05") == latency(0.2, 0.05)
    assert parse_fault("latency:0.2") == latency(0.2)
    assert [parse_fault(word) for word in ("pass", "hang", "refuse", "reset", "garbage")] == [
        passing(),
        hang(),
        refuse(),
        reset(),
        garbage(),
    ]
    assert (parse_fault("cut:100"), parse_fault("slow:0.5")) == (cut(100), slow(0.5))
    for word in (
        "",
        "hung",
        "hang:1",
        "latency",
        "latency:x",
        "latency:1,2",
        "latency:nan",
        "cut:-1",
        "slow:0",
    ):
        with pytest.raises(ValueError, match="expected"):
            parse_fault(word)


@pytest.fixture
def command(redis_server: RedisServer) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command before a Redis; whatever was started is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "chaos.proxy", "--upstream", f"127.0.0.1:{redis_server.port}", *words]
        started.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_stops_in_good_order(
    command: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    """It says where it listens, forwards, and on a signal says what passed and ends with status 0."""
    process = command("--fault", "latency:0.001")
    assert process.stdout is not None
    told = json.loads(await asyncio.to_thread(process.stdout.readline))
    async with talking(RedisTalk(int(told["listening"].split(":")[1]))) as talk:
        assert await ask(talk) == "answered"
        process.send_signal(number)
        out, err = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    assert (process.returncode, err, told["fault"]) == (0, "", "latency")
    assert json.loads(out)["connections"] == 1


def test_the_command_ends_by_itself(command: Callable[..., subprocess.Popen[str]]) -> None:
    """With a time to last, it ends when that is over; what it cannot do, it says in words, with status 2."""
    lasting = command("--for", "10ms")
    out, _ = lasting.communicate(timeout=PATIENCE)
    assert (lasting.returncode, len(out.splitlines())) == (0, 2)
    wrong = command("--fault", "latency")
    _, err = wrong.communicate(timeout=PATIENCE)
    assert wrong.returncode == 2
    assert "latency:0.2,0.05" in err
    far = command("--listen", "0.0.0.0:0")
    _, err = far.communicate(timeout=PATIENCE)
    assert far.returncode == 2
    assert "--allow-remote" in err
