"""One injected fault, and what it does to the call that meets it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from random import Random
from typing import Any, TypeVar, cast

from seawall.defense.chaos.config import Fault, Kind
from seawall.defense.chaos.error import ChaosError
from seawall.foundation.clock import Clock

T = TypeVar("T")

_MOST_ITEMS = 8
_FIRST, _LAST = ord("!"), ord("~")
# How long the garbage is that stands where data had no length in characters.
_USUAL = 64
_PLAIN = (dict, list, tuple, set, frozenset, int, float, type(None))


class Plan:
    """What one call meets: ask `before` it, and pass what comes back through `garble`, or `truncated` if it streams.

    Either does nothing where the fault is of another kind, so that a mount needs not know the kinds. No fault lasts
    longer than `left` seconds, after which the chaos is over. What the fault leaves open follows from `luck`, a number
    in [0, 1).
    """

    __slots__ = ("_fault", "_left", "_luck", "_now", "_until", "name")

    def __init__(self, fault: Fault, name: str, left: float, luck: float, clock: Clock) -> None:
        self.name = name
        self._fault = fault
        self._left = left
        self._now = clock.monotonic
        self._until = self._now() + left
        self._luck = luck

    @property
    def kind(self) -> Kind:
        """What kind of fault it is."""
        return self._fault.kind

    @property
    def cut_after(self) -> int:
        """How many items of a stream that breaks off pass before."""
        return 1 + int(self._luck * _MOST_ITEMS)

    async def before(self) -> None:
        """Hold the call up, for a latency; raise ChaosError for an error; never return for a hang, until cancelled.

        A hang that nobody cancels is a lost connection when the chaos is over.
        """
        match self.kind:
            case "latency":
                await asyncio.sleep(min(self._fault.seconds or 0.0, self._left))
            case "hang":
                await asyncio.sleep(self._left)
                raise ChaosError(self.kind, self.name)
            case "error":
                raise ChaosError(self.kind, self.name)
            case "garbage" | "truncate":
                pass

    def garble(self, value: Any) -> Any:
        """Return what comes back in place of a whole answer.

        Garbage for text is text, for bytes bytes, each of the same length; for plain data text that is no JSON.
        Truncated text and bytes are the first half of them. An object of any other kind cannot have come out of
        garbage, nor be half there: ChaosError, as from whatever should have read it.
        """
        match self.kind:
            case _ if self._over():
                return value
            case "garbage":
                return self._garbage(value)
            case "truncate":
                if isinstance(value, str | bytes):
                    return value[: len(value) // 2]
                raise ChaosError(self.kind, self.name)
            case "latency" | "error" | "hang":
                return value

    async def truncated(self, items: AsyncIterable[T]) -> AsyncGenerator[T]:
        """Pass a stream on; where it is to break off, the first few items and then ChaosError, whatever its length.

        The stream behind is closed when this one is.
        """
        left = self.cut_after if self.kind == "truncate" else None
        try:
            async for item in items:
                yield item
                if left is not None:
                    left -= 1
                    if left <= 0 and not self._over():
                        break
            if left is not None and not self._over():
                raise ChaosError(self.kind, self.name)
        finally:
            if isinstance(items, AsyncGenerator):
                await cast("AsyncGenerator[T, None]", items).aclose()

    def _over(self) -> bool:
        return self._now() >= self._until

    def _garbage(self, value: object) -> str | bytes:
        # Repeatable on purpose; it protects nothing.
        random = Random(self._luck)  # noqa: S311
        if isinstance(value, str):
            return garble_text(value, random.random)
        if isinstance(value, bytes):
            return random.randbytes(len(value))
        if isinstance(value, _PLAIN):
            # A brace that nothing closes, so that no reader of JSON takes it for a number by chance.
            return "{" + garble_text("." * _USUAL, random.random)
        raise ChaosError(self.kind, self.name)


def garble_text(text: str, random: Callable[[], float]) -> str:
    """Return printable garbage, as long as `text` and without anything of it; `random` gives numbers in [0, 1)."""
    return "".join(chr(_FIRST + int(random() * (_LAST - _FIRST + 1))) for _ in text)
