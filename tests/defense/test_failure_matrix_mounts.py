"""Every way a service can fail under each thing that an agent's run depends on beside its model.

A tool, an agent called as a tool, an MCP server, a memory: required or optional, each on a real socket, each with its outcome.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from warnings import catch_warnings, simplefilter

import pytest
from httpx2 import AsyncClient
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.mcp import MCPToolset

from seawall import Bulkhead, Dependency, Policy, Protection, SubagentFailed, harden, protect, subagent
from seawall.defense.load import Overloaded
from seawall.foundation.errors import Rejected
from tests.defense.broken import READ, Breakage, Broken, chat_model, tasks_left, web_client
from tests.defense.callers import ONCE, QUICK, WITHOUT, Caller, Steps, calling

# One place and nobody waits: a place that is not given back is missed by the next call.
ALONE = Bulkhead(concurrency=1, queue=0)
# What a client cannot tell by a status is read as its status is.
BY_STATUS: dict[Breakage, Breakage] = {"quota": "429", "context window": "400"}
# Wrong arguments, as Pydantic AI takes a ValidationError out of a tool: the model is told, and the run goes on.
OF_ANOTHER_SHAPE: tuple[Breakage, ...] = ("wrong shape", "error in the stream")
HANGS: tuple[Breakage, ...] = ("tls hang", "connect timeout", "read timeout", "stall")


class Label(BaseModel):
    """What the service says."""

    label: str


def standing(kind: Breakage, *, optional: bool) -> Protection:
    """What stands round each: patient with what answers, short with what does not."""
    timeout = "200ms" if kind in HANGS else "10s"
    return Protection(breaker=QUICK, retries=ONCE, timeout=timeout, bulkhead=ALONE, optional=optional)


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncGenerator[None]:
    """Whatever fails, no task is left of it."""
    yield
    assert not await tasks_left()


async def label_of(client: AsyncClient, server: Broken) -> str:
    """Ask the service, as any code would."""
    response = await client.post(f"{server.url}/label", json={"text": "some"})
    response.raise_for_status()
    return Label.model_validate(response.json()).label


class Mounted:
    """A hardened agent that calls one thing, and the name of what that thing is to it."""

    def __init__(self, caller: Caller, name: str, held: Callable[[], int]) -> None:
        self.caller = caller
        self.name = name
        self._held = held

    async def run(self) -> Any:
        """Ask it once."""
        return await self.caller.run()

    @property
    def failures(self) -> int:
        """Failures that its circuit counts."""
        return self.caller.safe.circuits[self.name].snapshot().failures

    def held(self) -> int:
        """Places and leaves to probe that are held."""
        return self._held()


Mount = Callable[[Broken, Breakage, bool], AbstractAsyncContextManager[Mounted]]


@asynccontextmanager
async def a_tool(server: Broken, kind: Breakage, optional: bool) -> AsyncGenerator[Mounted]:
    """Give an agent a function that asks the service."""
    async with web_client() as client:
        agent = Agent(Steps([[("look_up", {})]]).model, name="a")

        @agent.tool_plain
        async def look_up() -> str:
            return await label_of(client, server)

        caller = calling(agent, tools=standing(kind, optional=optional))
        yield Mounted(caller, "tool look_up", caller.held)


@asynccontextmanager
async def an_agent(server: Broken, kind: Breakage, optional: bool) -> AsyncGenerator[Mounted]:
    """Give an agent another one to ask, whose only model is the service."""
    async with chat_model(server) as model:
        inner = Policy(retries=ONCE, call_timeout="200ms" if kind in HANGS else "10s", bulkhead=ALONE)
        risk = harden(Agent(model, name="risk"), inner)
        steps = Steps([[("risk", {"prompt": "How risky?"})]])
        outer = Agent(steps.model, name="a", tools=[subagent(risk, description="Says how risky it is.")])
        # The inner model's own time limit ends what hangs.
        caller = calling(outer, tools=standing("healthy", optional=optional))
        yield Mounted(caller, "agent risk", caller.held)


@asynccontextmanager
async def a_server(server: Broken, kind: Breakage, optional: bool) -> AsyncGenerator[Mounted]:
    """Give an agent the tools of an MCP server."""
    toolset = MCPToolset(f"{server.url}/mcp", id="files")
    agent = Agent(Steps([]).model, name="a", toolsets=[toolset])
    caller = calling(agent, tools=standing(kind, optional=optional))
    with catch_warnings():
        if kind == "tls hang":
            # Cancelled in the middle of a handshake, its client leaves the socket to the garbage collector.
            simplefilter("ignore", ResourceWarning)
        yield Mounted(caller, "mcp files", caller.held)
        gc.collect()


MOUNTS: dict[str, Mount] = {"tool": a_tool, "agent": an_agent, "mcp": a_server}


def counts(mount: str, kind: Breakage) -> bool:
    """Whether the failure counts against what failed."""
    if mount == "mcp":
        # Its client tells of one status only; of the others nobody can say whether the server or the request was at fault.
        return kind != "404"
    if mount == "agent" and kind in {"quota", "context window"}:
        return READ[kind][1]
    if mount == "tool" and kind in OF_ANOTHER_SHAPE:
        return False
    return READ[BY_STATUS.get(kind, kind)][1]


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("mount", MOUNTS)
async def test_what_is_needed_and_fails(mount: str, kind: Breakage) -> None:
    """The run fails with it, and says so; its own circuit counts what counts; a second run finds the place free."""
    async with Broken(kind) as server, MOUNTS[mount](server, kind, False) as mounted:
        for _ in range(2):
            if mount == "tool" and kind in OF_ANOTHER_SHAPE:
                assert (await mounted.run()).degradation == "full"
                continue
            with pytest.raises(Exception) as raised:  # noqa: PT011  the client's own, whichever that is
                await mounted.run()
            assert not isinstance(raised.value, Overloaded)
            if mount == "agent":
                assert isinstance(raised.value, Rejected | SubagentFailed)
    expected = 2 if counts(mount, kind) else 0
    # At the second failure of two the circuit opens, and begins to count anew.
    state = mounted.caller.safe.circuits[mounted.name].state
    assert (state, mounted.failures) == ("open" if expected else "closed", 0), mounted.name
    assert mounted.held() == 0
    rows = mounted.caller.rows
    assert {row.degradation for row in rows} == (
        {"full"} if mount == "tool" and kind in OF_ANOTHER_SHAPE else {"refused"}
    )


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("mount", MOUNTS)
async def test_what_can_be_done_without_and_fails(mount: str, kind: Breakage) -> None:
    """The run goes on, and its answer names what it lacks; a request that was at fault is no reason to go on."""
    async with Broken(kind) as server, MOUNTS[mount](server, kind, True) as mounted:
        if mount == "tool" and kind in OF_ANOTHER_SHAPE:
            assert (await mounted.run()).degradation == "full"
        elif counts(mount, kind):
            result = await mounted.run()
            assert (result.degradation, result.missing) == ("partial", (mounted.name,))
            assert mount == "mcp" or WITHOUT in str(result.messages)
        else:
            with pytest.raises(Exception):  # noqa: B017, PT011  the client's own, whichever that is
                await mounted.run()
    assert mounted.held() == 0


@pytest.mark.parametrize("kind", ["connect timeout", "read timeout", "stall"])
@pytest.mark.parametrize("mount", MOUNTS)
async def test_a_caller_that_goes_away(mount: str, kind: Breakage) -> None:
    """What it asked for ends with it, says nothing against what was asked, and leaves its place free."""
    async with Broken(kind) as server, MOUNTS[mount](server, "healthy", False) as mounted:
        task = asyncio.ensure_future(mounted.run())
        while not mounted.held() or (kind != "connect timeout" and not server.requests):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert mounted.caller.rows[-1].outcome == "cancelled"
    assert (mounted.failures, mounted.held()) == (0, 0)


class Notes:
    """A memory that lives at the service."""

    def __init__(self, client: AsyncClient, server: Broken) -> None:
        self._client = client
        self._server = server

    async def read(self) -> str:
        """Read the note."""
        return await label_of(self._client, self._server)


@asynccontextmanager
async def a_memory(
    server: Broken, timeout: str
) -> AsyncGenerator[tuple[Dependency, Callable[[], Awaitable[str]], list[Any]]]:
    """Give an agent a memory that it reads in its instructions, behind a dependency of its own."""
    async with web_client() as client:
        protection = Protection(breaker=QUICK, retries=ONCE, timeout=timeout, bulkhead=ALONE)
        dependency = Dependency("memory notes", protection)
        notes = protect(Notes(client, server), dependency)
        agent = Agent(Steps([]).model, name="a")

        @agent.instructions
        async def remembered(_ctx: RunContext[Any]) -> str:
            return await notes.read()

        caller = calling(agent)

        async def run() -> str:
            return (await caller.run()).output

        yield dependency, run, caller.rows


@pytest.mark.parametrize("kind", READ)
async def test_a_memory_that_fails(kind: Breakage) -> None:
    """Its error ends the run, whose row names the attempt; its own circuit counts it; the next run finds the place free."""
    _, counted, _ = READ[BY_STATUS.get(kind, kind)]
    async with (
        Broken(kind) as server,
        a_memory(server, "200ms" if kind in HANGS else "10s") as (dependency, run, rows),
    ):
        for _ in range(2):
            with pytest.raises(Exception) as raised:  # noqa: PT011  the client's own, whichever that is
                await run()
            assert not isinstance(raised.value, Overloaded)
    assert dependency.circuit.state == ("open" if counted else "closed")
    assert (dependency.stats().running, [row.outcome for row in rows]) == (0, ["failed", "failed"])
    assert all(row.attempts[0].startswith("memory notes:") for row in rows)


@pytest.mark.parametrize("kind", ["connect timeout", "read timeout", "stall"])
async def test_a_caller_that_goes_away_while_a_memory_is_read(kind: Breakage) -> None:
    """The reading ends with it and says nothing against the memory."""
    async with Broken(kind) as server, a_memory(server, "10s") as (dependency, run, rows):
        task = asyncio.ensure_future(run())
        while not dependency.stats().running or (kind != "connect timeout" and not server.requests):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (rows[-1].outcome, dependency.stats().running) == ("cancelled", 0)
    assert dependency.circuit.snapshot().calls == 0
