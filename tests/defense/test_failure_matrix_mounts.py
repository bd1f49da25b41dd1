"""Every way a service can fail under each thing that an agent's run depends on beside its model.

A tool, an agent called as a tool, an MCP server, a memory: required or optional, each on a real socket, each with its outcome.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, cast
from warnings import catch_warnings, simplefilter

import pytest
from anyio.from_thread import start_blocking_portal
from httpx2 import URL, AsyncClient, AsyncHTTPTransport, Request, Response, Timeout
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.mcp import MCPToolset

from seawall import Bulkhead, Dependency, Policy, Protection, SubagentFailed, harden, protect, subagent
from seawall.defense.model_stack import endpoints_of
from seawall.foundation.errors import Rejected
from tests.defense.broken import (
    EVERY,
    SENTENCE,
    Breakage,
    Broken,
    chat_model,
    client_tls,
    tasks_left,
    web_client,
)
from tests.defense.callers import ALICE, ONCE, QUICK, WITHOUT, Caller, Steps, calling
from tests.defense.mcp_server import Files

# What comes of it:
# down   It counts. The run fails with it; where it is optional, the run goes on, and says what it lacks.
# told   It counts. Its client tells the model, and the run goes on; where it is optional, as `down`.
# said   It does not count. The model is told, as of wrong arguments, and the run goes on, optional or not.
# amiss  It does not count: the request was at fault. The run fails, optional or not.
ROWS: dict[Breakage, str] = {
    # kind                  tool  agent connect call memory
    "dns": "                down  down  down  down  down",
    "refused": "            down  down  down  down  down",
    "reset on accept": "    down  down  down  down  down",
    "reset on request": "   down  down  down  down  down",
    "tls on a plain port": "down  down  down  down  down",
    "tls self-signed": "    down  down  down  down  down",
    "tls hang": "           down  down  down  down  down",
    "connect timeout": "    down  down  down  down  down",
    "read timeout": "       down  down  down  down  down",
    "stall": "              down  down  down  down  down",
    "cut": "                down  down  down  down  down",
    # A ValidationError out of a tool is what Pydantic AI takes for wrong arguments.
    "error in the stream": "said  down  down  told  down",
    "wrong shape": "        said  down  down  told  down",
    "empty": "              down  down  down  told  down",
    "invalid json": "       down  down  down  told  down",
    "429": "                down  down  down  told  down",
    "429 seconds": "        down  down  down  told  down",
    "429 date": "           down  down  down  told  down",
    "quota": "              down  down  down  told  down",
    "500": "                down  down  down  told  down",
    "502 html": "           down  down  down  told  down",
    "503": "                down  down  down  told  down",
    "503 seconds": "        down  down  down  told  down",
    "504": "                down  down  down  told  down",
    "529": "                down  down  down  told  down",
    "401": "                down  down  down  told  down",
    "408": "                down  down  down  told  down",
    # The client of MCP tells of one status only; of the others nobody can say whether the server was at fault or the request.
    "404": "                amiss amiss amiss said  amiss",
    "400": "                amiss amiss down  told  amiss",
    "context window": "     amiss amiss down  told  amiss",
    "403": "                amiss amiss down  told  amiss",
    "413": "                amiss amiss down  told  amiss",
    "422": "                amiss amiss down  told  amiss",
}
MOUNTED = ("tool", "agent", "connect", "call")
COLUMNS = (*MOUNTED, "memory")
# One place and nobody waits: a place that is not given back is missed by the next call.
ALONE = Bulkhead(concurrency=1, queue=0)
HANGS: tuple[Breakage, ...] = ("tls hang", "connect timeout", "read timeout", "stall")
LEFT: list[Breakage] = ["connect timeout", "read timeout", "stall"]


class Label(BaseModel):
    """What the service says."""

    label: str


def outcome(mount: str, kind: Breakage) -> str:
    """Return what the table says."""
    return ROWS[kind].split()[COLUMNS.index(mount)]


def standing(kind: Breakage, *, optional: bool = False, short: str = "200ms") -> Protection:
    """What stands round each: patient with what answers, `short` with what does not."""
    timeout = short if kind in HANGS else "10s"
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


def held_by(dependency: Dependency) -> int:
    """Places and leaves to probe that are held."""
    return dependency.stats().running + dependency.circuit.snapshot().probes


class Mounted:
    """A hardened agent that calls one thing, the name of what that thing is to it, and what that thing depends on itself."""

    def __init__(self, caller: Caller, name: str, beyond: Dependency | None = None) -> None:
        self.caller = caller
        self.name = name
        self.beyond = beyond

    async def run(self) -> Any:
        """Ask it once."""
        return await self.caller.run()

    @property
    def seen(self) -> tuple[str, int]:
        """The state of its circuit, and how many calls that has counted since it changed."""
        circuit = self.caller.safe.circuits[self.name]
        return circuit.state, circuit.snapshot().calls

    def held(self) -> int:
        """Places and leaves to probe that are held, of all that stands on the way."""
        return self.caller.held() + (held_by(self.beyond) if self.beyond else 0)


Mount = Callable[[Broken, Breakage, bool], AbstractAsyncContextManager[Mounted]]


@asynccontextmanager
async def a_tool(server: Broken, kind: Breakage, optional: bool) -> AsyncGenerator[Mounted]:
    """Give an agent a function that asks the service."""
    async with web_client() as client:
        agent = Agent(Steps([[("look_up", {})]]).model, name="a")

        @agent.tool_plain
        async def look_up() -> str:
            return await label_of(client, server)

        _ = look_up
        terms = {"tool look_up": standing(kind, optional=optional)}
        yield Mounted(calling(agent, dependencies=terms), "tool look_up")


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
        (endpoint,) = endpoints_of(risk.guarded_model)
        yield Mounted(caller, "agent risk", endpoint.dependency)


@asynccontextmanager
async def a_server(server: Broken, kind: Breakage, optional: bool) -> AsyncGenerator[Mounted]:
    """Give an agent the tools of an MCP server that fails from the first word on."""
    agent = Agent(Steps([]).model, name="a", toolsets=[MCPToolset(f"{server.url}/mcp", id="files")])
    with without_warnings_of(kind):
        yield Mounted(calling(agent, tools=standing(kind, optional=optional)), "mcp files")


class _CallsElsewhere(AsyncHTTPTransport):
    """Sends calls of tools to another server than everything else, as if the one had broken when it was called."""

    def __init__(self, url: str) -> None:
        super().__init__(verify=client_tls())
        self._url = URL(url)

    async def handle_async_request(self, request: Request) -> Response:
        if b'"tools/call"' in await request.aread():
            request.url = self._url
        return await super().handle_async_request(request)


@asynccontextmanager
async def a_servers_call(
    files: Files, server: Broken, kind: Breakage, optional: bool
) -> AsyncGenerator[Mounted]:
    """Give an agent the tools of an MCP server that connects and lists, and fails when one is called."""
    elsewhere = _CallsElsewhere(f"{server.url}/mcp")
    async with AsyncClient(transport=elsewhere, timeout=Timeout(None, connect=0.1)) as client:
        toolset = MCPToolset(files.url, id="files", http_client=cast("Any", client))
        agent = Agent(Steps([[("read", {"path": "a"})]]).model, name="a", toolsets=[toolset])
        # Long enough to connect and to list on a machine that is busy.
        terms = standing(kind, optional=optional, short="300ms")
        with without_warnings_of(kind):
            yield Mounted(calling(agent, tools=terms), "mcp files")


@contextmanager
def without_warnings_of(kind: Breakage) -> Generator[None]:
    """Let the client of MCP, cancelled in the middle of a TLS handshake, leave its socket to the garbage collector."""
    with catch_warnings():
        if kind == "tls hang":
            simplefilter("ignore", ResourceWarning)
        yield
        if kind == "tls hang":
            gc.collect()


@pytest.fixture(scope="module")
def files() -> Generator[Files]:
    """One server that is well for all of these tests, in a thread: to end one takes longer than most of them."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Files().served()) as served:
        yield served


