"""Clients of several protocols that ask a question over one connection and say whether the answer was right."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, Self, cast

import httpx2
import psycopg
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

WORDS = b"All is well. " * 20
# What these clients raise where a connection breaks, or says what nobody understands.
BROKEN = (OSError, EOFError, RedisError, httpx2.HTTPError, psycopg.Error, UnicodeDecodeError)


class Talk(Protocol):
    """One client."""

    async def ask(self) -> None:
        """Ask, over the connection that is there or a new one; AssertionError where the answer is wrong."""
        ...

    async def close(self) -> None:
        """Leave."""
        ...


class EchoTalk:
    """Sends words and expects them back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> None:
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._ends
        writer.write(WORDS)
        answer = await reader.readexactly(len(WORDS))
        if answer != WORDS:
            raise EOFError

    async def close(self) -> None:
        if self._ends is not None:
            self._ends[1].close()
            with suppress(OSError):
                await self._ends[1].wait_closed()


class RedisTalk:
    """Asks a Redis to say words again."""

    def __init__(self, port: int) -> None:
        client = cast("Any", Redis)
        self._redis = client(
            port=port,
            single_connection_client=True,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            socket_timeout=None,
        )

    async def ask(self) -> None:
        answer = await self._redis.execute_command("ECHO", WORDS)
        if answer != WORDS:
            raise EOFError

    async def close(self) -> None:
        await self._redis.aclose()


class HttpTalk:
    """Asks a provider of models."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self._client = httpx2.AsyncClient(timeout=None, trust_env=False)

    async def ask(self) -> None:
        response = await self._client.post(self._url, json={"model": "m", "messages": []})
        assert response.status_code == 200
        assert response.json()["choices"][0]["message"]["content"] == WORDS.decode()

    async def close(self) -> None:
        await self._client.aclose()


class PostgresTalk:
    """Asks a Postgres to say words again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None

    async def ask(self) -> None:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                host="127.0.0.1",
                port=self._port,
                user="tester",
                dbname="postgres",
                sslmode="disable",
                autocommit=True,
            )
        cursor = await self._connection.execute("SELECT %s::text", [WORDS.decode()])
        row = await cursor.fetchone()
        assert row == (WORDS.decode(),)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


class EchoServer:
    """Says again what it hears, on a free loopback port, while its context is open."""

    def __init__(self) -> None:
        self.port = 0
        self.heard = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        try:
            while chunk := await reader.read(65_536):
                self.heard += len(chunk)
                writer.write(chunk)
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            # The caller broke off, or the test is over.
            pass
        finally:
            writer.close()
            self._tasks.discard(task)


@asynccontextmanager
async def talking(talk: Talk) -> AsyncGenerator[Talk]:
    """Close it in the end."""
    try:
        yield talk
    finally:
        await talk.close()
