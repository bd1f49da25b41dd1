"""A pool of processes for the work that needs a processor: reading documents, and the local reviewer.

The event loop of the main process stays free for the tiers; everything that can burn a core or die on a
malformed document runs here.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import wait
from types import FrameType
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class WorkerDied(RuntimeError):
    """The process that worked on a document died, twice; the document is at fault or memory is short."""


class _Interrupted(BaseException):
    """The alarm went. Not an Exception: parsers take those for faults of the document and go on."""


class OutOfTime(RuntimeError):
    """A call ran longer than its limit and was interrupted."""


class Runner(Protocol):
    """Something that runs a module-level function, here or elsewhere, and gives its result."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it."""
        ...


class Inline:
    """Runs at once, in this process: for code that is in a worker already."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it."""
        return function(*args, **kwargs)


class Workers:
    """`count` processes that run module-level functions, each call for `limit_seconds` at most.

    A call whose process dies is tried once more in a process of its own, so that a document which kills its
    reader cannot take its neighbours down. Workers die with the process that started them. `prepare` is run once
    in each before its first call.
    """

    def __init__(
        self, count: int, *, limit_seconds: int = 120, prepare: Callable[[], None] | None = None
    ) -> None:
        # One thread a process: the pool is the parallelism, and idle BLAS threads would fight over the cores.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self.count = count
        self._limit = limit_seconds
        self._prepare = prepare
        self._pool = self._new_pool(count)
        # The processes start now, and import while their owner still plans, not when the first call comes.
        for _ in range(count):
            self._pool.submit(os.getpid)

    def _new_pool(self, count: int) -> ProcessPoolExecutor:
        # Forked from a small server process that has imported everything once and runs no threads: a fork of
        # this process would copy its threads and locks in whatever state they are.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["seawall_contracts.worker_desk"])
        return ProcessPoolExecutor(
            count, mp_context=context, initializer=_start_worker, initargs=(self._prepare,)
        )

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in a worker; OutOfTime past the limit, WorkerDied if its process died twice."""
        call = partial(_limited, self._limit, partial(function, *args, **kwargs))
        loop = asyncio.get_running_loop()
        pool = self._pool
        try:
            return await loop.run_in_executor(pool, call)
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = self._new_pool(self.count)
                pool.shutdown(wait=False)
        with self._new_pool(1) as alone:
            try:
                return await loop.run_in_executor(alone, call)
            except BrokenProcessPool as error:
                raise WorkerDied(
                    "the process reading this document died twice (out of memory, or a fault in a parser); "
                    "save the document anew, or review it as text"
                ) from error

    def close(self) -> None:
        """Let running calls finish, drop the waiting ones, end the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _limited(limit: int, function: Callable[[], T]) -> T:
    signal.alarm(limit)
    try:
        return function()
    except _Interrupted:
        raise OutOfTime(
            "the document took longer to read than the limit; split it, or review it as text"
        ) from None
    finally:
        signal.alarm(0)


def _start_worker(prepare: Callable[[], None] | None) -> None:
    # Ctrl-C goes to the whole foreground group; the main process decides when workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _interrupt)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if prepare is not None:
        prepare()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise _Interrupted


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
