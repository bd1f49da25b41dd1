"""One model's own stream: opened, waited for with a bound, and known by what became of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from pydantic_ai.exceptions import ModelConnectionError, ModelTimeoutError
from pydantic_ai.messages import (
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import StreamedResponse

from seawall.defense.chaos import Plan
from seawall.foundation.clock import Clock

T = TypeVar("T")


class Upstream:
    """Waits at most `patience` seconds for the first event, opening included, and as long for each after it.

    `waited` is seconds spent waiting for the model, none of its reader's own. `failure` is what the model's side raised, or the cancellation that hit a wait; `ended` whether it
    came to its own end. ModelTimeoutError where patience ran out.
    """

    def __init__(self, model_name: str, patience: float, clock: Clock) -> None:
        self._model_name = model_name
        self._patience = patience
        self._clock = clock
        self._events: AsyncIterator[ModelResponseStreamEvent] | None = None
        self._limit: asyncio.Timeout | None = None
        self.heard = False
        self.ended = False
        self.failure: BaseException | None = None
        self.waited = 0.0

    @asynccontextmanager
    async def opened(
        self, opening: AbstractAsyncContextManager[StreamedResponse], plan: Plan | None = None
    ) -> AsyncGenerator[StreamedResponse]:
        """Open the stream, and leave it whatever happens; `plan` is a fault to inject into it."""
        async with AsyncExitStack() as stack:
            if plan is not None:
                await self._wait(plan.before())
            stream = await self._wait(stack.enter_async_context(opening))
            # Its own iteration: it guards against cancellation and keeps the deadlines set on it.
            events = aiter(stream)
            self._events = events if plan is None else plan.truncated(_garbled(plan, events))
            stack.push_async_callback(self._close)
            yield stream

    def give_up(self) -> None:
        """End the wait for the model now, as if patience had run out."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def next(self) -> ModelResponseStreamEvent | None:
        """Return the next event, None at the end."""
        assert self._events is not None
        try:
            event = await self._wait(anext(self._events))
        except StopAsyncIteration:
            self.ended = True
            return None
        self.heard = True
        return event

    def cut_short(self) -> ModelConnectionError:
        """Know that the end was none: what came is not the whole answer. Returns the error to raise."""
        self.ended = False
        self.failure = ModelConnectionError(
            self._model_name,
            "the stream ended without saying why, as one that was cut short does; the next model is tried, if there is "
            "one and nothing was let out yet",
            phase="read",
            in_stream=True,
        )
        return self.failure

    async def _wait(self, awaited: Awaitable[T]) -> T:
        started = self._clock.monotonic()
        patience = self._patience if self.heard else self._patience - self.waited
        try:
            async with asyncio.timeout(patience) as self._limit:
                return await awaited
        except (StopAsyncIteration, GeneratorExit):
            raise
        except TimeoutError as error:
            self.failure = error
            raise ModelTimeoutError(
                self._model_name,
                f"no event within {self._patience:g} s; the next model is tried, if there is one "
                "and nothing was let out yet",
            ) from error
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._limit = None
            self.waited += self._clock.monotonic() - started

    async def _close(self) -> None:
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()


async def _garbled(
    plan: Plan, events: AsyncIterator[ModelResponseStreamEvent]
) -> AsyncGenerator[ModelResponseStreamEvent]:
    """Make what a stream says unreadable, where that is what is to be injected."""
    try:
        async for event in events:
            yield _garble(plan, event) if plan.kind == "garbage" else event
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


def _garble(plan: Plan, event: ModelResponseStreamEvent) -> ModelResponseStreamEvent:
    match event:
        case PartStartEvent(part=TextPart() as part):
            return replace(event, part=replace(part, content=plan.garble(part.content)))
        case (
            PartStartEvent(part=ToolCallPart(args=str(args)) as part)
            | PartEndEvent(part=ToolCallPart(args=str(args)) as part)
        ):
            return replace(event, part=replace(part, args=plan.garble(args)))
        case PartEndEvent(part=TextPart() as part):
            return replace(event, part=replace(part, content=plan.garble(part.content)))
        case PartDeltaEvent(delta=TextPartDelta() as delta):
            return replace(event, delta=replace(delta, content_delta=plan.garble(delta.content_delta)))
        case PartDeltaEvent(delta=ToolCallPartDelta(args_delta=str(args)) as delta):
            return replace(event, delta=replace(delta, args_delta=plan.garble(args)))
        case _:
            return event
