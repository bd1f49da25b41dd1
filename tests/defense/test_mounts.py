"""Tools of a hardened agent as dependencies: each with its own circuit, time limit and place in the answer's honesty."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any, Self

import pytest
from httpx2 import AsyncClient, HTTPStatusError
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, ToolFailed
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.toolsets import FunctionToolset

from seawall.agents import marks
from seawall.defense import GuardBlocked, RateLimit, guards
from seawall.defense.chaos import Chaos, Fault
from seawall.defense.dependency import Protection
from seawall.defense.limits import RateLimited
from seawall.defense.mounts import Mounts
from seawall.defense.resilience import CircuitOpen, OutOfTime, Retries
from seawall.foundation.errors import Rejected
from seawall.testing import FakeClock
from tests.defense.broken import Broken, tasks_left, web_client
from tests.defense.callers import ALICE, OPTIONAL, QUICK, STRICT, WITHOUT, Steps, calling


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncGenerator[None]:
    """Whatever fails, no task is left of it."""
    yield
    assert not await tasks_left()


def asking(agent: Agent[Any, Any], name: str, server: Broken, client: AsyncClient, **tool: Any) -> None:
    """Give the agent a tool that asks a server."""

    async def ask() -> str:
        response = await client.post(f"{server.url}/{name}", json={})
        response.raise_for_status()
        return f"{name} said {response.json()['label']}"

    agent.tool_plain(name=name, **tool)(ask)


async def test_each_tool_has_its_own_circuit() -> None:
    """One tool's service is down: its calls are no longer made after a few, the other tool's all are."""
    async with Broken("503") as down, Broken() as well, web_client() as client:
        steps = Steps([[("sick", {})]])
        agent = Agent(steps.model, name="a")
        asking(agent, "sick", down, client)
        asking(agent, "well", well, client)
        caller = calling(agent)
        for _ in range(2):
            with pytest.raises(HTTPStatusError):
                await caller.run()
        with pytest.raises(CircuitOpen) as refused:
            await caller.run()
        steps.steps = [[("well", {})]]
        assert (await caller.run()).output == "well said ok"
        assert (down.requests, well.requests) == (2, 1)
    assert refused.value.dependency == "tool sick"
    assert [row.outcome for row in caller.rows] == ["failed", "failed", "refused", "ok"]
    assert caller.rows[2].attempts == ("m:ok", "tool sick:breaker")
    states = caller.safe.health().breakers
    assert (states["tool sick"], states["tool well"], states["model m"]) == ("open", "closed", "closed")
    assert caller.held() == 0


async def test_a_run_goes_on_without_an_optional_tool_and_says_so() -> None:
    """Failed or held back: the model is told in words of ours, the row and the result name what is missing."""
    async with Broken("503") as down, web_client() as client:
        steps = Steps([[("sick", {})]])
        agent = Agent(steps.model, name="a")
        asking(agent, "sick", down, client)
        caller = calling(agent, dependencies={"tool sick": OPTIONAL})
        results = [await caller.run() for _ in range(3)]
        assert down.requests == 2
    assert all(WITHOUT in result.output and "503" not in result.output for result in results)
    assert {(result.degradation, result.missing) for result in results} == {("partial", ("tool sick",))}
    assert [row.attempts[1] for row in caller.rows] == [
        "tool sick:HTTPStatusError",
        "tool sick:HTTPStatusError",
        "tool sick:breaker",
    ]


async def test_a_missing_tool_is_named_once() -> None:
    """However often the model calls it in a run."""
    async with Broken("503") as down, web_client() as client:
        agent = Agent(Steps([[("sick", {}), ("sick", {})], [("sick", {})]]).model, name="a")
        asking(agent, "sick", down, client)
        result = await calling(agent, tools=OPTIONAL).run()
    assert result.missing == ("tool sick",)


async def test_our_word_that_a_tool_is_missing_taints_nothing() -> None:
    """The run has read nothing of a stranger, so it may still send; what the service said of its failure, it never reads."""
    sent: list[str] = []
    async with Broken("503") as down, web_client() as client:
        agent = Agent(Steps([[("sick", {})], [("send", {})]]).model, name="a")
        asking(agent, "sick", down, client)

        @agent.tool_plain(metadata=marks("egress", trusted_result=True))
        def send() -> str:
            sent.append("x")
            return "sent"

        caller = calling(agent, dependencies={"tool sick": OPTIONAL}, guards=[guards.injection()])
        await caller.run()
    assert sent == ["x"]


@pytest.mark.parametrize("idempotent", [False, True])
async def test_only_a_tool_that_may_be_called_twice_is(idempotent: bool) -> None:
    """What fails once is called again if its marks say that twice does what once does, else the error leaves the run."""
    async with Broken("503") as server, web_client() as client:
        agent = Agent(Steps([[("ask", {})]]).model, name="a")

        async def ask() -> str:
            response = await client.post(f"{server.url}/ask", json={})
            server.kind = "healthy"
            response.raise_for_status()
            return "asked"

        agent.tool_plain(metadata=marks(idempotent=idempotent))(ask)
        again = Protection(breaker=QUICK, retries=Retries(first="1ms", share=1))
        caller = calling(agent, tools=again)
        if idempotent:
            assert (await caller.run()).output == "asked"
        else:
            with pytest.raises(HTTPStatusError):
                await caller.run()
        assert server.requests == 1 + idempotent


class Wrong(BaseModel):
    number: int


@pytest.mark.parametrize("word", [ModelRetry("say it otherwise"), ToolFailed("there is none"), None])
async def test_what_a_tool_tells_the_model_says_nothing_of_it(word: Exception | None) -> None:
    """A tool that asks for other arguments, finds nothing or cannot read what it got, is well; nothing is missing."""
    agent = Agent(Steps([[("look", {})]]).model, name="a", retries=3)
    turns: list[int] = []

    def look() -> str:
        turns.append(1)
        if len(turns) > 3:
            return "found"
        if word is None:
            Wrong.model_validate({"number": "no number"})
            raise AssertionError
        raise word

    agent.tool_plain(look)
    caller = calling(agent, tools=OPTIONAL)
    result = await caller.run()
    assert (result.missing, result.degradation) == ((), "full")
    assert caller.safe.circuits["tool look"].snapshot().failures == 0


async def test_a_tool_that_tells_the_model_of_a_failure_counts_it_itself() -> None:
    """The model reads the tool's own words, so nothing is missing; that its service failed is held against it."""
    agent = Agent(Steps([[("look", {})]]).model, name="a")

    @agent.tool_plain
    def look() -> str:
        try:
            raise ConnectionResetError
        except ConnectionResetError as error:
            raise ToolFailed("the shelf is closed") from error

    _ = look
    caller = calling(agent, tools=OPTIONAL)
    result = await caller.run()
    assert (result.output, result.missing) == ("the shelf is closed", ())
    assert caller.safe.circuits["tool look"].snapshot().failures == 1


