"""What a caller of `Hardened.run_stream` reads from."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import AsyncGeneratorType
from typing import Any, Generic, TypeVar, cast

from pydantic_ai.result import StreamedRunResult

from seawall.defense.run_state import RunState, running
from seawall.foundation.errors import SeawallError
from seawall.foundation.transaction import Transaction

OutputT = TypeVar("OutputT")
T = TypeVar("T")


class StreamStillOpen(SeawallError):
    """A stream was asked for its ledger row before the row was written, or for text after it was closed."""


class StreamAbandoned(SeawallError):
    """Stands in the ledger for a stream whose reader left before its end, without an error."""


class HardenedStream(Generic[OutputT]):
    """An answer as it comes, none of it before its verdict; made by `Hardened.run_stream`.

    Read one of `text` and `output` to its end: a stream that is left earlier is on record as cancelled. What broke off
    stays broken off: to read it once more raises the same error. Errors
    come out of whichever is read: GuardBlocked where a sentence may not go out, after those before it did;
    StreamInterrupted where the model broke off after some of its answer was out; others as themselves.
    """

    def __init__(self, run: RunState, told: Callable[[Exception, int], Exception]) -> None:
        self._run = run
        # What the reader is told of an error, given how many pieces are out.
        self._told = told
        self._released = 0
        self._result: StreamedRunResult[Any, OutputT] | None = None
        self._readers: list[AsyncGeneratorType[Any, None]] = []
        self._transaction: Transaction | None = None
        self._finished = False
        self._failure: BaseException | None = None
        self._readers_own: BaseException | None = None

    def text(self) -> AsyncGenerator[str]:
        """Give the answer's text in pieces that were not given before; for agents whose output is text."""
        return self._reader(self._opened().stream_text(delta=True, debounce_by=None))

    def output(self) -> AsyncGenerator[OutputT]:
        """Give the answer as far as it is known, each time more of it; the last is whole and validated."""
        return self._reader(self._opened().stream_output(debounce_by=None))

    @property
    def transaction(self) -> Transaction:
        """The ledger row of the run; StreamStillOpen before the `async with` block is left."""
        if self._transaction is None:
            raise StreamStillOpen(
                "the ledger row is written when the `async with` block is left; read it then"
            )
        return self._transaction

    def close_with(self, transaction: Transaction) -> None:
        """Keep the ledger row: the run is over."""
        self._transaction = transaction

    @asynccontextmanager
    async def reading(
        self, opening: AbstractAsyncContextManager[StreamedRunResult[Any, OutputT]]
    ) -> AsyncGenerator[None]:
        """Run the agent up to its answer's first sentence; leave it, and every reader of it, at the end."""
        async with AsyncExitStack() as stack:
            # The caller's task may hold several streams open, so it is this run's only while it works for it.
            with running(self._run):
                self._result = await self._begun(stack.enter_async_context(opening))
            stack.push_async_callback(self._close_readers)
            try:
                yield
            except BaseException as error:
                self._readers_own = error
                raise

    def failure_of(self, raised: BaseException | None) -> BaseException | None:
        """What the run failed of, given what left the block; None where it came to its end.

        An error that its reader raised after the end, or caught before it, changes nothing about the run.
        """
        if raised is not None and not (self._finished and raised is self._readers_own):
            return raised
        return None if self._finished else self._failure or StreamAbandoned()

    def _opened(self) -> StreamedRunResult[Any, OutputT]:
        if self._result is None or self._transaction is not None:
            raise StreamStillOpen(
                "a stream can be read only inside its `async with` block; run the agent again"
            )
        return self._result

    async def _begun(self, opening: Awaitable[T]) -> T:
        try:
            return await opening
        except Exception as error:
            told = self._told(error, 0)
            if told is error:
                raise
            raise told from error

    def _reader(self, items: AsyncIterator[T]) -> AsyncGenerator[T]:
        reader = self._read(cast("AsyncGenerator[T]", items))
        self._readers.append(cast("AsyncGeneratorType[Any, None]", reader))
        return reader

    async def _read(self, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
        try:
            if isinstance(self._failure, Exception):
                raise self._failure
            while True:
                with running(self._run):
                    item = await anext(items)
                self._released += 1
                yield item
        except StopAsyncIteration:
            self._finished = self._failure is None
        except Exception as error:
            if error is self._failure:
                raise
            self._failure = told = self._told(error, self._released)
            if told is error:
                raise
            raise told from error
        except asyncio.CancelledError as error:
            self._failure = error
            raise
        finally:
            await items.aclose()

    async def _close_readers(self) -> None:
        for reader in self._readers:
            # One that another task is waiting on is ended by the end of the run.
            if not reader.ag_running:
                await reader.aclose()
