"""The parts of the service's benchmarks: a provider that answers at once, an application with every tier on, the same agent bare.

`python -m benchmarks.service provider|bare|seawall|lean|full|shut` runs one of them until it is told to end, on the port in `BENCH_PORT`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from seawall import Backpressure, Policy, RateLimit, Seawall, guards

QUESTION = (
    '{"input": "How risky is contract number {n} between Acme and Beta, and which of its clauses says so?"}'
)


# Limits so far away that what is measured is their cost.
_FAR = (RateLimit(10_000_000, "1m"), RateLimit(10_000_000, "1m", key="tenant"))
_PATIENT = Backpressure(target="10s", interactive_wait="30s", queue=1_000, tenant_share=1.0, max_lag="10s")


class Risk(BaseModel):
    """What the agent of the benchmarks says."""

    level: int


def agent() -> Agent[None, Risk]:
    """Make the agent, over a real client on a real socket."""
    provider = OpenAIProvider(base_url=f"http://127.0.0.1:{os.environ['BENCH_PROVIDER']}/v1", api_key="none")
    return Agent(
        OpenAIChatModel("gpt-5-mini", provider=provider),
        output_type=Risk,
        instructions="You rate the risk of contracts for an in-house legal team, from 0 (none) to 5. Say the level.",
        name="risk",
    )


def agent_with_a_tool() -> Agent[None, Risk]:
    """Make one that looks something up before it answers, as most agents do."""
    asking = agent()
    asking.name = "clerk"

    @asking.tool_plain
    async def look_up(party: str) -> str:
        """Say what is known of a party."""
        return (
            f"{party}: a company of good standing, with 14 contracts of this kind, none of them in dispute."
        )

    _ = look_up
    return asking


def seawall_app() -> Seawall:
    """Make the application with every tier on."""
    app = Seawall(limits=_FAR)
    policy = Policy(guards=guards.standard(), limits=[RateLimit(10_000_000, "1m", name="own")])
    app.add(agent(), policy)
    app.add(agent_with_a_tool(), policy)
    return app


def lean_app() -> Seawall:
    """Make one that asks for a key and keeps its ledger, and judges and distrusts nothing; it lets all wait, as a proxy does."""
    app = Seawall(limits=_FAR, backpressure=_PATIENT)
    app.add(agent(), Policy(guards=[], abuse=None))
    return app


def full_app() -> Seawall:
    """Make one with every tier on that lets all wait rather than shed."""
    app = Seawall(limits=_FAR, backpressure=_PATIENT)
    app.add(agent(), Policy(guards=guards.standard(), limits=[RateLimit(10_000_000, "1m", name="own")]))
    return app


def shut_app() -> Seawall:
    """Make one with a single place, taken for ever by the first who asks."""
    from pydantic_ai.models.function import FunctionModel

    async def never(_messages: Any, _info: Any) -> Any:
        await asyncio.Event().wait()

    app = Seawall(backpressure=Backpressure(least=1, start=1, most=1, queue=0))
    app.add(Agent(FunctionModel(never), name="risk"), Policy(abuse=None, deadline="10m", call_timeout="10m"))
    return app


def bare_app() -> Any:
    """Make the same agent behind FastAPI, with nothing before it."""
    from fastapi import FastAPI

    web, asked = FastAPI(), agent()

    class Body(BaseModel):
        input: str

    @web.post("/v1/agents/risk/runs")
    async def run(body: Body) -> dict[str, Any]:
        return {"output": (await asked.run(body.input)).output}

    return web


class _Provider(asyncio.Protocol):
    """Answers every request with the same completion, after `delay` seconds; where there is a tool, asks for that first."""

    answer = b""
    call = b""
    delay = 0.0

    def __init__(self) -> None:
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while (end := self._heard.find(b"\r\n\r\n")) >= 0:
            head = self._heard[:end].lower()
            size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._heard) < end + 4 + size:
                return
            body = self._heard[end + 4 : end + 4 + size]
            self._heard = self._heard[end + 4 + size :]
            asks = b'"look_up"' in body and b'"tool_call_id"' not in body
            if self.delay:
                asyncio.get_running_loop().call_later(
                    self.delay, self._say, self.call if asks else self.answer
                )
            else:
                self._say(self.call if asks else self.answer)

    def _say(self, words: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(words)  # type: ignore[attr-defined]


def _completion(tool: str, arguments: str) -> bytes:
    call = {"id": "c", "type": "function", "function": {"name": tool, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-5-mini",
            "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
            "usage": {"prompt_tokens": 60, "completion_tokens": 5, "total_tokens": 65},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


async def _provide(port: int) -> None:
    _Provider.answer = _completion("final_result", '{"level": 1}')
    _Provider.call = _completion("look_up", '{"party": "Acme"}')
    _Provider.delay = float(os.environ.get("BENCH_DELAY", "0"))
    server = await asyncio.get_running_loop().create_server(_Provider, "127.0.0.1", port)
    await server.serve_forever()


def pin(process: int, core: int) -> None:
    """Keep a process on one core, so that what is measured is its own: servers on the first, all others on the second."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(process, {cores[min(core, len(cores) - 1)]})


@contextmanager
def process(role: str, port: int, **environment: str) -> Generator[psutil.Process]:
    """Run one of the parts, until the block is left."""
    told = {**os.environ, "BENCH_PORT": str(port), **environment}
    child = subprocess.Popen([sys.executable, "-m", "benchmarks.service", role], env=told)
    pin(child.pid, 1 if role == "provider" else 0)
    try:
        _await_port(port, child)
        yield psutil.Process(child.pid)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _await_port(port: int, child: "subprocess.Popen[bytes]") -> None:
    import socket

    until = time.monotonic() + 60
    while time.monotonic() < until:
        if child.poll() is not None:
            raise RuntimeError(f"a part of the benchmark ended with {child.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("a part of the benchmark did not begin to listen")


def load(port: int, *streams: dict[str, Any]) -> dict[str, Any]:
    """Put load on a port from a process of its own; see `benchmarks.load`."""
    spec = json.dumps({"port": port, "streams": streams})
    longest = max(one["seconds"] + one.get("start", 0) for one in streams)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", spec],
        capture_output=True,
        check=True,
        timeout=longest + 90,
        preexec_fn=lambda: pin(0, 1),
    )
    return json.loads(done.stdout)["streams"]


def main() -> None:
    """Be the part that is named."""
    import uvicorn

    role, port = sys.argv[1], int(os.environ["BENCH_PORT"])
    if role == "provider":
        asyncio.run(_provide(port))
    elif role == "bare":
        uvicorn.run(bare_app(), port=port, log_level="error", access_log=False)
    else:
        from seawall.edge.server import serve
        from seawall.edge.settings import read_settings

        serve(
            f"benchmarks.service:{role}",
            read_settings(Path(os.devnull), port=port, state=os.environ["BENCH_STATE"]),
        )


def __getattr__(name: str) -> Any:
    """Make the application when a worker asks for it."""
    made = {"seawall": seawall_app, "lean": lean_app, "full": full_app, "shut": shut_app}
    if name in made:
        return made[name]()
    raise AttributeError(name)


if __name__ == "__main__":
    main()