@pytest.fixture
def mounts(files: Files) -> Mapping[str, Mount]:
    """What a run depends on, by the columns of the table."""
    return {"tool": a_tool, "agent": an_agent, "connect": a_server, "call": partial(a_servers_call, files)}


def test_every_way_to_fail_has_a_row() -> None:
    """The table leaves out only the answers that are no failure, and has a word for each cell."""
    assert {*ROWS, "healthy", "content filter"} == {*EVERY}
    words = {"down", "told", "said", "amiss"}
    assert all(len(row.split()) == len(COLUMNS) and words.issuperset(row.split()) for row in ROWS.values())


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("mount", MOUNTED)
async def test_what_is_needed_and_fails(mount: str, kind: Breakage, mounts: Mapping[str, Mount]) -> None:
    """The run fails with it, or its model is told; its own circuit counts what counts; a second run finds the place free."""
    word = outcome(mount, kind)
    arrived: list[tuple[int, int]] = [(0, 0)]
    async with Broken(kind) as server, mounts[mount](server, kind, False) as mounted:
        for _ in range(2):
            # The second of two failures opens the circuit, which refuses the model's own next try at once.
            if word == "said" or (word == "told" and mounted.caller.rows == []):
                assert (await mounted.run()).degradation == "full"
            else:
                with pytest.raises(Exception) as raised:  # noqa: PT011  the client's own, whichever that is
                    await mounted.run()
                assert mount != "agent" or isinstance(raised.value, Rejected | SubagentFailed)
            assert mounted.held() == 0
            arrived.append((server.connections, server.requests))
    # The second run was let through as the first was; a client may need more than one connection to be told no.
    assert arrived[2] > arrived[1] or arrived[1] == (0, 0)
    # A circuit that opens begins to count anew.
    assert mounted.seen == (("open", 0) if word in {"down", "told"} else ("closed", mounted.seen[1]))
    assert mounted.caller.safe.circuits[mounted.name].snapshot().failures == 0


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("mount", MOUNTED)
async def test_what_can_be_done_without_and_fails(
    mount: str, kind: Breakage, mounts: Mapping[str, Mount]
) -> None:
    """The run goes on, and its answer names what it lacks; a request that was at fault is no reason to go on."""
    word = outcome(mount, kind)
    async with Broken(kind) as server, mounts[mount](server, kind, True) as mounted:
        if word == "amiss":
            with pytest.raises(Exception):  # noqa: B017, PT011  the client's own, whichever that is
                await mounted.run()
        else:
            result = await mounted.run()
            missing = () if word == "said" else (mounted.name,)
            assert (result.degradation, result.missing) == ("partial" if missing else "full", missing)
            # A server that was never reached has no tool whose absence the model could be told of.
            assert (WITHOUT in str(result.messages)) is (word != "said" and mount != "connect")
            # Nothing of what a server wrote when it failed.
            assert word == "said" or "scripted failure" not in str(result.messages)
    (row,) = mounted.caller.rows
    assert row.outcome == ("failed" if word == "amiss" else "ok")
    assert mounted.held() == 0


