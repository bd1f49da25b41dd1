"""A server of tools by the Model Context Protocol, on a real socket or as a process, that fails as it is told."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import uvicorn
from mcp.server import MCPServer
from mcp.types import ToolAnnotations
from starlette.types import Receive, Scope, Send

Mode = Literal["answer", "hang calls", "die", "hang", "refuse"]


@dataclass
class Files:
    """Two tools, `read` and `write`, which say of themselves that they do nothing to the world; `mode` may be changed at any time.

    `hang` answers nothing at all, `hang calls` no call of a tool, `refuse` everything with status 503; `die` ends the
    process at a call. `asked` counts requests, `called` the calls that arrived at a tool.
    """

    mode: Mode = "answer"
    asked: int = 0
    called: int = 0
    port: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/mcp"

    def server(self) -> MCPServer:
        """Make the server of the tools."""
        server = MCPServer("files")
        # Else a run that has read what one tool returned may not call another.
        harmless = ToolAnnotations(read_only_hint=True, open_world_hint=False)

        @server.tool(annotations=harmless)
        async def read(path: str) -> str:
            return await self._answer(f"{path} is empty")

        @server.tool(annotations=harmless)
        async def write(path: str) -> str:
            return await self._answer(f"{path} was written")

        _ = (read, write)
        return server

    async def _answer(self, text: str) -> str:
        self.called += 1
        if self.mode == "hang calls":
            await self.let_go.wait()
        if self.mode == "die":
            os._exit(1)
        return text

    @asynccontextmanager
    async def served(self) -> AsyncGenerator["Files"]:
        """Listen while the block lasts."""
        app = self.server().streamable_http_app(json_response=True, stateless_http=True)

        async def switched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                self.asked += 1
                if self.mode == "hang":
                    await self.let_go.wait()
                if self.mode in {"hang", "refuse"}:
                    await _refuse(send)
                    return
            await app(scope, receive, send)

        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = listening.getsockname()[1]
            config = uvicorn.Config(switched, log_level="critical", timeout_graceful_shutdown=1, ws="none")
            server = uvicorn.Server(config)
            serving = asyncio.ensure_future(server.serve(sockets=[listening]))
            while not server.started:
                await asyncio.sleep(0.005)
            try:
                yield self
            finally:
                self.let_go.set()
                server.should_exit = True
                await serving


async def _refuse(send: Send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": []})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    Files(mode=sys.argv[1]).server().run()  # type: ignore[arg-type]
