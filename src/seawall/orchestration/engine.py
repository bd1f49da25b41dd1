"""The port to a durable engine: work that has a key is done once, whatever dies in between."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Work = Callable[[str, Json], Awaitable[Json]]


class Engine(Protocol):
    """Runs the one piece of work it was made for, keyed.

    Promise: once the result of a key is recorded, that key is never worked on again; `run` returns the record.
    Work that was in flight when the process died is done again: its effects must tolerate that (use the key
    as idempotency key).
    """

    async def run(self, key: str, payload: Json) -> Json:
        """Do the work of `key`, or return what it came to before."""
        ...

    async def recorded(self) -> Mapping[str, float]:
        """Map each finished and unexpired key to the time (seconds since the epoch) at which it was started."""
        ...

    async def forget(self, keys: list[str]) -> None:
        """Delete the records of these keys; they will be worked on again when asked for."""
        ...
