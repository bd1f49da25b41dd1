"""`seawall breaker` on a real Redis, as an operator uses it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seawall import CircuitBreaker, open_keyring, open_shared
from seawall.defense.resilience.shared_breaker import SharedBreaker
from seawall.edge.cli import app
from tests.redis_server import RedisServer

NAME = "clerk/model gpt-5"
OWN = CircuitBreaker(minimum_calls=3, open_for="7s")


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """A shell with a master key of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SEAWALL_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("SEAWALL_MASTER_KEY", raising=False)
    return CliRunner()


@asynccontextmanager
async def replica(url: str) -> AsyncGenerator[SharedBreaker]:
    """A process that has the circuit, under rules of its own."""
    async with open_shared(url, open_keyring(), replicas=1) as shared:
        breaker = shared.circuits.breaker(NAME, OWN)
        await shared.circuits.names()
        yield breaker


async def shell(operator: CliRunner, *arguments: str) -> tuple[int, str]:
    said = await asyncio.to_thread(operator.invoke, app, ["breaker", *arguments])
    return said.exit_code, said.output


async def becomes(breaker: SharedBreaker, state: str) -> None:
    async with asyncio.timeout(20):
        while breaker.state != state:
            await asyncio.sleep(0.01)


async def test_an_operators_word_reaches_every_replica(
    operator: CliRunner, redis_server: RedisServer
) -> None:
    """Isolated it refuses and says why; reset it is as before, and its rules were always its own."""
    at = ("--redis", redis_server.url)
    async with replica(redis_server.url) as one, replica(redis_server.url) as other:
        code, said = await shell(operator, "isolate", NAME, "--why", "maintenance", *at)
        assert (code, said.strip()) == (0, f"{NAME}: isolated")
        for breaker in (one, other):
            await becomes(breaker, "isolated")
            assert breaker.snapshot().why.startswith("maintenance (operator ")
        code, said = await shell(operator, "list", "--json", *at)
        assert json.loads(said)["state"] == "isolated"
        code, said = await shell(operator, "list", *at)
        assert (code, "isolated" in said, NAME in said) == (0, True, True)
        assert (await shell(operator, "reset", NAME, *at))[0] == 0
        for breaker in (one, other):
            await becomes(breaker, "closed")
        for _ in range(3):
            one.record(await one.enter(), "failure")  # type: ignore[arg-type]
        await becomes(other, "open")
        assert 5 < (other.snapshot().retry_after or 0) <= 7


async def test_a_name_that_no_replica_has_is_refused(operator: CliRunner, redis_server: RedisServer) -> None:
    """A slip of the pen must not look like a circuit that is off."""
    async with replica(redis_server.url):
        code, said = await shell(operator, "isolate", "clerk/model gtp-5", "--redis", redis_server.url)
    assert (code, "no replica has" in said) == (2, True)


async def test_without_redis_it_says_that_nothing_was_done(
    operator: CliRunner, redis_server: RedisServer
) -> None:
    """An operator must not believe that a dependency is left alone."""
    redis_server.kill()
    for command in (("list",), ("isolate", NAME), ("reset", NAME)):
        code, said = await shell(operator, *command, "--redis", redis_server.url)
        assert (code, "no answer" in said) == (1, True)


async def test_names_come_back_after_a_loss(operator: CliRunner, redis_server: RedisServer) -> None:
    """A Redis that was restarted empty learns of isolated circuits, and of names, from those that live."""
    async with replica(redis_server.url) as breaker:
        breaker.isolate("maintenance")
        redis_server.restart()
        async with asyncio.timeout(20):
            while True:
                code, said = await shell(operator, "list", "--json", "--redis", redis_server.url)
                if code == 0 and said and json.loads(said)["state"] == "isolated":
                    break
                await asyncio.sleep(0.05)
                breaker._link._named.clear()  # type: ignore[attr-defined]
