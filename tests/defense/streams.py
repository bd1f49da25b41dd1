"""What tests of streaming share: a model that streams what a script says, and a judge that keeps what it was asked."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from seawall.defense.dependency import Dependency, Protection
from seawall.defense.endpoint import Endpoint
from seawall.defense.guards import GuardBlocked
from seawall.defense.limits import Caller
from seawall.defense.load import Bulkhead
from seawall.defense.resilience import Retries, allow
from seawall.defense.run_state import Channel, RunState
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault
from seawall.foundation.events import EventBus
from seawall.foundation.principal import Principal

ALICE = Principal("acme", "alice")


class Suspension:
    """The model pauses its answer, and goes on with it when asked again."""


Step = ModelResponseStreamEvent | BaseException | Callable[[], Awaitable[object]] | Suspension


def text(*pieces: str, index: int = 0) -> list[Step]:
    """One text part in pieces."""
    return [
        PartStartEvent(index=index, part=TextPart(pieces[0])),
        *(PartDeltaEvent(index=index, delta=TextPartDelta(piece)) for piece in pieces[1:]),
    ]


def call(name: str, *pieces: str, index: int = 0) -> list[Step]:
    """One tool call, its arguments in pieces."""
    return [
        PartStartEvent(index=index, part=ToolCallPart(name, pieces[0] if pieces else None, f"call-{index}")),
        *(
            PartDeltaEvent(
                index=index, delta=ToolCallPartDelta(args_delta=piece, tool_call_id=f"call-{index}")
            )
            for piece in pieces[1:]
        ),
    ]


async def forever() -> None:
    """Hang."""
    await asyncio.Event().wait()


class ScriptedStream(StreamedResponse):
    """Plays the steps: events are given, errors raised, functions awaited."""

    def __init__(
        self, model: "ScriptedModel", steps: Sequence[Step], parameters: ModelRequestParameters
    ) -> None:
        super().__init__(parameters)
        self._model = model
        self._steps = steps

    @property
    def model_name(self) -> str:
        return self._model.model_name

    @property
    def provider_name(self) -> str | None:
        return "scripted"

    @property
    def provider_url(self) -> str | None:
        return None

    @property
    def timestamp(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    async def close_stream(self) -> None:
        self._model.closed += 1

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        for step in self._steps:
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, PartStartEvent | PartDeltaEvent):
                self._parts_manager.apply_event(step)
                self._usage = RequestUsage(input_tokens=10, output_tokens=self._usage.output_tokens + 1)
                yield step
            elif isinstance(step, Suspension):
                self.state = "suspended"
            elif callable(step):
                self._model.waiting.set()
                await step()
        self.finish_reason = "stop"
        self.provider_response_id = "response-1"


class ScriptedModel(Model):
    """Streams one script a request, the last again and again; counts streams entered and left, and says
    when it begins to wait.
    """

    def __init__(self, *scripts: Sequence[Step], name: str = "primary") -> None:
        super().__init__()
        self._scripts = scripts
        self._name = name
        self.entered = 0
        self.left = 0
        self.closed = 0
        self.waiting = asyncio.Event()
        self.heard: list[list[ModelMessage]] = []

    @property
    def model_name(self) -> str:
        return self._name

    @property
    def system(self) -> str:
        return "scripted"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        async with self.request_stream(messages, model_settings, model_request_parameters) as stream:
            async for _ in stream:
                pass
        return stream.get()

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        self.heard.append(messages)
        steps = self._scripts[min(self.entered, len(self._scripts) - 1)]
        self.entered += 1
        try:
            if steps and isinstance(steps[0], BaseException):
                raise steps[0]
            yield ScriptedStream(self, steps, parameters)
        finally:
            self.left += 1


@dataclass
class RecordingJudge:
    """Allows what holds none of `forbidden`; keeps every question. `crash` is raised instead of a verdict."""

    forbidden: str = "\0"
    crash: Exception | None = None
    asked: list[tuple[str, str, Channel]] = field(default_factory=list[tuple[str, str, Channel]])

    async def __call__(self, said: str, before: str, channel: Channel) -> str:
        self.asked.append((said, before, channel))
        await asyncio.sleep(0)
        if self.forbidden in before + said:
            if self.crash is not None:
                raise self.crash
            raise GuardBlocked()
        return said

    def said(self, channel: Channel = "text") -> str:
        return "".join(said for said, _, of in self.asked if of == channel)


def vault() -> Vault:
    return Vault(Pseudonyms(Keyring.ephemeral(), "acme"))


def run_state(judge: RecordingJudge | None = None, kept: Vault | None = None) -> RunState:
    return RunState("txn_1", Caller.of(ALICE), EventBus(), kept, allow(None), 0.0, 0.0, output_judge=judge)


def endpoint(
    model: Model,
    *,
    clock: Clock = SYSTEM_CLOCK,
    timeout: str = "30s",
) -> Endpoint:
    protection = Protection(
        bulkhead=Bulkhead(concurrency=1, queue=0), timeout=timeout, retries=Retries(most=0)
    )
    return Endpoint(model, Dependency("model primary", protection, clock=clock), clock=clock)
