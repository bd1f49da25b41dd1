"""Every way a service can fail, under a tool that asks it through a `Dependency` of its own, in a hardened agent's run."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
from httpx2 import AsyncClient
from pydantic import BaseModel
from pydantic_ai import Agent, ToolFailed
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from seawall.defense import Policy, harden
from seawall.defense.dependency import Dependency, Protection
from seawall.defense.resilience import CircuitBreaker, Retries
from seawall.foundation.events import Event, EventBus, TransactionFinished
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Transaction
from tests.defense.broken import READ, Breakage, Broken, tasks_left, web_client

ALICE = Principal("acme", "alice")
# What a client cannot tell by a status is read as its status is.
BY_STATUS: dict[Breakage, Breakage] = {"quota": "429", "context window": "400"}

# A ValidationError out of a tool is what Pydantic AI takes for wrong arguments.
OF_ANOTHER_SHAPE: tuple[Breakage, ...] = ("wrong shape", "error in the stream")


class Label(BaseModel):
    label: str


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncGenerator[None]:
    """Whatever fails, no task is left of it."""
    yield
    assert not await tasks_left()


@dataclass
class Shop:
    """An agent that looks a label up and says it, or says that it cannot."""

    server: Broken
    client: AsyncClient
    tells_the_model: bool = False
    calls: int = 1
    label: Dependency = field(
        default_factory=lambda: Dependency(
            "tool label",
            Protection(timeout="200ms", retries=Retries(most=0), breaker=CircuitBreaker(minimum_calls=2)),
        )
    )
    rows: list[Transaction] = field(default_factory=list[Transaction])

    async def run(self) -> str:
        """Ask the agent once."""
        agent = Agent(FunctionModel(self._model, model_name="m"), name="shop")
        agent.tool_plain(self.look_up)
        safe = harden(agent, Policy(), events=EventBus(self._heard))
        return (await safe.run("Which label?", deps=None, principal=ALICE)).output

    async def look_up(self) -> str:
        """Look the label up."""
        try:
            return await self.label.call(self._ask)
        except Exception as error:
            if self.tells_the_model:
                raise ToolFailed("the label service does not answer") from error
            raise

    async def _ask(self) -> str:
        response = await self.client.post(f"{self.server.url}/label", json={"text": "some"})
        response.raise_for_status()
        return Label.model_validate(response.json()).label

    def _model(self, messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("look_up", {}) for _ in range(self.calls)])
        failed = "does not answer" in repr(messages[-1])
        return ModelResponse(parts=[TextPart("I cannot look it up." if failed else "It is ok.")])

    def _heard(self, event: Event) -> None:
        if isinstance(event, TransactionFinished):
            self.rows.append(event.transaction)

    def held(self) -> tuple[int, int]:
        """Places and leaves to probe that are still held."""
        return self.label.stats().running, self.label.circuit.snapshot().probes


@pytest.mark.parametrize("kind", [kind for kind in READ if kind not in OF_ANOTHER_SHAPE])
async def test_a_tool_whose_service_fails(kind: Breakage) -> None:
    """Its error ends the run, on record as failed; its own circuit counts it, the model's says that the model is well."""
    read, counts, _ = READ[BY_STATUS.get(kind, kind)]
    async with Broken(kind) as server, web_client() as client:
        shop = Shop(server, client)
        with pytest.raises(Exception) as raised:  # noqa: PT011  it is the service's own, whichever that is
            await shop.run()
    (row,) = shop.rows
    assert (row.outcome, row.attempts[0], row.requests) == ("failed", "m:ok", 1)
    # A dependency's time limit is told like a model's, with the name of what did not answer.
    assert ("tool label" in str(raised.value)) is (read == "read_timeout")
    assert shop.label.circuit.snapshot().failures == int(counts)
    assert shop.held() == (0, 0)


@pytest.mark.parametrize("kind", OF_ANOTHER_SHAPE)
async def test_a_tool_whose_service_answers_in_another_shape(kind: Breakage) -> None:
    """The model is told, as of wrong arguments of its own, and the run goes on; the service's circuit counts it all the same."""
    async with Broken(kind) as server, web_client() as client:
        shop = Shop(server, client)
        await shop.run()
    assert [(row.outcome, row.requests) for row in shop.rows] == [("ok", 2)]
    assert shop.label.circuit.snapshot().failures == 1
    assert shop.held() == (0, 0)


@pytest.mark.parametrize("kind", READ)
async def test_a_tool_that_tells_the_model_of_its_failure(kind: Breakage) -> None:
    """The run goes on without it, and the failure counts against the service all the same."""
    _, counts, _ = READ[BY_STATUS.get(kind, kind)]
    async with Broken(kind) as server, web_client() as client:
        shop = Shop(server, client, tells_the_model=True)
        assert await shop.run() == "I cannot look it up."
    (row,) = shop.rows
    assert (row.outcome, row.requests) == ("ok", 2)
    assert shop.label.circuit.snapshot().failures == int(counts)
    assert shop.held() == (0, 0)


async def test_a_tool_whose_service_is_well() -> None:
    """The model reads what the service said."""
    async with Broken() as server, web_client() as client:
        assert await Shop(server, client).run() == "It is ok."


async def test_a_tool_whose_circuit_is_open_is_not_made_to_wait() -> None:
    """Of many calls in many runs only the first few reach a service that is down."""
    async with Broken("503") as server, web_client() as client:
        shop = Shop(server, client, tells_the_model=True)
        for _ in range(4):
            assert await shop.run() == "I cannot look it up."
        assert server.requests == 2
    assert shop.label.circuit.state == "open"


@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("kind", ["connect timeout", "read timeout", "stall"])
async def test_a_caller_that_goes_away_while_tools_are_called(kind: Breakage, calls: int) -> None:
    """All the calls of the step end with it, and none says anything against the service."""
    async with Broken(kind) as server, web_client() as client:
        shop = Shop(server, client, calls=calls)
        task = asyncio.ensure_future(shop.run())
        while shop.label.stats().running < calls or (kind != "connect timeout" and server.requests < calls):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert shop.rows[0].outcome == "cancelled"
    assert shop.label.circuit.snapshot().calls == 0
    assert shop.held() == (0, 0)
