"""What replicas share is opened whole and left whole."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from seawall import Keyring, open_shared
from seawall.foundation.errors import ConfigError
from seawall.foundation.storage.redis import RedisScripts, Script
from tests.redis_server import RedisServer

CLIENTS = Script("return tonumber(redis.call('INFO', 'clients'):match('connected_clients:(%d+)'))")


async def closed(observer: RedisScripts) -> None:
    """Wait until Redis sees no connection but the observer's own."""
    async with asyncio.timeout(30):
        while await observer.run(CLIENTS, [], []) != 1:
            await asyncio.sleep(0.01)


@pytest.fixture
async def observer(redis_server: RedisServer) -> AsyncIterator[RedisScripts]:
    """Somebody who looks at Redis."""
    scripts = RedisScripts(redis_server.url, timeout="5s")
    yield scripts
    await scripts.aclose()


async def test_entering_that_is_cancelled_anywhere_leaves_nothing(
    redis_server: RedisServer, observer: RedisScripts
) -> None:
    """No task and no connection, whichever await it was cancelled at."""
    keyring = Keyring.ephemeral()
    tasks = asyncio.all_tasks()
    entered = 0
    for steps in range(60):
        shared = open_shared(redis_server.url, keyring, replicas=1)
        entering = asyncio.create_task(shared.__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        entering.cancel()
        try:
            await entering
        except asyncio.CancelledError:
            pass
        else:
            entered += 1
            await shared.__aexit__(None, None, None)
        assert asyncio.all_tasks() == tasks
    assert entered
    await closed(observer)


async def test_another_key_is_refused_and_nothing_is_left(
    redis_server: RedisServer, observer: RedisScripts
) -> None:
    """The check of the key ends the task and the connection that it began."""
    tasks = asyncio.all_tasks()
    async with open_shared(redis_server.url, Keyring.ephemeral(), replicas=1):
        pass
    with pytest.raises(ConfigError, match="another master key"):
        async with open_shared(redis_server.url, Keyring.ephemeral(), replicas=1):
            pytest.fail("it was entered")
    assert asyncio.all_tasks() == tasks
    await closed(observer)
