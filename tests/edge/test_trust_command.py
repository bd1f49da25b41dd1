"""`seawall trust` on a real Redis, as an operator uses it."""

import asyncio
import secrets
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seawall import Principal, open_keyring, open_shared
from seawall.edge.cli import app
from tests.redis_server import RedisServer


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """A shell with a master key of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SEAWALL_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("SEAWALL_MASTER_KEY", raising=False)
    return CliRunner()


def stands(url: str, subject: str) -> str:
    """Ask as a service's process would."""

    async def look() -> str:
        async with open_shared(url, open_keyring(), replicas=1) as shared:
            return (await shared.trust.look(Principal("acme", subject))).step

    return asyncio.run(look())


def test_an_operators_word_reaches_the_service(operator: CliRunner, redis_server: RedisServer) -> None:
    """A ban is one, a pardon lifts it, and status says so; other subjects are not concerned."""
    at = ["--redis", redis_server.url]
    assert operator.invoke(app, ["trust", "status", "acme", "ann", *at]).output.startswith("trusted;")
    said = operator.invoke(app, ["trust", "ban", "acme", "ann", "--for", "2h", *at])
    assert (said.exit_code, said.output[:38]) == (0, "banned by an operator's word, heard ag")
    assert (stands(redis_server.url, "ann"), stands(redis_server.url, "bob")) == ("banned", "trusted")
    operator.invoke(app, ["trust", "pardon", "acme", "ann", *at])
    assert stands(redis_server.url, "ann") == "trusted"
    operator.invoke(app, ["trust", "ban", "acme", *at])
    assert stands(redis_server.url, "bob") == "banned"


def test_without_redis_it_says_that_nothing_was_done(operator: CliRunner, redis_server: RedisServer) -> None:
    """An operator must not believe in a ban that no process heard of."""
    redis_server.kill()
    said = operator.invoke(app, ["trust", "ban", "acme", "ann", "--redis", redis_server.url])
    assert said.exit_code == 1
    assert "no answer" in said.output


def test_another_master_key_is_told_apart(
    operator: CliRunner, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ban under another key would reach nobody: it is refused."""
    assert stands(redis_server.url, "ann") == "trusted"
    monkeypatch.setenv("SEAWALL_MASTER_KEY", secrets.token_hex(32))
    said = operator.invoke(app, ["trust", "ban", "acme", "ann", "--redis", redis_server.url])
    assert said.exit_code != 0
    assert "another master key" in str(said.exception)
