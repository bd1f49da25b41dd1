"""Scripts on a real Redis that hangs, dies and comes back, asked by callers that give up."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from seawall.foundation.errors import StoreError
from seawall.foundation.events import Event, EventBus, StoreChanged
from seawall.foundation.storage.redis import RedisScripts, Script
from seawall.testing import FakeClock
from tests.redis_server import RedisServer

ONE = Script("return 1")
COUNT = Script("return redis.call('INCR', 'count')")


class Client:
    """A client on a clock that the test turns, and what it told."""

    def __init__(self, url: str, timeout: str = "5s") -> None:
        self.clock = FakeClock()
        self.events: list[Event] = []
        bus = EventBus(self.events.append)
        self.scripts = RedisScripts(url, timeout=timeout, events=bus, clock=self.clock)

    async def ask(self, script: Script = ONE) -> int:
        """Run it."""
        return int(await self.scripts.run(script, [], []))

    async def lose(self) -> None:
        """Find that Redis is away."""
        with pytest.raises(StoreError):
            await self.ask()
        assert self.scripts.state == "open"

    def told(self) -> list[bool]:
        """List what was told of its health."""
        return [event.healthy for event in self.events if isinstance(event, StoreChanged)]


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Client]:
    """A client of a server of the test's own."""
    made = Client(redis_server.url)
    yield made
    await made.scripts.aclose()


async def test_a_redis_that_was_away_for_long_is_found_within_ten_seconds(
    client: Client, redis_server: RedisServer
) -> None:
    """However many tries failed; what happened is told once each way."""
    assert await client.ask() == 1
    redis_server.kill()
    await client.lose()
    for _ in range(8):
        client.clock.advance("10s")
        await client.lose()
    redis_server.start()
    with pytest.raises(StoreError, match="left alone"):
        await client.ask()
    client.clock.advance("10s")
    assert await client.ask() == 1
    assert (client.scripts.state, client.told()) == ("closed", [False, True])


async def test_one_call_tries_while_the_others_are_refused(client: Client, redis_server: RedisServer) -> None:
    """Of a hundred callers after the rest one waits for a Redis that hangs."""
    assert await client.ask(COUNT) == 1
    redis_server.kill()
    await client.lose()
    redis_server.start()
    redis_server.hang()
    client.clock.advance("1s")
    callers = [asyncio.create_task(client.ask(COUNT)) for _ in range(100)]
    _, waiting = await asyncio.wait(callers, return_when=asyncio.ALL_COMPLETED, timeout=0.1)
    assert (client.scripts.state, len(waiting)) == ("half_open", 1)
    redis_server.resume()
    came = await asyncio.gather(*callers, return_exceptions=True)
    assert sum(isinstance(one, StoreError) for one in came) == 99
    assert await client.ask(COUNT) == 2


async def test_a_try_that_is_cancelled_anywhere_keeps_nobody_out(
    client: Client, redis_server: RedisServer
) -> None:
    """Cancelled before its first step, after its first, after its second and so on: each time the next one tries."""
    await client.ask()
    redis_server.kill()
    await client.lose()
    redis_server.start()
    for steps in range(40):
        client.clock.advance("10s")
        trying = asyncio.create_task(client.ask())
        for _ in range(steps):
            await asyncio.sleep(0)
        if not trying.cancel():
            break
        with pytest.raises(asyncio.CancelledError):
            await trying
        if client.scripts.state == "closed":
            # It had its answer.
            client.scripts._circuit.failed(client.scripts._circuit.enter(), "lost")
        assert client.scripts.state == "open"
    client.clock.advance("10s")
    assert await client.ask() == 1


async def test_an_isolated_redis_is_not_asked(client: Client, redis_server: RedisServer) -> None:
    """Not even one that answers, until the operator says so."""
    assert await client.ask(COUNT) == 1
    client.scripts.isolate("failing over")
    client.clock.advance("1h")
    with pytest.raises(StoreError, match="failing over"):
        await client.ask(COUNT)
    assert (client.scripts.state, client.scripts.healthy) == ("isolated", False)
    client.scripts.reset()
    assert await client.ask(COUNT) == 2
    assert client.told() == [False, True]


@pytest.mark.parametrize("away", ["", "kill", "hang"])
async def test_a_caller_that_is_cancelled_stays_cancelled(redis_server: RedisServer, away: str) -> None:
    """At every step of a call over a new connection: cancelled before its end, it never comes back with an answer."""
    if away:
        getattr(redis_server, away)()
    ended = 0
    for steps in range(60):
        client = Client(redis_server.url, timeout="200ms")
        asking = asyncio.create_task(client.ask())
        for _ in range(steps):
            await asyncio.sleep(0)
        if asking.cancel():
            with pytest.raises(asyncio.CancelledError):
                await asking
            ended += 1
        else:
            await asyncio.wait([asking])
            assert not asking.cancelled()
            assert isinstance(asking.exception(), StoreError if away else type(None))
        await client.scripts.aclose()
    assert ended
