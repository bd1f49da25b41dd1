"""The one model wrapper: what stands between a run and one provider's endpoint."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from seawall.defense.chaos import Plan
from seawall.defense.client_retries import settings_without_retries, without_client_retries
from seawall.defense.dependency import Admission, Dependency
from seawall.defense.faults import FaultKind, read_fault
from seawall.defense.guards import GuardBlocked
from seawall.defense.run_state import RunState, current_run
from seawall.defense.streaming import Checkpoint, HeldStream, Terms, Upstream, as_text, judge_response
from seawall.defense.wire import pseudonymise_messages, restore_response
from seawall.foundation import events
from seawall.foundation.clock import Clock
from seawall.foundation.errors import Rejected
from seawall.foundation.transaction import Degradation, worse

# What a provider turned away, or never had, it does not bill.
_NEVER_BILLED: frozenset[FaultKind] = frozenset(
    {
        "dns",
        "refused",
        "tls",
        "connect_timeout",
        "rate_limited",
        "overloaded",
        "rejected",
        "authentication",
        "held_back",
    }
)
# Tools that a provider runs by itself and that change nothing.
_ONLY_READ = frozenset({"web_search", "web_fetch", "file_search", "x_search", "advisor"})


class TooDear(Rejected):
    """A budget has too little left for this model, and enough for another."""

    by = "price"

    def __init__(self, model_name: str) -> None:
        super().__init__(f"model {model_name}: a budget has too little left for it")


class Endpoint(WrapperModel):
    """One model as a dependency, with the run's pseudonyms; `level` is what its answers are worth.

    Refusals are errors that `FallbackModel` moves on from. What the model gets is a copy of the messages with
    personal data replaced by tokens; what comes back is judged with the tokens in it, then has them restored.
    A stream is held back until each sentence of it is judged, and keeps its place, its permit and its time limits
    until it is left; the time limit then bounds the wait for the first event, and for each one after it.
    """

    def __init__(
        self, wrapped: Model, dependency: Dependency, *, clock: Clock, level: Degradation = "full"
    ) -> None:
        super().__init__(without_client_retries(wrapped))
        self._given = wrapped
        self.dependency = dependency
        self._clock = clock
        self._level: Degradation = level

    def _check_affordable(self, run: RunState) -> None:
        """Leave it to another model where a budget has no money for this one."""
        if run.only is not None and run.only is not self._given:
            raise TooDear(self.wrapped.model_name)

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the model; Overloaded, CircuitOpen or OutOfTime where the call is not even made."""
        run = current_run()
        self._check_affordable(run)
        wire = messages if run.vault is None else self._tokenised(run, messages)
        ask = partial(
            self._ask,
            run,
            wire,
            settings_without_retries(self.wrapped, model_settings),
            model_request_parameters,
        )
        acts = _acts(model_request_parameters)
        run.acted |= acts
        response = await self.dependency.call(ask, idempotent=not acts, trail=run, garble=_garbled)
        self._answered(run)
        # Its place is free again: judging may take longer than answering, and needs no model.
        text_is_json = self._text_is_json(model_request_parameters)
        refuse = partial(_refuse_unreadable, run)
        response = await judge_response(response, run.judge_output, refuse, text_is_json=text_is_json)
        if run.vault is not None:
            response = restore_response(response, run.vault, text_is_json=text_is_json)
        run.note_answer(response)
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Open the model's stream, held back; Overloaded, CircuitOpen or OutOfTime where the call is not even made."""
        run = current_run()
        self._check_affordable(run)
        wire = messages if run.vault is None else self._tokenised(run, messages)
        terms = Terms(
            Checkpoint(run.judge_output),
            partial(_refuse_unreadable, run),
            self.profile,
            run.vault,
            text_is_json=self._text_is_json(model_request_parameters),
        )

        def asking() -> Any:
            settings = settings_without_retries(self.wrapped, model_settings)
            return self.wrapped.request_stream(wire, settings, model_request_parameters, run_context)

        acts = _acts(model_request_parameters)
        run.acted |= acts
        opening = partial(self._stream, run, terms, asking)
        async with self.dependency.opened(opening, idempotent=not acts, trail=run) as stream:
            yield stream

    @asynccontextmanager
    async def _stream(
        self, run: RunState, terms: Terms, asking: Any, admission: Admission
    ) -> AsyncGenerator[StreamedResponse]:
        checkpoint = Checkpoint(run.judge_output)
        shown = False
        upstream = Upstream(self.model_name, admission.seconds, self._clock)
        admission.when_given_up(upstream.give_up)
        try:
            async with upstream.opened(asking(), admission.plan) as inner:
                stream = HeldStream(inner, upstream, replace(terms, checkpoint=checkpoint))
                try:
                    # What fails before anything goes out fails here, where another model can still answer.
                    await stream.prime()
                    shown = True
                    # From here on its reader sets the pace.
                    admission.answering()
                    yield stream
                finally:
                    await stream.aclose()
                    run.note_answer(stream.get())
        finally:
            # Of a model whose words nobody saw another one's may be the answer.
            if upstream.ended or shown or checkpoint.refused:
                self._answered(run)
            self._account(run, admission, upstream, checkpoint)

    async def _ask(
        self,
        run: RunState,
        wire: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        started = self._clock.monotonic()
        run.billable += 1
        try:
            return await self.wrapped.request(wire, settings, parameters)
        except asyncio.CancelledError:
            # Given up, for its time or for a quicker one: it may be billed all the same, and nobody will say how much.
            run.unpriced = True
            raise
        except Exception as error:
            if read_fault(error).kind in _NEVER_BILLED:
                run.billable -= 1
            raise
        finally:
            run.model_seconds += self._clock.monotonic() - started

    def _account(
        self, run: RunState, admission: Admission, upstream: Upstream, checkpoint: Checkpoint
    ) -> None:
        """Report on a stream that is over, however it came to that."""
        run.model_seconds += upstream.waited
        # Usage comes at the end; what was cut off before is billed all the same.
        cut_off = not upstream.ended and (upstream.heard or _gave_up(upstream.failure))
        run.unpriced |= cut_off
        run.billable += upstream.ended or cut_off
        # Only the model's own time may count against it, not that of a reader who reads slowly.
        admission.permit.started = self._clock.monotonic() - upstream.waited
        if upstream.ended:
            admission.report("success", "ok")
        elif upstream.failure is not None:
            admission.report_error(upstream.failure)
        else:
            admission.report("ignored", "blocked" if checkpoint.refused else "abandoned")

    def _answered(self, run: RunState) -> None:
        run.answered_by = self.model_name
        # The least of what its steps were answered with: the answer rests on all of them.
        run.level = worse(run.level, self._level)

    def _text_is_json(self, parameters: ModelRequestParameters) -> bool:
        mode = parameters.output_mode
        if mode == "auto":
            mode = self.wrapped.profile.get("default_structured_output_mode", "tool")
        return mode in {"native", "prompted"}

    def _tokenised(self, run: RunState, messages: list[ModelMessage]) -> list[ModelMessage]:
        assert run.vault is not None
        started = self._clock.monotonic()
        wire = pseudonymise_messages(messages, run.vault)
        run.guard_seconds += self._clock.monotonic() - started
        return wire


def _refuse_unreadable(run: RunState) -> None:
    """Refuse a part that no guard can read, such as a picture; where nothing is judged, it may pass."""
    if run.output_judge is None:
        return
    run.note_verdict("shape:block")
    run.events.publish(
        events.GuardTripped(run.id, run.caller.tenant, "shape", "block", "unknown_part", run.actor)
    )
    raise GuardBlocked()


def _acts(parameters: ModelRequestParameters) -> bool:
    """Whether the provider may do something in the world while it answers, which a second request would do again."""
    return any(tool.kind not in _ONLY_READ for tool in parameters.native_tools)


def _gave_up(failure: BaseException | None) -> bool:
    return isinstance(failure, TimeoutError | asyncio.CancelledError)


def _garbled(plan: Plan, response: ModelResponse) -> ModelResponse:
    """Break what a model says as an injected fault wants it."""
    parts = [
        replace(part, content=plan.garble(part.content))
        if isinstance(part, TextPart)
        else replace(part, args=plan.garble(as_text(part.args)))
        if isinstance(part, ToolCallPart)
        else part
        for part in response.parts
    ]
    return replace(response, parts=parts)
