"""MCP servers of a hardened agent as dependencies: connecting, listing and calling are one server's health."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

from seawall.defense.chaos import Chaos, Fault
from seawall.defense.dependency import Protection
from seawall.defense.resilience import CircuitOpen
from seawall.foundation.errors import Rejected
from seawall.testing import FakeClock
from tests.defense.broken import tasks_left
from tests.defense.callers import ALICE, ONCE, QUICK, WITHOUT, Steps, calling
from tests.defense.mcp_server import Files

HASTY = Protection(breaker=QUICK, retries=ONCE, timeout="300ms")
OPTIONAL = Protection(breaker=QUICK, retries=ONCE, timeout="300ms", optional=True)
READ = [("read", {"path": "a"})]
WRITE = [("write", {"path": "a"})]


@pytest.fixture
async def files() -> AsyncGenerator[Files]:
    """Give a server that answers, on a real socket."""
    async with Files().served() as served:
        yield served


@pytest.fixture(autouse=True)
async def nothing_left(files: Files) -> AsyncGenerator[None]:
    """Whatever fails, no task of a run is left."""
    before = await tasks_left()
    yield
    files.let_go.set()
    # The server's own end with its connections.
    for _ in range(100):
        if all("uvicorn" in repr(task) for task in await tasks_left() - before):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(await tasks_left() - before)


def agent_of(steps: Steps, files: Files, **toolset: Any) -> Agent[None, str]:
    return Agent(steps.model, name="clerk", toolsets=[MCPToolset(files.url, id="files", **toolset)])


async def test_a_server_that_answers_is_one_dependency(files: Files) -> None:
    """All its tools stand behind `mcp files`."""
    caller = calling(agent_of(Steps([READ, WRITE]), files), tools=HASTY)
    assert (await caller.run()).output == "a is empty | a was written"
    assert [name for name in caller.safe.circuits if name.startswith(("mcp", "tool"))] == ["mcp files"]
    assert caller.safe.circuits["mcp files"].snapshot().calls == 2
    assert caller.held() == 0


async def test_the_tools_of_a_server_share_its_circuit(files: Files) -> None:
    """Calls of one tool hang, though the server connects and lists as ever: its other tool is held back too."""
    files.mode = "hang calls"
    reading = calling(agent_of(steps := Steps([READ]), files), tools=HASTY)
    for _ in range(2):
        with pytest.raises(Rejected):
            await reading.run()
    assert reading.safe.circuits["mcp files"].state == "open"
    steps.steps = [WRITE]
    asked = files.asked
    with pytest.raises(CircuitOpen):
        await reading.run()
    assert (files.asked, files.called) == (asked, 2)
    assert reading.rows[-1].outcome == "refused"
    assert reading.held() == 0


@pytest.mark.parametrize("mode", ["hang", "refuse"])
async def test_a_server_that_is_away_does_not_drag_the_run_down(files: Files, mode: Any) -> None:
    """Optional, its tools are left out and the answer says so; after a few runs it is not even asked."""
    files.mode = mode
    caller = calling(agent_of(steps := Steps([]), files), tools=OPTIONAL)
    for _ in range(3):
        result = await caller.run()
        assert (result.degradation, result.missing) == ("partial", ("mcp files",))
    assert set(steps.offered) == {frozenset()}
    asked = files.asked
    await caller.run()
    assert files.asked == asked
    assert caller.rows[-1].attempts == ("mcp files:breaker", "m:ok")
    assert caller.held() == 0


@pytest.mark.parametrize("mode", ["hang", "refuse"])
async def test_without_leave_to_go_on_the_run_fails_with_its_server(files: Files, mode: Any) -> None:
    """In the time that one attempt may take, and at once when the circuit is open."""
    files.mode = mode
    caller = calling(agent_of(Steps([]), files), tools=HASTY)
    for _ in range(2):
        with pytest.raises(Exception):  # noqa: B017, PT011  the client's own, or the time limit's
            await caller.run()
    with pytest.raises(CircuitOpen):
        await caller.run()
    assert [row.requests for row in caller.rows] == [0, 0, 0]
    assert caller.held() == 0


async def test_chaos_reaches_a_server_before_it_is_connected_to(files: Files) -> None:
    """An injected loss of the connection leaves an optional server out of the run."""
    chaos = Chaos([Fault("error", 1.0, "mcp *")])
    result = await calling(agent_of(Steps([]), files), tools=OPTIONAL, chaos=chaos).run()
    assert (result.missing, files.asked) == (("mcp files",), 0)


async def test_a_server_that_is_back_is_used_again(files: Files) -> None:
    """Its circuit waits for a sign of life, and a new connection is one."""
    clock = FakeClock()
    files.mode = "refuse"
    empty = calling(agent_of(Steps([]), files), tools=OPTIONAL, clock=clock)
    for _ in range(2):
        await empty.run()
    assert empty.safe.circuits["mcp files"].state == "open"
    files.mode = "answer"
    clock.advance("1m")
    assert (await empty.run()).missing == ()
    assert empty.safe.circuits["mcp files"].state == "closed"


async def test_an_optional_server_whose_calls_hang_is_gone_on_without(files: Files) -> None:
    """The model is told once in words of ours, and is offered its tools no more."""
    files.mode = "hang calls"
    steps = Steps([READ])
    result = await calling(agent_of(steps, files), tools=OPTIONAL).run()
    assert WITHOUT in result.output
    assert result.missing == ("mcp files",)
    assert steps.offered == [frozenset({"read", "write"}), frozenset()]


async def test_a_server_given_for_each_run_is_one_dependency_too(files: Files) -> None:
    """A toolset made by a function, as for each user's own session."""
    agent: Agent[object, str] = Agent(Steps([READ]).model, name="clerk")

    @agent.toolset(per_run_step=False)
    def theirs(ctx: Any) -> MCPToolset[object]:
        return MCPToolset(files.url, id="files")

    _ = theirs
    caller = calling(agent, tools=HASTY)
    for _ in range(2):
        assert (await caller.run()).output == "a is empty"
    assert caller.safe.circuits["mcp files"].snapshot().calls == 2
    files.mode = "refuse"
    for _ in range(2):
        with pytest.raises(Exception):  # noqa: B017, PT011  the client's own
            await caller.run()
    with pytest.raises(CircuitOpen):
        await caller.run()


