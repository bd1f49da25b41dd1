"""The rungs below the first model: next model, smaller model, known answer, partial answer, honest refusal."""

import asyncio
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError, ModelRequestRejectedError, RunTimedOut
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from seawall import CircuitBreaker, EventBus, Fallback, Policy, Principal, Retries, Unavailable, harden
from seawall.foundation.errors import ConfigError
from seawall.foundation.events import Event, TransactionFinished
from seawall.foundation.transaction import LEVELS, Transaction, worse
from seawall.testing import FakeClock

ALICE = Principal("acme", "alice")
BOB = Principal("acme", "bob")
NO_RETRIES = Retries(most=0)


class Weather:
    """A model that answers while the weather is good, and counts who asked."""

    def __init__(self, name: str = "first", *, good: bool = True) -> None:
        self.name = name
        self.good = good
        self.asked = 0
        self.error: Callable[[], Exception] = lambda: ModelHTTPError(503, name)
        self.model = FunctionModel(self._answer, model_name=name)

    def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.asked += 1
        if not self.good:
            raise self.error()
        return ModelResponse(parts=[TextPart(f"{self.name} says {self.asked}")])


def hardened(
    *models: Weather | Fallback, clock: FakeClock | None = None, **policy: Any
) -> tuple[Any, list[Transaction]]:
    rows: list[Transaction] = []

    def keep(event: Event) -> None:
        if isinstance(event, TransactionFinished):
            rows.append(event.transaction)

    bus = EventBus(keep)
    first, *others = models
    assert isinstance(first, Weather)
    fallbacks = [one.model if isinstance(one, Weather) else one for one in others]
    terms = Policy(fallbacks=fallbacks, retries=NO_RETRIES, **policy)
    agent = Agent(first.model, name="clerk")
    return harden(agent, terms, events=bus, clock=clock or FakeClock()), rows


async def ask(safe: Any, prompt: str = "go", who: Principal = ALICE) -> Any:
    return await safe.run(prompt, deps=None, principal=who)


async def test_each_model_has_its_level() -> None:
    """The first is full, the next a fallback, a smaller one reduced; the row and the result say the same."""
    first, second, small = Weather("first"), Weather("second"), Weather("small")
    safe, rows = hardened(first, second, Fallback(small.model, level="reduced"))
    levels: list[tuple[str, str]] = []
    for dead in (None, first, second):
        if dead is not None:
            dead.good = False
        result = await ask(safe)
        levels.append((result.degradation, result.transaction.model))
    assert levels == [("full", "first"), ("fallback", "second"), ("reduced", "small")]
    assert [row.degradation for row in rows] == ["full", "fallback", "reduced"]


async def test_a_known_answer_is_given_again_to_who_asked_the_same() -> None:
    """Stale if error: the same caller, the same question, not too old; nobody else's answer, and no other question's."""
    clock = FakeClock()
    first = Weather()
    safe, rows = hardened(first, clock=clock, stale_if_error="1h")
    fresh = await ask(safe)
    first.good = False
    again = await ask(safe)
    assert (again.output, again.degradation, again.transaction.model) == (fresh.output, "cached", "first")
    assert again.messages == fresh.messages
    assert rows[-1].outcome == "ok"
    for prompt, who in (("go", BOB), ("other", ALICE)):
        with pytest.raises(Unavailable):
            await ask(safe, prompt, who)
    clock.advance("1h")
    with pytest.raises(Unavailable):
        await ask(safe)


async def test_while_an_answer_can_be_had_no_old_one_is_given() -> None:
    """It is no cache: every question is asked anew, and a fallback comes before a known answer."""
    first, second = Weather("first"), Weather("second")
    safe, _ = hardened(first, second, stale_if_error="1h")
    assert [(await ask(safe)).output for _ in range(2)] == ["first says 1", "first says 2"]
    first.good = False
    assert (await ask(safe)).degradation == "fallback"