@pytest.mark.parametrize("kind", ["refused", "cut", "connect timeout", "503"])
async def test_a_streamed_run_goes_on_without_a_server_that_broke(kind: Breakage, files: Files) -> None:
    """What its client says once more when it disconnects is nothing to the answer that was streamed."""
    async with (
        Broken(kind) as server,
        a_servers_call(files, server, kind, True) as mounted,
        mounted.caller.safe.run_stream("Go.", deps=None, principal=ALICE) as stream,
    ):
        assert WITHOUT in "".join([piece async for piece in stream.text()])
    assert (stream.transaction.outcome, stream.transaction.missing) == ("ok", ("mcp files",))
    assert mounted.held() == 0


@pytest.mark.parametrize("mount", ["tool", "agent"])
async def test_what_is_well(mount: str, mounts: Mapping[str, Mount]) -> None:
    """The same parts, with nothing broken: the model reads the answer, and the row lacks nothing."""
    async with Broken() as server, mounts[mount](server, "healthy", False) as mounted:
        result = await mounted.run()
    assert ("ok" if mount == "tool" else SENTENCE.strip()) in result.output
    assert (result.degradation, mounted.seen, mounted.held()) == ("full", ("closed", 1), 0)


@pytest.mark.parametrize("kind", LEFT)
@pytest.mark.parametrize("mount", MOUNTED)
async def test_a_caller_that_goes_away(mount: str, kind: Breakage, mounts: Mapping[str, Mount]) -> None:
    """What it asked for ends with it, says nothing against what was asked, and leaves its place to the next caller."""
    async with Broken(kind) as server, mounts[mount](server, "healthy", False) as mounted:
        ways = 2 if mounted.beyond else 1
        for turn in (1, 2):
            task = asyncio.ensure_future(mounted.run())
            while mounted.held() < ways or (kind != "connect timeout" and server.requests < turn):
                assert not task.done()
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert mounted.held() == 0
    assert [row.outcome for row in mounted.caller.rows] == ["cancelled", "cancelled"]
    assert mounted.seen == ("closed", 0)
    assert mounted.beyond is None or mounted.beyond.circuit.snapshot().calls == 0


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
    server: Broken, kind: Breakage
) -> AsyncGenerator[tuple[Dependency, Callable[[], Awaitable[str]], list[Any]]]:
    """Give an agent a memory that it reads in its instructions, behind a dependency of its own."""
    async with web_client() as client:
        dependency = Dependency("memory notes", standing(kind))
        notes = protect(Notes(client, server), dependency)
        agent = Agent(Steps([]).model, name="a")

        @agent.instructions
        async def remembered(_ctx: RunContext[Any]) -> str:
            return await notes.read()

        _ = remembered
        caller = calling(agent)

        async def run() -> str:
            return (await caller.run()).output

        yield dependency, run, caller.rows


