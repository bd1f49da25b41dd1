"""The one capability: guards on everything that a model is about to read."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability, WrapModelRequestHandler
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    SystemPromptPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext

from seawall.defense.guards import Guard, GuardBlocked, GuardInput, Pipeline, Verdict
from seawall.defense.run_state import current_run
from seawall.foundation.events import GuardTripped


@dataclass
class GuardCapability(AbstractCapability[Any]):
    """Judges the newest message of each model request before the request is made.

    The prompt is judged as a prompt; what tools returned, and what is fed back for a retry, as documents. A
    part of a kind it does not know is blocked: what cannot be read cannot be let through. Not `active`, it
    lets everything pass: a policy that guards nothing.
    """

    guards: Sequence[Guard] = ()
    active: bool = True

    def __post_init__(self) -> None:
        """Build the pipeline once; guards hold no state of a run."""
        self._pipeline = Pipeline(self.guards)

    async def wrap_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, handler: WrapModelRequestHandler
    ) -> ModelResponse:
        """Judge, then go on; GuardBlocked where a guard blocks."""
        if self.active:
            for text in _newest_texts(request_context.messages):
                self._judge(text)
        return await handler(request_context)

    def _judge(self, text: GuardInput | None) -> None:
        run = current_run()
        if text is None:
            verdict = Verdict(outcome="block", guard="shape", reason_code="unknown_part")
        else:
            judged = self._pipeline.check(text)
            verdict = judged.verdict
            run.guard_seconds += judged.seconds
            for name, _ in judged.timings:
                if name != verdict.guard:
                    run.note_verdict(f"{name}:allow")
        run.note_verdict(f"{verdict.guard}:{verdict.outcome}")
        if verdict.outcome == "allow":
            return
        run.events.publish(
            GuardTripped(run.id, run.principal.tenant, verdict.guard, verdict.outcome, verdict.reason_code)
        )
        # The caller learns that it was refused, not by which rule: the ledger and the events know.
        raise GuardBlocked()


def _newest_texts(messages: Sequence[ModelMessage]) -> Iterator[GuardInput | None]:
    newest = messages[-1] if messages else None
    if isinstance(newest, ModelRequest):
        for part in newest.parts:
            if isinstance(part, UserPromptPart):
                content = [part.content] if isinstance(part.content, str) else part.content
                for item in content:
                    yield GuardInput(item, "prompt") if isinstance(item, str) else None
            elif isinstance(part, ToolReturnPart):
                yield None if part.files else GuardInput(part.model_response_str(), "document")
            elif isinstance(part, RetryFeedbackPart):
                # It can quote what the model said, which may be what a document made it say.
                said = (
                    part.content if isinstance(part.content, str) else json.dumps(part.content, default=str)
                )
                yield GuardInput(said, "document")
            elif not isinstance(part, SystemPromptPart):
                yield None
