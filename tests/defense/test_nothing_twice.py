"""Nothing that may have been done is done again, by an old answer, a resumed stream, a retry or a hedge."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.native_tools import MCPServerTool, WebSearchTool
from pydantic_ai.tools import DeferredToolRequests

from seawall import Hedge, Policy, Principal, RateLimit, Retries, Unavailable, harden
from seawall.defense.limits import RateLimited
from seawall.defense.resume import StreamInterrupted
from tests.defense.streams import ALICE, ScriptedModel, text

NO_RETRIES = Retries(most=0)


class Shop:
    """An agent with a tool that pays, and a model that is there or not."""

    def __init__(self, *, pays: bool, fails: Exception | None = None) -> None:
        self.pays = pays
        self.open = True
        self.paid = 0
        self._fails = fails
        model = FunctionModel(self._answer, stream_function=self._stream)
        self.agent = Agent(model, name="shop", retries=2)
        self.agent.tool_plain(self.pay)

    async def pay(self) -> str:
        """Pay."""
        self.paid += 1
        if self._fails is not None:
            raise self._fails
        return "paid"

    def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if self.pays and not _has_called(messages):
            return ModelResponse(parts=[ToolCallPart("pay", {}, "c1")])
        if not self.open:
            raise ModelHTTPError(503, "m")
        return ModelResponse(parts=[TextPart("You owe nothing.")])

    async def _stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncGenerator[Any]:
        if self.pays and not _has_called(messages):
            yield {0: DeltaToolCall("pay", "{}", tool_call_id="c1")}
            return
        yield "The payment was begun. "
        yield "It will be done. "
        raise ModelHTTPError(503, "m")


def _has_called(messages: list[ModelMessage]) -> bool:
    parts = (part for message in messages for part in message.parts)
    return any(isinstance(part, ToolReturnPart) for part in parts)


async def test_an_old_answer_hides_no_call_that_was_begun() -> None:
    """A tool that did its work and then failed was called: the caller hears of it, not an answer from before."""
    shop = Shop(pays=False, fails=ModelRetry("no receipt"))
    safe = harden(shop.agent, Policy(stale_if_error="1h", retries=NO_RETRIES))
    assert (await safe.run("pay", deps=None, principal=ALICE)).degradation == "full"
    shop.pays, shop.open = True, False
    with pytest.raises(Unavailable):
        await safe.run("pay", deps=None, principal=ALICE)
    assert shop.paid == 1


async def test_what_a_failed_tool_may_have_done_is_not_resumed() -> None:
    """The stream broke off after a call that ended in words for the model: asked anew, it would be made again."""
    shop = Shop(pays=True, fails=ModelRetry("no receipt"))
    safe = harden(shop.agent, Policy(retries=NO_RETRIES))
    with pytest.raises(StreamInterrupted) as told:
        async with safe.run_stream("pay", deps=None, principal=ALICE) as stream:
            async for _ in stream.text():
                pass
    assert (told.value.resume_id, shop.paid) == ("", 1)


async def test_a_question_whether_to_act_is_no_known_answer() -> None:
    """An approval that was asked for once is not asked for again from memory."""
    up = True
    paid: list[int] = []

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if not up:
            raise ModelHTTPError(503, "m")
        return ModelResponse(parts=[ToolCallPart("pay", {}, "c1")])

    agent = Agent(FunctionModel(answer), name="a", output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    def pay() -> str:
        paid.append(1)
        return "paid"

    safe = harden(agent, Policy(stale_if_error="1h", retries=NO_RETRIES))
    first = await safe.run("pay", deps=None, principal=ALICE)
    assert isinstance(first.output, DeferredToolRequests)
    up = False
    with pytest.raises(Unavailable):
        await safe.run("pay", deps=None, principal=ALICE)


class ActingModel(FunctionModel):
    """Says it runs tools of its own."""

    @classmethod
    def supported_native_tools(cls) -> frozenset[Any]:
        return frozenset({MCPServerTool, WebSearchTool})


@pytest.mark.parametrize(
    ("tool", "asked"),
    [(MCPServerTool(id="pay", url="https://pay.example/mcp"), 1), (WebSearchTool(), 2)],
    ids=["acts", "reads"],
)
async def test_what_a_provider_may_do_in_the_world_is_asked_for_once(tool: Any, asked: int) -> None:
    """With a tool of the provider's that only reads, a request is tried again; with one that acts it is not."""
    requests: list[AgentInfo] = []

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        requests.append(info)
        if len(requests) == 1:
            raise ConnectionResetError
        return ModelResponse(parts=[TextPart("done")])

    model = ActingModel(answer, profile={"supported_native_tools": frozenset({MCPServerTool, WebSearchTool})})
    agent = Agent(model, name="a", capabilities=[NativeTool(tool)])
    retries = Retries(share=1.0, first="1ms")
    safe = harden(agent, Policy(retries=retries, hedge=Hedge("5s"), stale_if_error="1h"))
    await asyncio.wait([asyncio.ensure_future(safe.run("go", deps=None, principal=ALICE))])
    assert len(requests) == asked