@pytest.mark.parametrize("kind", ROWS)
async def test_a_memory_that_fails(kind: Breakage) -> None:
    """Its error ends the run, whose row names the attempt; its own circuit counts it; the next run finds the place free."""
    word = outcome("memory", kind)
    async with Broken(kind) as server, a_memory(server, kind) as (dependency, run, rows):
        with pytest.raises(Exception):  # noqa: B017, PT011  the client's own, whichever that is
            await run()
        once = server.connections
        with pytest.raises(Exception):  # noqa: B017, PT011  the same again
            await run()
        assert server.connections == 2 * once
    assert dependency.circuit.state == ("open" if word == "down" else "closed")
    assert (held_by(dependency), [row.outcome for row in rows]) == (0, ["failed", "failed"])
    assert rows[0].attempts == rows[1].attempts
    assert rows[0].attempts[0].startswith("memory notes:")


async def test_a_memory_that_is_well() -> None:
    """The run reads it and goes on."""
    async with Broken() as server, a_memory(server, "healthy") as (dependency, run, rows):
        assert await run() == "nothing"
    assert (dependency.circuit.snapshot().calls, rows[0].outcome) == (1, "ok")


@pytest.mark.parametrize("kind", LEFT)
async def test_a_caller_that_goes_away_while_a_memory_is_read(kind: Breakage) -> None:
    """The reading ends with it, says nothing against the memory, and leaves its place to the next caller."""
    async with Broken(kind) as server, a_memory(server, "healthy") as (dependency, run, rows):
        for turn in (1, 2):
            task = asyncio.ensure_future(run())
            while not held_by(dependency) or (kind != "connect timeout" and server.requests < turn):
                assert not task.done()
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert held_by(dependency) == 0
    assert [row.outcome for row in rows] == ["cancelled", "cancelled"]
    assert dependency.circuit.snapshot().calls == 0
