"""One model's own stream: opened, waited for with a bound, and known by what became of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

from pydantic_ai.exceptions import ModelTimeoutError
from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models import StreamedResponse

from seawall.defense.chaos import Plan
from seawall.foundation.clock import Clock

T = TypeVar("T")


class Upstream:
    """Waits at most `patience` seconds for the first event, opening included, and as long for each after it.

    `waited` is seconds spent waiting for the model, none of its reader's own; `last_wait` those of the latest
    wait. `failure` is what the model's side raised, or the cancellation that hit a wait; `ended` whether it
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
        self.last_wait = 0.0

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
            self._events = aiter(stream) if plan is None else plan.truncated(aiter(stream))
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
            self.last_wait = self._clock.monotonic() - started
            self.waited += self.last_wait

    async def _close(self) -> None:
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()
