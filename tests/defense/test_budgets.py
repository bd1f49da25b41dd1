"""Budgets: set aside before, settled after; waited for, warned of, and what happens where they are spent."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from seawall.defense import Budget, BudgetExceeded, Fallback, PendingCall, Policy, Unavailable, harden
from seawall.defense.limits.budget import span_of
from seawall.foundation.errors import ConfigError
from seawall.foundation.events import BudgetWarned, Event, EventBus
from seawall.foundation.principal import Principal
from seawall.testing import FakeClock

ANN, BOB = Principal("acme", "ann"), Principal("acme", "bob")


class Priced(FunctionModel):
    """A model by the name of one that has a list price."""

    def __init__(self, answer: Callable[..., Any], name: str = "gpt-5") -> None:
        super().__init__(answer, model_name=name)

    @property
    def system(self) -> str:
        return "openai"


def answering(tokens: int = 100, *, text: str = "ok") -> Callable[..., Any]:
    """Make what answers with so many output tokens."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        usage = RequestUsage(output_tokens=tokens)
        return ModelResponse(parts=[TextPart(text)], usage=usage, model_name="gpt-5", provider_name="openai")

    return answer


def tokens(limit: int, **more: Any) -> Policy:
    """Return a policy with one budget of tokens, of which a request sets 1,000 and a little aside."""
    return Policy(limits=[Budget(tokens=limit, **more)], most_output_tokens=1_000)


def agent(model: Any) -> Agent[None, str]:
    """Return an agent that says what the model does."""
    return Agent(model, name="a")


def test_spans_begin_with_the_day_the_week_and_the_month() -> None:
    """Each is named for its first day and ends where the next begins, in UTC; a run's and the whole never do."""
    moment = datetime(2024, 2, 29, 23, 59, tzinfo=UTC).timestamp()

    def ends(year: int, month: int, day: int) -> float:
        return datetime(year, month, day, tzinfo=UTC).timestamp()

    assert span_of("1d", moment) == ("1d 2024-02-29", ends(2024, 3, 1))
    assert span_of("1w", moment) == ("1w 2024-02-26", ends(2024, 3, 4))
    assert span_of("1M", moment) == ("1M 2024-02-01", ends(2024, 3, 1))
    assert span_of("1M", ends(2024, 12, 31)) == ("1M 2024-12-01", ends(2025, 1, 1))
    assert span_of("total", moment) == ("total", None)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "one of the two"),
        ({"usd": "1", "tokens": 5}, "one of the two"),
        ({"usd": "1", "per": "1h"}, "expected one of"),
        ({"usd": "1", "at_limit": "shrug"}, "'ask'"),
        ({"usd": "1", "warn": (1.2,)}, "between 0 and 1"),
        ({"usd": "-1"}, "Budget"),
        ({"tokens": 0}, "Budget"),
        ({"usd": "1", "patience": "soon"}, "soon"),
    ],
)
def test_what_cannot_hold_is_refused(settings: dict[str, Any], says: str) -> None:
    """With what was expected."""
    with pytest.raises(ConfigError, match=says):
        Budget(**settings)


async def test_a_refusal_says_which_how_much_and_when_it_begins_anew() -> None:
    """And the next day there is a whole one again."""
    clock = FakeClock()
    safe = harden(agent(FunctionModel(answering(1_000))), tokens(2_000, name="daily"), clock=clock)
    await safe.run("hello", deps=None, principal=ANN)
    with pytest.raises(BudgetExceeded) as refused:
        await safe.run("hello", deps=None, principal=BOB)
    assert "budget 'daily': 1000 tokens left of 2000 tokens" in str(refused.value)
    assert "2023-11-15 00:00 UTC" in str(refused.value)
    assert refused.value.retry_after is not None
    assert refused.value.resets_at == pytest.approx(clock.time() + refused.value.retry_after)
    clock.advance(refused.value.retry_after + 1)
    await safe.run("hello", deps=None, principal=BOB)


async def test_a_request_has_to_fit_into_every_budget_of_a_hierarchy() -> None:
    """What one subject has spent of its own leaves the tenant's to the others; a run has one of its own."""
    policy = Policy(
        limits=[
            Budget(tokens=10_000, key="tenant", name="firm"),
            Budget(tokens=2_000, key="subject", name="person"),
            Budget(tokens=1_500, per="run", name="run"),
        ],
        most_output_tokens=1_000,
    )
    safe = harden(agent(FunctionModel(answering(1_000))), policy, clock=FakeClock())
    await safe.run("hello", deps=None, principal=ANN)
    with pytest.raises(BudgetExceeded, match="'person'"):
        await safe.run("hello", deps=None, principal=ANN)
    await safe.run("hello", deps=None, principal=BOB)
    with pytest.raises(BudgetExceeded, match="'run'"):
        await safe.run("x" * 1_000, deps=None, principal=Principal("acme", "cid"))


