"""Work that ends when whoever asked for it has gone."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

T = TypeVar("T")
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class CallerLeft(Exception):
    """Nobody waits for the answer any more."""


async def while_present(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work comes to; CallerLeft, with the work cancelled, where the caller leaves before.

    To be called when the body was read: the next thing that is received is then the end of the connection.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    def leave(_watch: "asyncio.Future[None]") -> None:
        nonlocal gone
        if not watch.cancelled():
            gone = True
            task.cancel()

    watch = asyncio.ensure_future(_until_gone(receive))
    watch.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and not task.uncancel():
            raise CallerLeft from None
        raise
    finally:
        watch.remove_done_callback(leave)
        watch.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
