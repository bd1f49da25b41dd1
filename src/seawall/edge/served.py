"""What a service offers under a name: an agent under its policy, or any other work."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_core import to_jsonable_python

from seawall.defense import Hardened, HardenedStream, Health
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a run: output as JSON, and its ledger row."""

    output: Any
    transaction: Transaction


class Served(Protocol):
    """Work with a name that callers may have done. `schema` is the JSON schema of its output."""

    name: str
    description: str
    schema: dict[str, Any]

    async def run(self, given: str, principal: Principal) -> Answer:
        """Do it for somebody; raises what a hardened agent's `run` raises."""
        ...

    def health(self) -> Health:
        """Say what works less than it should."""
        ...


class ServedAgent:
    """A hardened agent as the service offers it; `deps` makes its dependencies for each caller."""

    def __init__(
        self,
        hardened: Hardened[Any, Any],
        agent: Agent[Any, Any],
        *,
        deps: Callable[[Principal], Any] | None = None,
        description: str = "",
    ) -> None:
        self.name = hardened.name
        self.description = description or str(agent.description or "")
        self.hardened = hardened
        self.says_text = agent.output_type is str
        self.schema = _schema(agent.output_type)
        self._deps = deps

    async def run(
        self, given: str, principal: Principal, history: Sequence[ModelMessage] | None = None
    ) -> Answer:
        """Run the agent."""
        deps = self._deps_for(principal)
        result = await self.hardened.run(given, deps=deps, principal=principal, history=history)
        return Answer(plain(result.output), result.transaction)

    def stream(
        self,
        given: str | None,
        principal: Principal,
        *,
        history: Sequence[ModelMessage] | None = None,
        resume: str | None = None,
    ) -> AbstractAsyncContextManager[HardenedStream[Any]]:
        """Run it, and give its answer as it comes."""
        deps = self._deps_for(principal)
        return self.hardened.run_stream(given, deps=deps, principal=principal, history=history, resume=resume)

    def health(self) -> Health:
        """Say what works less than it should."""
        return self.hardened.health()

    def _deps_for(self, principal: Principal) -> Any:
        return None if self._deps is None else self._deps(principal)


def plain(output: Any) -> Any:
    """Return an output as JSON has it."""
    return output if isinstance(output, str) else to_jsonable_python(output)


def _schema(output_type: Any) -> dict[str, Any]:
    try:
        return TypeAdapter[Any](output_type).json_schema(mode="serialization")
    except (PydanticUserError, PydanticSchemaGenerationError, TypeError, AttributeError):
        # Functions, several types at once: callers learn the shape from the answer.
        return {}
