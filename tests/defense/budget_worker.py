"""One of several processes whose runs spend from one budget until it refuses them, and say what they spent."""

import asyncio
import random
import time
from decimal import Decimal
from multiprocessing.connection import Connection
from typing import NamedTuple

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from seawall.defense import Budget, BudgetExceeded, Policy, Stores, Unavailable, harden
from seawall.defense.limits import RedisStore
from seawall.foundation.principal import Principal
from seawall.foundation.storage.redis import RedisScripts

LIMIT = Decimal("1.00")
RUNS = 16
WHO = Principal("acme", "ann")
SECRET = b"secret of the test, 32 bytes long"


class Spending(NamedTuple):
    """What each answer cost and when it was given, and when the first run was refused (seconds, one clock for all)."""

    costs: list[tuple[float, Decimal]]
    refused: float


class _Flaky(FunctionModel):
    """A model by the name of one that has a list price: it answers at some length, or cannot be reached."""

    def __init__(self, seed: int) -> None:
        super().__init__(self._answer, model_name="gpt-5")
        self.costs: list[tuple[float, Decimal]] = []
        self._dice = random.Random(seed)

    @property
    def system(self) -> str:
        return "openai"

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await asyncio.sleep(self._dice.uniform(0, 0.01))
        if self._dice.random() < 0.1:
            raise ConnectionRefusedError
        usage = RequestUsage(
            input_tokens=self._dice.randint(1, 70), output_tokens=self._dice.randint(1, 1_000)
        )
        answer = ModelResponse([TextPart("ok")], usage=usage, model_name="gpt-5", provider_name="openai")
        self.costs.append((time.monotonic(), answer.cost().total_price))
        return answer


def spend(url: str, seed: int, go: Connection, answer: Connection) -> None:
    """Run until every run was refused, then send what was spent."""
    answer.send(asyncio.run(_spend(url, seed, go, answer)))


async def _spend(url: str, seed: int, go: Connection, answer: Connection) -> Spending:
    # A process that shares its cores with three others is slow to read an answer.
    scripts = RedisScripts(url, timeout="10s")
    stores = Stores(counters=RedisStore(scripts, secret=SECRET, on_store_error="closed"))
    budget = Budget(LIMIT, per="total", key="tenant", patience="60s")
    model = _Flaky(seed)
    agent = Agent(model, name="spender")
    safe = harden(agent, Policy(limits=[budget], most_output_tokens=1_000), stores=stores)
    answer.send("ready")
    go.recv()

    async def until_refused() -> float:
        while True:
            try:
                await safe.run("hello", deps=None, principal=WHO)
            except BudgetExceeded:
                return time.monotonic()
            except Unavailable:
                continue

    refused = await asyncio.gather(*(until_refused() for _ in range(RUNS)))
    await scripts.aclose()
    return Spending(model.costs, min(refused))
