"""A service on a free loopback port, as uvicorn runs it, with a caller who has a key."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from seawall.edge.app import Seawall
from seawall.edge.auth.key_store import open_key_store
from seawall.edge.http.protocol import WireProtocol
from seawall.edge.service import Application
from seawall.edge.settings import Settings, read_settings
from seawall.foundation.compliance.keyring import Keyring

KEYRING = Keyring.ephemeral()


@dataclass
class World:
    """The service, where it is, and how to get keys to it."""

    url: str
    port: int
    state: Path
    service: Application
    server: uvicorn.Server

    def key(self, tenant: str = "acme", subject: str = "alice", scopes: Sequence[str] = ("run",)) -> str:
        """Make a key; the service knows it after its next look, which is waited for by `client`."""
        with open_key_store(self.state, KEYRING) as keys:
            return keys.create(tenant, subject, scopes=scopes).token

    @asynccontextmanager
    async def client(self, *args: Any, **kwargs: Any) -> AsyncGenerator[httpx2.AsyncClient]:
        """Give a client that has a key of its own."""
        headers = {"Authorization": f"Bearer {self.key(*args, **kwargs)}"}
        async with httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=20) as client:
            for _ in range(200):
                if (await client.get("/v1/agents")).status_code != 401:
                    break
                await asyncio.sleep(0.02)
            yield client


@asynccontextmanager
async def serving(
    app: Seawall, folder: Path, *, file: Path = Path("/dev/null"), **settings: Any
) -> AsyncGenerator[World]:
    """Serve an app until the block is left."""
    told: Settings = read_settings(file, state=folder, **settings)
    service = Application(app, told, KEYRING)
    listening = socket.create_server(("127.0.0.1", 0))
    port: int = listening.getsockname()[1]
    config = uvicorn.Config(
        service,
        http=WireProtocol,
        ws="none",
        lifespan="on",
        loop="none",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    # The test's own handlers of signals stay.
    task = asyncio.create_task(server._serve([listening]))
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.005)
    try:
        yield World(f"http://127.0.0.1:{port}", port, folder, service, server)
    finally:
        server.should_exit = True
        await task