async def test_what_was_never_spent_comes_back() -> None:
    """A model that cannot be reached costs nothing, however often."""

    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ConnectionRefusedError

    safe = harden(agent(FunctionModel(fail)), tokens(1_600, name="daily"), clock=FakeClock())
    for _ in range(4):
        with pytest.raises(Exception) as failed:  # noqa: PT011  which error is not what is tested
            await safe.run("hello", deps=None, principal=ANN)
        assert not isinstance(failed.value, BudgetExceeded)


async def test_a_request_waits_for_what_others_have_set_aside() -> None:
    """The budget has room for one at a time and for ten in all: none of ten at once is refused."""

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await asyncio.sleep(0.002)
        return ModelResponse(parts=[TextPart("ok")], usage=RequestUsage(output_tokens=50))

    safe = harden(agent(FunctionModel(answer)), tokens(1_700, patience="30s"))
    runs = [safe.run("hello", deps=None, principal=ANN) for _ in range(10)]
    assert len(await asyncio.gather(*runs)) == 10


async def test_its_owner_is_warned_once() -> None:
    """At each share that was asked for."""
    events = EventBus()
    heard: list[Event] = []
    events.subscribe(heard.append)
    policy = tokens(10_000, warn=(0.3, 0.5), name="daily")
    safe = harden(agent(FunctionModel(answering(1_000))), policy, events=events, clock=FakeClock())
    for _ in range(7):
        await safe.run("hello", deps=None, principal=ANN)
    warned = [event for event in heard if isinstance(event, BudgetWarned)]
    assert [event.share >= share for event, share in zip(warned, (0.3, 0.5), strict=True)] == [True, True]
    assert {(event.budget, event.tenant) for event in warned} == {("daily", "acme")}


def degrading(usd: str) -> Policy:
    """Return a policy with a dear model in front and a cheap one behind it, and a budget of dollars."""
    cheap = Priced(answering(100, text="cheap"), "gpt-5-nano")
    return Policy(
        limits=[Budget(usd, at_limit="degrade")],
        fallbacks=[Fallback(cheap, level="reduced")],
        most_output_tokens=1_000,
    )


async def test_a_budget_that_degrades_leaves_the_cheaper_model() -> None:
    """$0.01 is set aside for an answer of the dear one, less than $0.001 for one of the cheap one."""
    dear = Priced(answering(1_000, text="dear"))
    safe = harden(agent(dear), degrading("0.015"), clock=FakeClock())
    first = await safe.run("hello", deps=None, principal=ANN)
    second = await safe.run("hello", deps=None, principal=ANN)
    assert (first.output, first.transaction.degradation) == ("dear", "full")
    assert (second.output, second.transaction.degradation) == ("cheap", "reduced")
    broke = harden(agent(dear), degrading("0.0001"), clock=FakeClock())
    with pytest.raises(BudgetExceeded):
        await broke.run("hello", deps=None, principal=ANN)


async def test_the_one_model_that_is_left_may_fail() -> None:
    """The dear one is not asked in its stead."""

    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ConnectionRefusedError

    policy = Policy(
        limits=[Budget("0.005", at_limit="degrade")],
        fallbacks=[Fallback(Priced(fail, "gpt-5-nano"), level="reduced")],
        most_output_tokens=1_000,
    )
    safe = harden(agent(Priced(answering(text="dear"))), policy, clock=FakeClock())
    with pytest.raises(Unavailable):
        await safe.run("hello", deps=None, principal=ANN)


@pytest.mark.parametrize("yes", [True, False])
async def test_a_budget_may_ask(yes: bool) -> None:
    """Somebody lets the run go beyond it, or does not; what it spends is counted either way."""
    asked: list[PendingCall] = []

    async def approver(call: PendingCall) -> bool:
        asked.append(call)
        return yes

    policy = tokens(2_000, at_limit="ask", name="daily")
    safe = harden(agent(FunctionModel(answering(1_000))), policy, approver=approver, clock=FakeClock())
    await safe.run("hello", deps=None, principal=ANN)
    if yes:
        result = await safe.run("hello", deps=None, principal=ANN)
        assert "budget:allow" in result.transaction.verdicts
    else:
        with pytest.raises(BudgetExceeded):
            await safe.run("hello", deps=None, principal=ANN)
    assert [(call.tool, call.why, call.arguments["budget"]) for call in asked] == [
        ("model request", "budget", "daily")
    ]


def test_a_budget_that_asks_needs_somebody_to_ask() -> None:
    """Said when the agent is hardened, not when the money is gone."""
    with pytest.raises(ConfigError, match="approver"):
        harden(agent(FunctionModel(answering())), tokens(2_000, at_limit="ask"))


async def test_what_may_be_billed_twice_stays_set_aside_whole() -> None:
    """A model that broke off may be billed, and so may the one that answered in its stead."""

    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(500, "gpt-5")

    policy = Policy(
        limits=[Budget(tokens=2_000, name="daily")],
        fallbacks=[Fallback(FunctionModel(answering(10)), level="reduced")],
        most_output_tokens=1_000,
    )
    safe = harden(agent(FunctionModel(fail)), policy, clock=FakeClock())
    await safe.run("hello", deps=None, principal=ANN)
    with pytest.raises(BudgetExceeded):
        await safe.run("hello", deps=None, principal=ANN)