async def test_a_call_that_is_refused_before_it_is_made_says_nothing() -> None:
    """Limits and guards come first: what they refuse is no call to the tool."""
    agent = Agent(Steps([[("send", {})]]).model, name="a")

    @agent.tool_plain(metadata=marks("egress"))
    def send() -> str:
        return "sent"

    _ = send
    caller = calling(agent, tools=OPTIONAL, limits=[RateLimit(1, of="tool_calls", per="1h")])
    await caller.run()
    with pytest.raises(RateLimited):
        await caller.run()
    assert caller.safe.circuits["tool send"].snapshot().calls == 1


async def test_a_guards_refusal_inside_a_tool_is_no_failure_to_go_on_without() -> None:
    """Optional or not: what a guard has refused ends the run."""
    agent = Agent(Steps([[("ask", {})]]).model, name="a")

    @agent.tool_plain
    def ask() -> str:
        raise GuardBlocked

    _ = ask
    caller = calling(agent, tools=OPTIONAL)
    with pytest.raises(GuardBlocked):
        await caller.run()
    assert caller.rows[0].outcome == "blocked"
    assert caller.safe.circuits["tool ask"].snapshot().failures == 0


@pytest.mark.parametrize("optional", [False, True])
async def test_a_tool_that_hangs_is_given_up_in_time(optional: bool) -> None:
    """Its time limit ends it; what it held is free again."""
    terms = OPTIONAL if optional else STRICT
    quick = Protection(breaker=terms.breaker, retries=terms.retries, timeout="50ms", optional=optional)
    async with Broken("read timeout") as server, web_client() as client:
        agent = Agent(Steps([[("slow", {})]]).model, name="a")
        asking(agent, "slow", server, client)
        caller = calling(agent, tools=quick)
        if optional:
            assert WITHOUT in (await caller.run()).output
        else:
            with pytest.raises(Rejected):
                await caller.run()
        await server.left.wait()
    assert caller.rows[0].attempts[:2] == ("m:ok", "tool slow:timeout")
    assert caller.held() == 0


