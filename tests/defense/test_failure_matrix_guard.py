"""Every way a classifier service can fail, under a guard that asks it: the text fares as the guard's owner said."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from seawall.defense import GuardBlocked, Policy, harden
from seawall.defense.guards import GuardInput, Verdict
from seawall.defense.guards.guard import GUARD_FAILED, GUARD_TIMEOUT, GUARD_UNAVAILABLE
from seawall.defense.pipeline import Guarded, OnFailure, Pipeline
from seawall.defense.resilience import CircuitBreaker
from seawall.foundation.principal import Principal
from tests.defense.broken import Breakage, Broken, tasks_left, web_client

ALICE = Principal("acme", "alice")
SAID = GuardInput("Please label this.", scope="acme")

# Why there is no verdict, and whether the guard's breaker counts it. What one caller's text may have brought about does not
# count: it must not take the guard from everybody, least of all where text passes that nobody judged.
LATE = (GUARD_TIMEOUT, True)
DOWN = (GUARD_FAILED, True)
ITS_TEXT = (GUARD_FAILED, False)
ROWS: dict[Breakage, tuple[str, bool]] = {
    "dns": DOWN,
    "refused": DOWN,
    "reset on accept": DOWN,
    "reset on request": DOWN,
    "tls on a plain port": DOWN,
    "tls self-signed": DOWN,
    "tls hang": DOWN,
    "connect timeout": DOWN,
    "read timeout": LATE,
    "stall": LATE,
    "cut": DOWN,
    "429": DOWN,
    "429 seconds": DOWN,
    "500": DOWN,
    "502 html": DOWN,
    "503": DOWN,
    "503 seconds": DOWN,
    "504": DOWN,
    "529": DOWN,
    "400": ITS_TEXT,
    "401": DOWN,
    "403": ITS_TEXT,
    "404": ITS_TEXT,
    "408": DOWN,
    "413": ITS_TEXT,
    "422": ITS_TEXT,
    "empty": ITS_TEXT,
    "invalid json": ITS_TEXT,
    "wrong shape": ITS_TEXT,
}
FAILING: tuple[OnFailure, ...] = ("closed", "open")


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncGenerator[None]:
    """Whatever fails, no task is left of it."""
    yield
    assert not await tasks_left()


class Label(BaseModel):
    label: str
    score: float


class Classifier:
    """A guard that asks a service over HTTP, and lets its errors out as they are."""

    name = "classifier"
    cost = 5.0
    max_characters = 10_000

    def __init__(self, server: Broken, client: httpx2.AsyncClient) -> None:
        self._url = f"{server.url}/label"
        self._client = client

    async def __call__(self, value: GuardInput) -> Verdict:
        response = await self._client.post(self._url, json={"text": value.text})
        response.raise_for_status()
        label = Label.model_validate(response.json())
        return Verdict(
            outcome="allow" if label.label == "ok" else "block", guard=self.name, score=label.score
        )


@asynccontextmanager
async def classifier(server: Broken) -> AsyncGenerator[Classifier]:
    """A guard with its connections open."""
    async with web_client() as client:
        yield Classifier(server, client)


def pipeline_of(guard: Classifier, on_failure: OnFailure, **breaker: int) -> Pipeline:
    """A pipeline of this guard alone."""
    terms = CircuitBreaker(minimum_calls=breaker.get("minimum_calls", 10))
    return Pipeline([Guarded(guard, budget="200ms", on_failure=on_failure, breaker=terms)])


@pytest.mark.parametrize("on_failure", FAILING)
@pytest.mark.parametrize("kind", ROWS)
async def test_a_guard_whose_service_fails(kind: Breakage, on_failure: OnFailure) -> None:
    """Closed, it blocks; open, the text passes marked as not judged. It asks once, and its breaker counts what is not the text's."""
    reason, counts = ROWS[kind]
    async with Broken(kind) as server, classifier(server) as guard:
        pipeline = pipeline_of(guard, on_failure)
        verdict = (await pipeline.check(SAID)).verdict
        assert server.requests <= 1
    assert (verdict.outcome, verdict.skipped) == (
        ("allow", True) if on_failure == "open" else ("block", False)
    )
    assert verdict.reason_code == reason
    ((_, breaker),) = pipeline.breakers
    snapshot = breaker.snapshot()
    assert (snapshot.failures, snapshot.probes) == (int(counts), 0)


async def test_a_guard_whose_service_is_well() -> None:
    """Its verdict is its own."""
    async with Broken() as server, classifier(server) as guard:
        verdict = (await pipeline_of(guard, "closed").check(SAID)).verdict
    assert (verdict.outcome, verdict.skipped, verdict.guard) == ("allow", False, "classifier")


@pytest.mark.parametrize("kind", ["503", "read timeout", "400", "empty"])
async def test_a_guard_that_failed_often_enough_is_not_asked(kind: Breakage) -> None:
    """Its circuit opens by the service's failures alone; no text takes it from the others."""
    async with Broken(kind) as server, classifier(server) as guard:
        pipeline = pipeline_of(guard, "open", minimum_calls=2)
        verdicts = [(await pipeline.check(SAID)).verdict for _ in range(3)]
        assert server.requests == (2 if ROWS[kind][1] else 3)
    assert verdicts[2].reason_code == (GUARD_UNAVAILABLE if ROWS[kind][1] else ROWS[kind][0])


@pytest.mark.parametrize("kind", ["connect timeout", "read timeout", "stall"])
async def test_a_caller_that_goes_away_while_its_text_is_judged(kind: Breakage) -> None:
    """The question to the service ends with it, and says nothing against the service."""
    async with Broken(kind) as server, classifier(server) as guard:
        pipeline = Pipeline([Guarded(guard, budget="30s")])
        task = asyncio.ensure_future(pipeline.check(SAID))
        if kind != "connect timeout":
            await server.asked.wait()
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if kind != "connect timeout":
            await asyncio.wait_for(server.left.wait(), 30)
    ((_, breaker),) = pipeline.breakers
    assert (breaker.snapshot().calls, breaker.snapshot().probes) == (0, 0)


@pytest.mark.parametrize("on_failure", FAILING)
async def test_what_the_caller_of_the_agent_gets(on_failure: OnFailure) -> None:
    """Closed, a refusal without a word to the model; open, an answer whose row says that nobody judged."""
    model = TestModel(custom_output_text="Well.")
    async with Broken("503") as server, classifier(server) as guard:
        safe = harden(Agent(model, name="asked"), Policy(guards=[Guarded(guard, on_failure=on_failure)]))
        if on_failure == "closed":
            with pytest.raises(GuardBlocked):
                await safe.run("How is it?", deps=None, principal=ALICE)
            assert server.requests == 1
        else:
            row = (await safe.run("How is it?", deps=None, principal=ALICE)).transaction
            assert (row.outcome, row.verdicts) == ("ok", ("classifier:skipped",))
