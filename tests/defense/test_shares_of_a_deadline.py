"""A model that hangs leaves those behind it their share of the deadline, and is known for it."""

import asyncio

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from seawall import (
    CircuitBreaker,
    ConfigError,
    Keyring,
    Policy,
    Principal,
    harden,
    seconds,
)
from seawall.defense.load import Bulkhead
from seawall.defense.resilience.breaker import Breaker

ALICE = Principal("acme", "alice")


async def hang(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Say nothing."""
    await asyncio.Event().wait()
    raise AssertionError


def policy(**more: object) -> Policy:
    """Make one whose time limit for a call is far beyond its deadline."""
    quick = CircuitBreaker(minimum_calls=2)
    return Policy(deadline="400ms", breaker=quick, abuse=None, **more)  # type: ignore[arg-type]


async def test_the_next_model_has_time_to_answer() -> None:
    """Though nobody said how long a call may take; after a few the first is not asked any more."""
    agent = Agent(FunctionModel(hang, model_name="slow"), name="a")
    hardened = harden(agent, policy(fallbacks=[TestModel()]), keyring=Keyring.ephemeral())
    answers = [await hardened.run("x", deps=None, principal=ALICE) for _ in range(4)]
    assert {answer.degradation for answer in answers} == {"fallback"}
    assert [answer.transaction.attempts[0] for answer in answers[-2:]] == ["slow:breaker"] * 2


def test_a_call_has_no_more_than_its_share() -> None:
    """Of three models each has a third; a shorter limit of its own stands."""
    three = Policy(deadline="60s", call_timeout="30s", fallbacks=["test", "test"])
    assert seconds(three.endpoint.timeout) == pytest.approx(20.0)
    assert Policy(deadline="60s", call_timeout="5s").endpoint.timeout == "5s"


def test_a_listener_that_fails_is_nobody_elses_business(caplog: pytest.LogCaptureFixture) -> None:
    """The call goes on, those behind it are told, and the log says what happened."""
    breaker = Breaker(CircuitBreaker())
    told: list[str] = []
    breaker.listen(lambda _change: int("no number"))
    breaker.listen(lambda change: told.append(change.after))
    breaker.isolate()
    assert told == ["isolated"]
    assert "a listener to a circuit failed" in caplog.text


@pytest.mark.parametrize("places", [float("nan"), float("inf"), 2.0, True, "many"])
def test_places_are_counted_in_whole_numbers(places: object) -> None:
    """What is no number of places refuses at construction, not every call for ever."""
    with pytest.raises(ConfigError, match="concurrency"):
        Bulkhead(concurrency=places)  # type: ignore[arg-type]
