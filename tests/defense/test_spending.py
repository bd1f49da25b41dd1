"""Limits on tokens, dollars and tool calls, taken where they are used."""

from decimal import Decimal
from typing import cast

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

from seawall.agents import Block
from seawall.defense import GuardBlocked, Policy, RateLimit, RateLimited, guards, harden
from seawall.foundation.errors import ConfigError
from seawall.foundation.principal import Principal
from seawall.testing import FakeClock

ALICE = Principal("acme", "alice")


def answering(tokens: int, seen: list[AgentInfo]) -> FunctionModel:
    """Make a model that uses so many output tokens."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.append(info)
        usage = RequestUsage(input_tokens=10, output_tokens=tokens)
        return ModelResponse(parts=[TextPart("ok")], usage=usage)

    return FunctionModel(answer)


def max_tokens(info: AgentInfo) -> int:
    """Read what the model was told of how much it may answer."""
    return cast("dict[str, int]", info.model_settings)["max_tokens"]


class Priced(FunctionModel):
    """A model by the name of one that has a list price."""

    @property
    def system(self) -> str:
        return "openai"


async def test_tokens_are_reserved_then_settled() -> None:
    """The most that a request may use is set aside, so it may be refused; what it did not use comes back."""
    seen: list[AgentInfo] = []
    safe = harden(
        Agent(answering(90, seen), name="a"),
        Policy(limits=[RateLimit(1000, per="1h", of="tokens")], most_output_tokens=500),
        clock=FakeClock(),
    )
    for _ in range(3):
        # 500 are set aside each time, 100 are used.
        await safe.run("hello", deps=None, principal=ALICE)
    assert [max_tokens(info) for info in seen] == [500] * 3
    with pytest.raises(RateLimited) as refused:
        await safe.run("x" * 1000, deps=None, principal=ALICE)
    assert refused.value.decision.remaining == 700
    await safe.run("hello", deps=None, principal=ALICE)


async def test_the_agents_own_bound_on_output_is_kept() -> None:
    """An agent that may answer little reserves little."""
    seen: list[AgentInfo] = []
    agent = Agent(answering(5, seen), name="a", model_settings={"max_tokens": 20})
    policy = Policy(limits=[RateLimit(300, per="1h", of="tokens")])
    await harden(agent, policy).run("hello", deps=None, principal=ALICE)
    assert max_tokens(seen[0]) == 20


def test_dollars_need_a_price() -> None:
    """A limit that cannot be held is an error, not a guess."""
    policy = Policy(limits=[RateLimit("1.00", per="1d", of="usd")])
    with pytest.raises(ConfigError, match="price"):
        harden(Agent(answering(5, []), name="a"), policy)


def test_a_limit_below_one_answer_is_refused_at_once() -> None:
    """It would refuse every request, and say so only then."""
    policy = Policy(limits=[RateLimit(4096, per="1m", of="tokens")])
    with pytest.raises(ConfigError, match="most_output_tokens"):
        harden(Agent(answering(5, []), name="a"), policy)


async def test_dollars_are_settled_at_what_the_answer_cost() -> None:
    """The reservation at the most it can cost comes back but for what it did cost."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        usage = RequestUsage(input_tokens=1000, output_tokens=1000)
        return ModelResponse(parts=[TextPart("ok")], usage=usage, model_name="gpt-4o", provider_name="openai")

    model = Priced(answer, model_name="gpt-4o")
    policy = Policy(limits=[RateLimit("1.00", per="365d", of="usd")], most_output_tokens=1000)
    safe = harden(Agent(model, name="a"), policy, clock=FakeClock())
    runs = 0
    with pytest.raises(RateLimited):
        while runs < 1000:
            await safe.run("hello", deps=None, principal=ALICE)
            runs += 1
    # A thousand tokens in and out cost $0.0125 at the list price; the last may not begin without room for its most.
    assert Decimal("0.97") < runs * Decimal("0.0125") <= 1


async def test_tool_calls_are_counted() -> None:
    """The call beyond the limit is not made."""
    made: list[int] = []

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        done = sum(isinstance(part, ToolReturnPart) for message in messages for part in message.parts)
        return ModelResponse(parts=[ToolCallPart("act", {}) if done < 5 else TextPart("ok")])

    agent = Agent(FunctionModel(answer), name="a")

    @agent.tool_plain
    def act() -> str:
        made.append(1)
        return "done"

    _ = act
    with pytest.raises(RateLimited, match="tool_calls"):
        await harden(agent, Policy(limits=[RateLimit(3, per="1h", of="tool_calls")])).run(
            "hello", deps=None, principal=ALICE
        )
    assert len(made) == 3


async def test_an_answer_that_was_refused_is_paid_for() -> None:
    """A guard that does not let the answer out gives no tokens back; one that lets nothing in does."""

    class Mute:
        name = "mute"
        cost = 1.0
        max_characters = 10_000

        def __init__(self, context: str) -> None:
            self.context = context

        def __call__(self, value: guards.GuardInput) -> guards.Verdict:
            said = "block" if value.context == self.context else "allow"
            return guards.Verdict(outcome=said, guard=self.name)

    for context, runs in (("output", 2), ("document", 5)):
        agent = Agent(answering(5, []), name="a")
        policy = Policy(
            guards=[Mute(context)],
            limits=[RateLimit(1200, per="365d", of="tokens")],
            most_output_tokens=400,
            abuse=None,
        )
        safe = harden(agent, policy, clock=FakeClock())
        for _ in range(runs):
            with pytest.raises(GuardBlocked):
                await safe.run(["hello", Block("b", "t", "words")], deps=None, principal=ALICE)
        if context == "output":
            with pytest.raises(RateLimited):
                await safe.run("hello", deps=None, principal=ALICE)


@pytest.mark.parametrize(("leave", "runs"), [(False, 20), (True, 3)])
async def test_a_stream_that_is_left_is_paid_for_in_full(*, leave: bool, runs: int) -> None:
    """Read to its end it is settled at what it used; left before, nobody knows, so its reservation stays spent."""
    agent = Agent(TestModel(custom_output_text="One sentence. Another one. A third."), name="a")
    policy = Policy(limits=[RateLimit(2000, per="365d", of="tokens")], most_output_tokens=500)
    safe = harden(agent, policy, clock=FakeClock())
    done = 0
    with pytest.raises(RateLimited):
        while done < 100:
            async with safe.run_stream("hello", deps=None, principal=ALICE) as stream:
                async for _ in stream.text():
                    if leave:
                        break
            done += 1
    assert done >= runs
    assert done < 5 or not leave
