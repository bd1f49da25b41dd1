"""The one model wrapper: what stands between a run and one provider's endpoint."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
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

from seawall.defense.load import Gate, Overloaded, Refused
from seawall.defense.resilience import Breaker, CircuitOpen, Outcome, Permit, Transition
from seawall.defense.run_state import RunState, current_run
from seawall.defense.wire import pseudonymise_messages, restore_response
from seawall.foundation import events
from seawall.foundation.clock import Clock
from seawall.foundation.errors import SeawallError
from seawall.foundation.units import seconds


class StreamingUnavailable(SeawallError):
    """A hardened agent was asked to stream: no guard would see the stream, so there is none."""


class Endpoint(WrapperModel):
    """One model behind its bulkhead, its breaker, a time limit a call, and the run's pseudonyms.

    Refusals are errors that `FallbackModel` moves on from. What the model gets is a copy of the messages with
    personal data replaced by tokens; what comes back has the tokens restored. Streams are refused.
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

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the model; Overloaded or CircuitOpen where the call is not even made."""
        run = current_run()
        started = self._clock.monotonic()
        slot = await self._gate.acquire()
        run.queue_seconds += self._clock.monotonic() - started
        if isinstance(slot, Refused):
            self._refused(run, "bulkhead", slot.retry_after)
            raise Overloaded(self.model_name, slot)
        try:
            permit = self._breaker.allow()
            if not isinstance(permit, Permit):
                self._refused(run, "breaker", permit.retry_after)
                raise CircuitOpen(self.model_name, permit)
            self._tell(run, permit.transition)
            return await self._call(run, permit, messages, model_settings, model_request_parameters)
        finally:
            slot.release()

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
            self._record(run, permit, "failure", "timeout")
            raise ModelTimeoutError(
                self.model_name,
                f"no answer within {self._call_timeout:g} s; the next model is tried, if there is one",
            ) from error
        except (ModelRequestRejectedError, ContentFilterError) as error:
            # The request was at fault, not the endpoint.
            self._record(run, permit, "ignored", type(error).__name__)
            raise
        except asyncio.CancelledError:
            # Whoever cancelled may have run out of patience with this endpoint: slow enough, it counts as its failure.
            run.unpriced = True
            slow = self._clock.monotonic() - started >= self._slow_call
            self._record(run, permit, "failure" if slow else "ignored", "cancelled")
            raise
        except BaseException as error:
            self._record(run, permit, "failure", type(error).__name__, _retry_after(error))
            raise
        finally:
            run.model_seconds += self._clock.monotonic() - started
        self._record(run, permit, "success", "ok")
        run.answered_by = self.model_name
        run.fell_back = self._rank > 0
        return response if run.vault is None else restore_response(response, run.vault)

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
        run.events.publish(events.Refused(run.id, run.principal.tenant, by, retry_after))

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Refuse: nothing may leave before its verdict."""
        raise StreamingUnavailable(
            "a hardened agent does not stream; use run(), which returns the judged answer whole"
        )
        yield


def _without_retries(settings: ModelSettings | None) -> ModelSettings:
    # A client that retries by itself multiplies every retry above it, and makes calls that no breaker counts.
    return merge_model_settings(settings, ModelSettings(max_retries=0)) or ModelSettings()


def _retry_after(error: BaseException) -> float | None:
    return error.retry_after if isinstance(error, ModelAPIError) else None