async def test_a_tool_in_a_thread_is_given_up_but_not_ended() -> None:
    """Nothing can end a thread: the run goes on in time, while the thread goes on too, and its circuit knows."""
    go_on, over = threading.Event(), threading.Event()
    agent = Agent(Steps([[("block", {})]]).model, name="a")

    @agent.tool_plain
    def block() -> str:
        go_on.wait(30)
        over.set()
        return "late"

    _ = block
    caller = calling(
        agent, tools=Protection(breaker=QUICK, retries=STRICT.retries, timeout="50ms", optional=True)
    )
    result = await caller.run()
    assert WITHOUT in result.output
    assert not over.is_set()
    go_on.set()
    assert await asyncio.to_thread(over.wait, 10)
    assert caller.safe.circuits["tool block"].snapshot().failures == 1


@pytest.mark.parametrize("optional", [False, True])
async def test_a_tool_that_cannot_be_done_in_time_is_not_begun(optional: bool) -> None:
    """It took ten seconds lately, and six are left of the run: it would be called for nothing."""
    clock = FakeClock()
    begun: list[int] = []
    agent = Agent(Steps([[("slow", {})], [("slow", {})]]).model, name="a")

    @agent.tool_plain
    def slow() -> str:
        begun.append(1)
        clock.advance("10s")
        return "done"

    _ = slow
    caller = calling(agent, tools=OPTIONAL if optional else STRICT, deadline="16s", clock=clock)
    if optional:
        assert WITHOUT in (await caller.run()).output
    else:
        with pytest.raises(OutOfTime):
            await caller.run()
    assert len(begun) == 1
    assert caller.rows[0].missing == (("tool slow",) if optional else ())


async def test_a_caller_that_leaves_takes_its_tool_calls_along() -> None:
    """Two calls hang when the run is cancelled: nothing is held after, and the tool is not blamed."""
    async with Broken("read timeout") as server, web_client() as client:
        agent = Agent(Steps([[("slow", {}), ("slow", {})]]).model, name="a")
        asking(agent, "slow", server, client)
        caller = calling(agent, tools=OPTIONAL)
        task = asyncio.ensure_future(caller.run())
        while server.requests < 2:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert caller.held() == 0
    assert caller.safe.circuits["tool slow"].snapshot().calls == 0
    assert (caller.rows[0].outcome, caller.rows[0].missing) == ("cancelled", ())


async def test_a_streamed_run_is_protected_the_same() -> None:
    """The stream says that a tool is missing; without leave to go on the open circuit's refusal comes out of it."""
    async with Broken("503") as down, web_client() as client:
        agent = Agent(Steps([[("sick", {})]]).model, name="a")
        asking(agent, "sick", down, client)
        lenient, strict = calling(agent, tools=OPTIONAL), calling(agent)
        for _ in range(3):
            async with lenient.safe.run_stream("Go.", deps=None, principal=ALICE) as stream:
                said = "".join([piece async for piece in stream.text()])
            assert WITHOUT in said
            assert (stream.transaction.degradation, stream.transaction.missing) == ("partial", ("tool sick",))
        assert down.requests == 2
        for error in (HTTPStatusError, HTTPStatusError, CircuitOpen):
            with pytest.raises(error):
                async with strict.safe.run_stream("Go.", deps=None, principal=ALICE) as stream:
                    _ = [piece async for piece in stream.text()]
    assert [row.outcome for row in strict.rows] == ["failed", "failed", "refused"]