async def test_a_streamed_run_goes_on_without_a_server(files: Files) -> None:
    """As one that is not streamed."""
    files.mode = "hang"
    safe = calling(agent_of(Steps([]), files), tools=OPTIONAL).safe
    async with safe.run_stream("Go.", deps=None, principal=ALICE) as stream:
        assert "".join([piece async for piece in stream.text()]) == "nothing"
    assert stream.transaction.missing == ("mcp files",)


@pytest.mark.parametrize("mode", ["hang", "hang calls"])
async def test_a_caller_that_leaves_leaves_nothing_behind(files: Files, mode: Any) -> None:
    """Cancelled while it connects, and while a tool is called."""
    files.mode = mode
    patient = Protection(breaker=QUICK, retries=ONCE, timeout="30s")
    caller = calling(agent_of(Steps([READ]), files), tools=patient)
    task = asyncio.ensure_future(caller.run())
    while not (files.called if mode == "hang calls" else files.asked):
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caller.held() == 0
    assert caller.safe.circuits["mcp files"].snapshot().calls == 0
    assert caller.rows[0].outcome == "cancelled"


@pytest.mark.parametrize(("mode", "told"), [("answer", "retry"), ("die", "retry"), ("die", "error")])
async def test_a_server_of_its_own_process(mode: str, told: Any) -> None:
    """Over its standard input and output, and without a name of its own; that it died in a call counts against it."""
    script = str(Path(__file__).with_name("mcp_server.py"))
    transport = StdioTransport(command=sys.executable, args=[script, mode], keep_alive=False)
    server: MCPToolset[object] = MCPToolset(transport, tool_error_behavior=told)
    agent: Agent[object, str] = Agent(Steps([READ]).model, name="clerk", toolsets=[server])
    roomy = Protection(breaker=QUICK, retries=ONCE, timeout="20s", optional=True)
    caller = calling(agent, tools=roomy)
    result = await caller.run()
    assert ("a is empty" in result.output, WITHOUT in result.output) == (mode == "answer", mode == "die")
    assert result.missing == (() if mode == "answer" else ("mcp unnamed",))
    assert caller.safe.circuits["mcp unnamed"].snapshot().failures == int(mode == "die")
