"""An agent that calls tools as it is told to, under a policy whose circuits open at once, with its ledger rows."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from seawall.defense import Policy, harden
from seawall.defense.dependency import Protection
from seawall.defense.hardened import Hardened, HardenedResult
from seawall.defense.resilience import CircuitBreaker, Retries
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.events import Event, EventBus, TransactionFinished
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Transaction

ALICE = Principal("acme", "alice")
ONCE = Retries(most=0)
QUICK = CircuitBreaker(minimum_calls=2)
STRICT = Protection(breaker=QUICK, retries=ONCE, timeout="60s")
OPTIONAL = Protection(breaker=QUICK, retries=ONCE, timeout="60s", optional=True)
# What a model is told of a tool that it has to do without.
WITHOUT = "not available"

Step = Sequence[tuple[str, dict[str, Any]]]


@dataclass
class Steps:
    """A model that takes one step after the other, several calls in each, then says what the tools returned.

    `offered` are the names of the tools that each request offers, `read` what the tools returned.
    """

    steps: Sequence[Step]
    offered: list[frozenset[str]] = field(default_factory=list[frozenset[str]])
    read: list[str] = field(default_factory=list[str])

    @property
    def model(self) -> FunctionModel:
        """The model."""
        return FunctionModel(self._answer, stream_function=self._stream, model_name="m")

    def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.offered.append(frozenset(tool.name for tool in info.function_tools))
        asked = sum(isinstance(message, ModelResponse) for message in messages)
        self.read = [
            str(part.content) for m in messages for part in m.parts if isinstance(part, ToolReturnPart)
        ]
        if asked < len(self.steps):
            return ModelResponse(parts=[ToolCallPart(name, args) for name, args in self.steps[asked]])
        return ModelResponse(parts=[TextPart(" | ".join(self.read) or "nothing")])

    async def _stream(
        self, messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncGenerator[str | DeltaToolCalls]:
        for at, part in enumerate(self._answer(messages, info).parts):
            if isinstance(part, ToolCallPart):
                yield {at: DeltaToolCall(name=part.tool_name, json_args=part.args_as_json_str())}
            elif isinstance(part, TextPart):
                yield part.content


@dataclass
class Caller:
    """A hardened agent and the rows that it wrote."""

    safe: Hardened[Any, Any]
    rows: list[Transaction]

    async def run(self, prompt: str = "Go.") -> HardenedResult[Any]:
        """Ask it once."""
        return await self.safe.run(prompt, deps=None, principal=ALICE)

    def held(self) -> int:
        """Places and leaves to probe that are still held, of all dependencies together."""
        dependencies = list(self.safe._parts.capability.mounts)
        return sum(one.stats().running + one.circuit.snapshot().probes for one in dependencies)


def calling(agent: Agent[Any, Any], *, clock: Clock = SYSTEM_CLOCK, **policy: Any) -> Caller:
    """Harden an agent; its tools are under `STRICT` where the policy says nothing else."""
    rows: list[Transaction] = []

    def keep(event: Event) -> None:
        if isinstance(event, TransactionFinished):
            rows.append(event.transaction)

    terms: Mapping[str, Any] = {"tools": STRICT, "retries": ONCE, **policy}
    return Caller(harden(agent, Policy(**terms), events=EventBus(keep), clock=clock), rows)
