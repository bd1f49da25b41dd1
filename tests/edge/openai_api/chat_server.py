"""What tests of the OpenAI protocol share: hardened agents behind it on a real socket, and the official client."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from seawall.defense import Hardened
from seawall.edge.openai import (
    Head,
    UnknownModel,
    chunks,
    completion,
    failure_of,
    model_list,
    read_request,
    to_ask,
)
from seawall.foundation.events import Event, EventBus, TransactionFinished
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Transaction

ALICE = Principal("acme", "alice")
CREATED = 1_800_000_000


@dataclass(frozen=True)
class Offered:
    """An agent as the test's service offers it."""

    hardened: Hardened[None, Any]
    says_text: bool = True


@dataclass
class Rows:
    """Collects ledger rows; `written` is set with the first."""

    rows: list[Transaction] = field(default_factory=list[Transaction])
    written: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def bus(self) -> EventBus:
        return EventBus(self._take)

    def _take(self, event: Event) -> None:
        if isinstance(event, TransactionFinished):
            self.rows.append(event.transaction)
            self.written.set()


class ChatApp:
    """The protocol over some agents: no authentication, no admission."""

    def __init__(self, agents: Mapping[str, Offered]) -> None:
        self._agents = agents
        routes = [
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
            Route("/v1/models", self._models),
        ]
        self.asgi = Starlette(routes=routes)

    async def _models(self, _request: Request) -> Response:
        return JSONResponse(model_list(self._agents, CREATED))

    async def _complete(self, request: Request) -> Response:
        try:
            return await self._answer(await request.body())
        except Exception as error:  # noqa: BLE001  whatever it is, the client is told in its own shape
            failure = failure_of(error)
            wait = failure.retry_after
            headers = {} if wait is None else {"Retry-After": str(max(1, ceil(wait)))}
            return JSONResponse(failure.body, failure.status, headers)

    async def _answer(self, body: bytes) -> Response:
        ask = to_ask(read_request(body))
        offered = self._agents.get(ask.model)
        if offered is None:
            raise UnknownModel()
        ask.check_form(says_text=offered.says_text)
        head = Head("chatcmpl-1", ask.model, CREATED)
        safe = offered.hardened
        if not ask.stream:
            result = await safe.run(ask.prompt, deps=None, principal=ALICE, history=ask.history)
            return JSONResponse(completion(result, head))
        opening = safe.run_stream(ask.prompt, deps=None, principal=ALICE, history=ask.history)
        frames = chunks(opening, head, says_text=offered.says_text, include_usage=ask.include_usage)
        return StreamingResponse(await _relayed(frames), media_type="text/event-stream")


async def _relayed(frames: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Take frames in one task of their own; raise what comes before the first."""
    queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(1)

    async def fill() -> None:
        try:
            async with aclosing(frames):
                async for frame in frames:
                    await queue.put(frame)
        except Exception as error:  # noqa: BLE001  raised by whoever waits for the first frame
            await queue.put(error)
        else:
            await queue.put(None)

    task = asyncio.create_task(fill())
    first = await queue.get()
    if isinstance(first, Exception):
        await task
        raise first

    async def rest() -> AsyncGenerator[bytes]:
        try:
            frame = first
            while isinstance(frame, bytes):
                yield frame
                frame = await queue.get()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return rest()


@asynccontextmanager
async def connected(**agents: Offered) -> AsyncGenerator[AsyncOpenAI]:
    """Serve agents on a free loopback port, and give a client that does not try again."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    config = uvicorn.Config(ChatApp(agents).asgi, lifespan="off", ws="none", log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    try:
        async with AsyncOpenAI(base_url=url, api_key="of a test", max_retries=0, timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        await serving
        listening.close()
