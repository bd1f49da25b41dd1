"""Every way a shared store can fail: limits go on as their owner said, and whoever calls it by hand gets one kind of error."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from seawall.defense.dependency import Dependency, Protection
from seawall.defense.faults import FaultKind, read_fault
from seawall.defense.limits import RateLimit, RedisStore
from seawall.defense.limits.redis_store import OnStoreError
from seawall.defense.resilience import CircuitBreaker, CircuitOpen, Retries
from seawall.foundation.errors import StoreError
from seawall.foundation.principal import Principal
from seawall.foundation.storage.redis import RedisScripts, Script
from tests.defense.broken import Breakage, Broken, tasks_left
from tests.redis_server import RedisServer

ONE = Script("return 1")
TAKE = RateLimit(10, "1h", name="calls").take(Principal("acme", "alice"))
SECRET = b"secret of the test, 32 bytes long"

# What a server that can be reached answers to everything, and what that is read as.
ANSWERS: dict[bytes, tuple[FaultKind, bool, bool]] = {
    b"-NOAUTH Authentication required.\r\n": ("authentication", True, False),
    b"-LOADING Redis is loading the dataset in memory\r\n": ("overloaded", True, True),
    b"-OOM command not allowed when used memory > 'maxmemory'\r\n": ("overloaded", True, True),
    b"-READONLY You can't write against a read only replica.\r\n": ("server_error", True, True),
    b"-ERR unknown command\r\n": ("rejected", False, False),
    b"HTTP/1.1 400 Bad Request\r\n\r\n": ("unreadable", True, True),
    b"$99999999999\r\n": ("read_timeout", True, False),
}
# What no Redis says, and what is no answer to what was asked: a StoreError is still owed for both.
NONSENSE = [b":not a number\r\n", b"+OK\r\n", b"*-1\r\n", b"*2\r\n:1\r\n:2\r\n"]
UNREACHED: dict[Breakage, tuple[FaultKind, bool, bool]] = {
    "dns": ("dns", True, True),
    "refused": ("refused", True, True),
    "reset on accept": ("reset", True, True),
    # One limit bounds connecting and reading, and which of them ran into it is not known.
    "connect timeout": ("read_timeout", True, False),
    "read timeout": ("read_timeout", True, False),
}
MODES: dict[OnStoreError, bool] = {"local": True, "closed": False, "open": True}


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncGenerator[None]:
    """Whatever fails, no task is left of it."""
    yield
    assert not await tasks_left()


@asynccontextmanager
async def saying(answer: bytes) -> AsyncGenerator[str]:
    """A server that gives one answer to whatever it is told; yields its address."""
    under_way: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(4096):
                writer.write(answer)
        except OSError:
            return
        finally:
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)


@asynccontextmanager
async def failing(kind: Breakage) -> AsyncGenerator[str]:
    """A store that cannot be reached, or does not answer."""
    async with Broken(kind) as server:
        yield server.url.replace("http", "redis") + "/0"


@asynccontextmanager
async def scripts_of(url: str, timeout: str = "100ms") -> AsyncGenerator[RedisScripts]:
    """A client of the store that does not leave it alone for long."""
    scripts = RedisScripts(url, timeout=timeout, rest="1ms")
    try:
        yield scripts
    finally:
        await scripts.aclose()


async def decided(scripts: RedisScripts, mode: OnStoreError) -> tuple[bool, bool]:
    """Whether a call is let through, and whether the decision says that it was made without the store."""
    store = RedisStore(scripts, secret=SECRET, on_store_error=mode, replicas=1)
    decision = await store.take([TAKE], 0.0)
    return decision.ok, decision.degraded


@pytest.mark.parametrize("kind", UNREACHED)
async def test_a_store_that_cannot_be_reached(kind: Breakage) -> None:
    """By hand it is a StoreError that is read as what happened; a limit decides as its owner said."""
    async with failing(kind) as url, scripts_of(url) as scripts:
        with pytest.raises(StoreError) as raised:
            await scripts.run(ONE, [], [])
        fault = read_fault(raised.value)
        assert (fault.kind, fault.counts, fault.again) == UNREACHED[kind]
        assert not scripts.healthy
        for mode, lets_through in MODES.items():
            assert await decided(scripts, mode) == (lets_through, True)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer[:8].decode().strip())
async def test_a_store_that_answers_with_an_error(answer: bytes) -> None:
    """As where it cannot be reached."""
    async with saying(answer) as url, scripts_of(url) as scripts:
        with pytest.raises(StoreError) as raised:
            await scripts.run(ONE, [], [])
        fault = read_fault(raised.value)
        assert (fault.kind, fault.counts, fault.again) == ANSWERS[answer]
        for mode, lets_through in MODES.items():
            assert await decided(scripts, mode) == (lets_through, True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: answer[:8].decode().strip())
async def test_a_store_that_answers_nonsense(answer: bytes, mode: OnStoreError) -> None:
    """What cannot be made out is no answer: a limit decides as its owner said, and nobody's run ends in a TypeError."""
    async with saying(answer) as url, scripts_of(url) as scripts:
        assert await decided(scripts, mode) == (MODES[mode], True)


def store_behind_a_breaker(**breaker: int) -> Dependency:
    """A store as any other dependency."""
    terms = CircuitBreaker(minimum_calls=breaker.get("minimum_calls", 10))
    return Dependency("store redis", Protection(breaker=terms, retries=Retries(most=0), timeout="500ms"))


async def test_a_store_behind_a_breaker_of_its_own(redis_server: RedisServer) -> None:
    """It is used until it fails, is then left alone, and its failures are the circuit's reason."""
    dependency = store_behind_a_breaker(minimum_calls=2)
    async with scripts_of(redis_server.url, "200ms") as scripts:
        assert await dependency.call(lambda: scripts.run(ONE, [], [])) == 1
        redis_server.kill()
        with pytest.raises(StoreError):
            await dependency.call(lambda: scripts.run(ONE, [], []))
        with pytest.raises(CircuitOpen):
            await dependency.call(lambda: scripts.run(ONE, [], []))
        redis_server.start()
    assert dependency.stats().running == 0


async def test_a_caller_that_goes_away_while_the_store_hangs(redis_server: RedisServer) -> None:
    """The wait ends with it, and neither the store's client nor its circuit takes it for a failure."""
    dependency = store_behind_a_breaker()
    async with scripts_of(redis_server.url, "30s") as scripts:
        await scripts.run(ONE, [], [])
        redis_server.hang()
        task = asyncio.ensure_future(dependency.call(lambda: scripts.run(ONE, [], [])))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        redis_server.resume()
        assert scripts.healthy
        assert await scripts.run(ONE, [], []) == 1
    assert (dependency.circuit.snapshot().calls, dependency.stats().running) == (0, 0)
