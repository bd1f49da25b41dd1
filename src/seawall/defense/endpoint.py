"""The one model wrapper: what stands between a run and one provider's endpoint."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelRequestRejectedError,
    ModelTimeoutError,
)
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings, merge_model_settings

from seawall.defense.guards import GuardBlocked
from seawall.defense.load import Gate, Overloaded, Refused
from seawall.defense.resilience import Breaker, CircuitOpen, Outcome, Permit, Transition
from seawall.defense.run_state import RunState, current_run
from seawall.defense.streaming import Checkpoint, HeldStream, Terms, Upstream, judge_response
from seawall.defense.wire import pseudonymise_messages, restore_response
from seawall.foundation import events
from seawall.foundation.clock import Clock
from seawall.foundation.units import seconds


class Endpoint(WrapperModel):
    """One model behind its bulkhead, its breaker, a time limit a call, and the run's pseudonyms.

    Refusals are errors that `FallbackModel` moves on from. What the model gets is a copy of the messages with
    personal data replaced by tokens; what comes back is judged with the tokens in it, then has them restored.
    A stream is held back until each sentence of it is judged, and keeps its place, its permit and its time limits
    until it is left; the time limit then bounds the wait for the first event, and for each one after it.
    """

    def __init__(
        self, wrapped: Model, gate: Gate, breaker: Breaker, *, call_timeout: float, clock: Clock, rank: int
    ) -> None:
        super().__init__(wrapped)
        self._gate = gate
        self._breaker = breaker
        self._call_timeout = call_timeout
        self._slow_call = seconds(breaker.config.slow_call)
        self._clock = clock
        self._rank = rank

    @property
    def breaker(self) -> Breaker:
        """The breaker of this model, to look at, isolate or reset."""
        return self._breaker

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the model; Overloaded or CircuitOpen where the call is not even made."""
        run = current_run()
        async with self._admitted(run) as permit:
            response = await self._call(run, permit, messages, model_settings, model_request_parameters)
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
        """Open the model's stream, held back; Overloaded or CircuitOpen where the call is not even made."""
        run = current_run()
        async with self._admitted(run) as permit:
            wire = messages if run.vault is None else self._tokenised(run, messages)
            checkpoint = Checkpoint(run.judge_output)
            terms = Terms(
                checkpoint,
                partial(_refuse_unreadable, run),
                run.vault,
                text_is_json=self._text_is_json(model_request_parameters),
            )
            upstream = Upstream(self.model_name, self._call_timeout, self._clock)
            opening = self.wrapped.request_stream(
                wire, _without_retries(model_settings), model_request_parameters, run_context
            )
            try:
                async with upstream.opened(opening) as inner:
                    stream = HeldStream(inner, upstream, terms)
                    try:
                        yield stream
                    finally:
                        await stream.aclose()
                        run.note_answer(stream.get())
            finally:
                self._account(run, permit, upstream, checkpoint)

    @asynccontextmanager
    async def _admitted(self, run: RunState) -> AsyncGenerator[Permit]:
        """Hold a place in the bulkhead, with leave of the breaker."""
        started = self._clock.monotonic()
        slot = await self._gate.acquire()
        run.queue_seconds += self._clock.monotonic() - started
        if isinstance(slot, Refused):
            self._refused(run, "bulkhead", slot.retry_after)
            raise Overloaded(self.model_name, slot)
        with slot:
            permit = self._breaker.allow()
            if not isinstance(permit, Permit):
                self._refused(run, "breaker", permit.retry_after)
                raise CircuitOpen(self.model_name, permit)
            self._tell(run, permit.transition)
            try:
                yield permit
            finally:
                # Does nothing where the call was reported on, as every call is; a probe must never be lost.
                permit.release()

    async def _call(
        self,
        run: RunState,
        permit: Permit,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        wire = messages if run.vault is None else self._tokenised(run, messages)
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._call_timeout):
                response = await self.wrapped.request(wire, _without_retries(settings), parameters)
        except TimeoutError as error:
            # It may be billed all the same, and nobody will say how much.
            run.unpriced = True
            self._failed(run, permit, error, self._clock.monotonic() - started)
            raise ModelTimeoutError(
                self.model_name,
                f"no answer within {self._call_timeout:g} s; the next model is tried, if there is one",
            ) from error
        except BaseException as error:
            run.unpriced |= isinstance(error, asyncio.CancelledError)
            self._failed(run, permit, error, self._clock.monotonic() - started)
            raise
        finally:
            run.model_seconds += self._clock.monotonic() - started
        self._record(run, permit, "success", "ok")
        self._answered(run)
        return response

    def _account(self, run: RunState, permit: Permit, upstream: Upstream, checkpoint: Checkpoint) -> None:
        """Report on a stream that is over, however it came to that."""
        run.model_seconds += upstream.waited
        if upstream.ended or checkpoint.asked:
            self._answered(run)
        # Usage comes at the end; what was cut off before is billed all the same.
        run.unpriced |= not upstream.ended and (upstream.heard or _gave_up(upstream.failure))
        # Only the model's own time may count against it, not that of a reader who reads slowly.
        permit.started = self._clock.monotonic() - upstream.waited
        if upstream.ended:
            self._record(run, permit, "success", "ok")
        elif upstream.failure is not None:
            self._failed(run, permit, upstream.failure, upstream.last_wait)
        else:
            self._record(run, permit, "ignored", "blocked" if checkpoint.refused else "abandoned")

    def _failed(self, run: RunState, permit: Permit, error: BaseException, waited: float) -> None:
        """Report on a call that failed; `waited` is seconds of the wait that the error ended."""
        if isinstance(error, TimeoutError):
            self._record(run, permit, "failure", "timeout")
        elif isinstance(error, ModelRequestRejectedError | ContentFilterError):
            # The request was at fault, not the endpoint.
            self._record(run, permit, "ignored", type(error).__name__)
        elif isinstance(error, asyncio.CancelledError):
            # Whoever cancelled may have run out of patience with this endpoint: slow enough, it counts as its failure.
            slow = waited >= self._slow_call
            self._record(run, permit, "failure" if slow else "ignored", "cancelled")
        else:
            self._record(run, permit, "failure", type(error).__name__, _retry_after(error))

    def _answered(self, run: RunState) -> None:
        run.answered_by = self.model_name
        run.fell_back = self._rank > 0

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

    def _record(
        self, run: RunState, permit: Permit, outcome: Outcome, attempt: str, retry_after: float | None = None
    ) -> None:
        run.attempts.append(f"{self.model_name}:{attempt}")
        self._tell(run, self._breaker.record(permit, outcome, retry_after=retry_after))

    def _tell(self, run: RunState, changed: Transition | None) -> None:
        if changed is not None:
            run.events.publish(
                events.BreakerChanged(self.model_name, changed.before, changed.after, changed.why)
            )

    def _refused(self, run: RunState, by: str, retry_after: float | None) -> None:
        run.attempts.append(f"{self.model_name}:{by}")
        run.events.publish(events.Refused(run.id, run.caller.tenant, by, retry_after))


def _refuse_unreadable(run: RunState) -> None:
    """Refuse a part that no guard can read, such as a picture; where nothing is judged, it may pass."""
    if run.output_judge is None:
        return
    run.note_verdict("shape:block")
    run.events.publish(events.GuardTripped(run.id, run.caller.tenant, "shape", "block", "unknown_part"))
    raise GuardBlocked()


def _gave_up(failure: BaseException | None) -> bool:
    return isinstance(failure, TimeoutError | asyncio.CancelledError)


def _without_retries(settings: ModelSettings | None) -> ModelSettings:
    # A client that retries by itself multiplies every retry above it, and makes calls that no breaker counts.
    return merge_model_settings(settings, ModelSettings(max_retries=0)) or ModelSettings()


def _retry_after(error: BaseException) -> float | None:
    return error.retry_after if isinstance(error, ModelAPIError) else None