async def test_an_answer_is_known_to_who_may_know_it() -> None:
    """The same person with other scopes is another asker: what an administrator was told is not for them."""
    shop = Shop(pays=False)
    safe = harden(shop.agent, Policy(stale_if_error="1h", retries=NO_RETRIES))
    admin, plain = Principal("acme", "alice", frozenset({"admin"})), Principal("acme", "alice")
    await safe.run("salaries", deps=None, principal=admin)
    shop.open = False
    assert (await safe.run("salaries", deps=None, principal=admin)).degradation == "cached"
    with pytest.raises(Unavailable):
        await safe.run("salaries", deps=None, principal=plain)


class Handle:
    """An output that nobody can copy."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


async def test_an_answer_that_cannot_be_kept_is_given_all_the_same() -> None:
    """Neither an output without a copy, nor one too large, nor a history in no known writing, costs the caller its answer."""

    def make(x: int) -> Any:
        """Make it."""
        return Handle()

    def call(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"x": 1}, "c")])

    safe = harden(Agent(FunctionModel(call), name="a", output_type=make), Policy(stale_if_error="1h"))
    assert isinstance((await safe.run("go", deps=None, principal=ALICE)).output, Handle)

    shop = Shop(pays=False)
    known = harden(shop.agent, Policy(stale_if_error="1h", guards=[], retries=NO_RETRIES))
    long = [ModelRequest(parts=[UserPromptPart("word " * 250_000)]), ModelResponse(parts=[TextPart("y")])]
    odd = [ModelRequest(parts=[UserPromptPart("\ud800")])]
    for history in (long, odd):
        assert (await known.run("go", deps=None, principal=ALICE, history=history)).output
    shop.open = False
    with pytest.raises(Unavailable):
        await known.run("go", deps=None, principal=ALICE, history=long)


async def test_a_resume_that_was_not_let_in_can_be_tried_again() -> None:
    """A limit refuses it: nothing was asked, and the id still holds."""
    broken = ScriptedModel([*text("One. ", "Two. "), ModelHTTPError(503, "m")])
    safe = harden(
        Agent(broken, name="a"), Policy(retries=NO_RETRIES, limits=[RateLimit(1, "200ms")], abuse=None)
    )

    async def read(prompt: str | None, **more: Any) -> None:
        async with safe.run_stream(prompt, deps=None, principal=ALICE, **more) as stream:
            async for _ in stream.text():
                pass

    with pytest.raises(StreamInterrupted) as told:
        await read("go")
    with pytest.raises(RateLimited) as refused:
        await read(None, resume=told.value.resume_id)
    assert refused.value.retry_after is not None
    await asyncio.sleep(refused.value.retry_after)
    with pytest.raises(StreamInterrupted):
        await read(None, resume=told.value.resume_id)
    assert broken.entered == 2


@pytest.mark.parametrize("again", ["text", "output"])
async def test_what_broke_off_stays_broken_off(again: str) -> None:
    """A reader that swallows the error and reads once more gets it again, and the row says what happened."""
    broken = ScriptedModel([*text("One. ", "Two. "), ModelHTTPError(503, "m")])
    safe = harden(Agent(broken, name="a"), Policy(retries=NO_RETRIES))
    async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
        for reader in (stream.text, getattr(stream, again)):
            with pytest.raises(StreamInterrupted):
                async for _ in reader():
                    pass
    row = stream.transaction
    assert (row.outcome, row.detail, row.degradation) == ("failed", "StreamInterrupted", "refused")