async def test_what_a_caller_does_to_an_answer_reaches_no_later_reader() -> None:
    """A known answer is a copy each time."""

    class Note(BaseModel):
        words: list[str]

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if down:
            raise ModelHTTPError(503, "first")
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"words": ["one"]})])

    down: list[bool] = []
    agent = Agent(FunctionModel(answer, model_name="first"), name="clerk", output_type=Note)
    safe = harden(agent, Policy(retries=NO_RETRIES, stale_if_error="1h"))
    (await ask(safe)).output.words.append("two")
    down.append(True)
    (await ask(safe)).output.words.append("three")
    assert (await ask(safe)).output.words == ["one"]


async def test_an_answer_that_a_tool_was_called_for_is_not_given_again() -> None:
    """It may have done something, and saying that it did so again would be a lie."""
    paid, down = 0, False

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if down:
            raise ModelHTTPError(503, "first")
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("pay", {})])
        return ModelResponse(parts=[TextPart("It is paid.")])

    agent = Agent(FunctionModel(answer, model_name="first"), name="clerk")

    @agent.tool_plain
    def pay() -> str:
        nonlocal paid
        paid += 1
        return "done"

    safe = harden(agent, Policy(retries=NO_RETRIES, stale_if_error="1h"))
    assert (await ask(safe)).output == "It is paid."
    down = True
    with pytest.raises(Unavailable):
        await ask(safe)
    assert paid == 1


async def test_a_partial_answer_names_what_is_missing() -> None:
    """When no model answers, the policy makes what it can; where it cannot, the run is refused."""
    first, second = Weather("first", good=False), Weather("second", good=False)
    told: list[Unavailable] = []

    def partly(refusal: Unavailable) -> str | None:
        told.append(refusal)
        return "By the rules alone: yes." if len(told) == 1 else None

    safe, rows = hardened(first, second, partial=partly)
    result = await ask(safe)
    assert (result.output, result.degradation) == ("By the rules alone: yes.", "partial")
    assert result.missing == rows[0].missing == ("model first", "model second")
    assert rows[0].outcome == "ok"
    with pytest.raises(Unavailable):
        await ask(safe)


async def test_the_refusal_says_who_failed_and_when_to_come_back() -> None:
    """The soonest that any of them may be there again; the errors are its cause, and it survives a pickle."""
    first, second = Weather("first", good=False), Weather("second", good=False)
    second.error = lambda: ModelRequestRejectedError("second", "at fault")
    safe, rows = hardened(
        first, second, breaker=CircuitBreaker(minimum_calls=1, open_for="10s", failure_rate=1)
    )
    with pytest.raises(ExceptionGroup):
        # One of them was asked and said that the request is at fault: that is an answer.
        await ask(safe)
    second.error = lambda: ModelHTTPError(500, "second")
    with pytest.raises(Unavailable) as refused:
        await ask(safe)
    assert refused.value.came_to == (("model first", "CircuitOpen"), ("model second", "ModelHTTPError"))
    assert 8 <= (refused.value.retry_after or 0) <= 10
    copy = pickle.loads(pickle.dumps(refused.value))
    assert (copy.came_to, copy.retry_after, str(copy)) == (
        refused.value.came_to,
        refused.value.retry_after,
        str(refused.value),
    )
    assert [(row.outcome, row.degradation) for row in rows] == [("failed", "refused")] * 2


async def test_past_its_deadline_a_run_gives_what_is_known() -> None:
    """A run that hangs past its deadline ends in the same rungs, and in RunTimedOut where there are none."""
    hang = False

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if hang:
            await asyncio.Event().wait()
        return ModelResponse(parts=[TextPart("Yes.")])

    agent = Agent(FunctionModel(answer, model_name="first"), name="clerk")
    safe = harden(agent, Policy(deadline="300ms", stale_if_error="1h"))
    await ask(safe)
    hang = True
    assert (await ask(safe)).degradation == "cached"
    with pytest.raises((RunTimedOut, Unavailable)):
        await ask(safe, "something else")


def test_levels_are_ordered_from_the_best_to_none() -> None:
    """The worse of two is the one further down, whichever comes first."""
    for better, lesser in itertools.pairwise(LEVELS):
        assert worse(better, lesser) == worse(lesser, better) == lesser


def test_a_level_that_is_none_is_refused() -> None:
    """A fallback is worth one of two things."""
    with pytest.raises(ConfigError, match="reduced"):
        Fallback("test", level="cached")  # type: ignore[arg-type]