def test_however_many_names_there_are_dependencies_are_bounded() -> None:
    """A list of tools that grows for ever does not grow this; the names beyond share one a kind."""
    made: list[str] = []

    def make(name: str, protection: Protection) -> Any:
        made.append(name)
        return object()

    mounts = Mounts(STRICT, {}, make)
    few = {id(mounts.named(f"tool t{number}")) for number in range(20)}
    many = {id(mounts.named(f"tool t{number}")) for number in range(5000)}
    assert (len(few), len(many)) == (20, len(made))
    assert len(made) < 1000
    assert mounts.named("tool t0") is mounts.named("tool t0")


async def test_tools_of_one_name_in_two_sets_are_two() -> None:
    """What a developer told apart by a prefix is told apart here, under the names that the model sees."""
    first: FunctionToolset[object] = FunctionToolset()
    second: FunctionToolset[object] = FunctionToolset()

    @first.tool_plain(name="look")
    def broken() -> str:
        raise ConnectionResetError

    @second.tool_plain(name="look")
    def sound() -> str:
        return "fine"

    _ = (broken, sound)
    steps = Steps([[("eu_look", {}), ("us_look", {})]])
    sets = [first.prefixed("eu"), second.prefixed("us")]
    agent: Agent[object, str] = Agent(steps.model, name="a", toolsets=sets)
    caller = calling(agent, tools=OPTIONAL)
    for _ in range(3):
        result = await caller.run()
        assert "fine" in result.output
        assert result.missing == ("tool eu_look",)


async def test_a_model_that_calls_no_tool_that_there_is_blames_none() -> None:
    """A name that nobody knows makes no dependency."""
    agent = Agent(Steps([[("nobody", {})], [("nobody", {})]]).model, name="a")
    caller = calling(agent)
    with pytest.raises(UnexpectedModelBehavior):
        await caller.run()
    assert not list(caller.safe._parts.capability.mounts)


async def test_a_toolset_made_for_each_step_is_mounted_too() -> None:
    """What a function gives for each step of a run has the same dependency in every run."""
    agent: Agent[object, str] = Agent(Steps([[("look", {})]]).model, name="a")
    calls: list[int] = []

    @agent.toolset
    def tools(ctx: Any) -> FunctionToolset[object]:
        made: FunctionToolset[object] = FunctionToolset()

        @made.tool_plain
        def look() -> str:
            calls.append(1)
            raise ConnectionResetError

        _ = look
        return made

    _ = tools
    caller = calling(agent, tools=OPTIONAL)
    for _ in range(4):
        assert (await caller.run()).missing == ("tool look",)
    assert len(calls) == 2


async def test_a_toolset_that_is_the_same_at_each_step_is_entered_once() -> None:
    """What is mounted round it does not make it another one."""
    entered: list[int] = []

    class Session(FunctionToolset[object]):
        async def __aenter__(self) -> Self:
            entered.append(1)
            return self

    session = Session()
    session.add_function(lambda: "seen", name="look", description="Look.")
    agent: Agent[object, str] = Agent(Steps([[("look", {})], [("look", {})]]).model, name="a")
    agent.toolset(lambda _: session)
    assert (await calling(agent).run()).output == "seen | seen"
    assert len(entered) == 1


@pytest.mark.parametrize("kind", ["error", "garbage"])
async def test_chaos_reaches_tools(kind: Any) -> None:
    """An injected loss of the connection is one; garbage is what the model reads."""
    agent = Agent(Steps([[("look", {})]]).model, name="a")
    agent.tool_plain(name="look")(lambda: "seen")
    caller = calling(agent, tools=OPTIONAL, chaos=Chaos([Fault(kind, 1.0, "tool *")]))
    result = await caller.run()
    assert result.missing == (("tool look",) if kind == "error" else ())
    assert "seen" not in result.output
