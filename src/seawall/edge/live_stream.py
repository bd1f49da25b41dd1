"""An answer on its way as server-sent events: numbered, kept for a reader that comes back, ended with its readers.

Source: the WHATWG HTML standard, server-sent events (`id`, `Last-Event-ID`).
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

_MOST_BYTES = 1_000_000
_BEAT = b": still here\n\n"


class Frame(NamedTuple):
    """One event as it goes over the wire."""

    id: int
    data: bytes


class LiveStream:
    """The events of one run. `put` adds one; `frames` gives them to a reader, from any that is still kept.

    At most a megabyte of events is kept. A producer that is that far ahead of its reader waits, so that a reader who
    does not read holds up its own answer and nothing else. Nobody reading for `patience` seconds ends the run.
    """

    def __init__(self, run_id: str, owner: tuple[str, str], *, patience: float) -> None:
        self.run_id = run_id
        self.owner = owner
        self.over = False
        self._patience = patience
        self._kept: deque[Frame] = deque()
        self._bytes = 0
        self._last = 0
        self._read_to = 0
        self._readers = 0
        self._added = asyncio.Event()
        self._taken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._gone: Callable[[], object] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def begin(self, produce: Callable[["LiveStream"], Awaitable[None]]) -> asyncio.Task[None]:
        """Have the events produced, until they end or nobody waits for them any more."""

        async def produced() -> None:
            try:
                await produce(self)
            finally:
                self.over = True
                self._added.set()

        self._task = asyncio.create_task(produced(), name=f"stream {self.run_id}")
        self._watch()
        return self._task

    def when_gone(self, tell: Callable[[], object]) -> None:
        """Have `tell` called once nobody can read it any more."""
        self._gone = tell

    async def put(self, event: str, data: dict[str, Any]) -> None:
        """Add an event; waits while its readers are a megabyte behind."""
        while self._bytes > _MOST_BYTES and self._read_to < self._last - 1:
            self._taken.clear()
            await self._taken.wait()
        self._last += 1
        payload = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        frame = b"id: %d\nevent: %s\ndata: %s\n\n" % (self._last, event.encode(), payload)
        self._kept.append(Frame(self._last, frame))
        self._bytes += len(frame)
        self._drop_read()
        self._added.set()

    def keeps(self, after: int) -> bool:
        """Whether everything after the event `after` is still there."""
        first = self._kept[0].id if self._kept else self._last + 1
        return first - 1 <= after <= self._last

    async def frames(self, after: int, *, beat: float) -> AsyncGenerator[bytes]:
        """Give every event after `after` as it comes, and a comment where none came for `beat` seconds."""
        self._readers += 1
        self._calm()
        try:
            while True:
                for frame in [kept for kept in self._kept if kept.id > after]:
                    after = frame.id
                    self._read_to = max(self._read_to, after)
                    self._taken.set()
                    yield frame.data
                if after < self._last:
                    continue
                if self.over:
                    return
                if not await self._news(beat):
                    yield _BEAT
        finally:
            self._readers -= 1
            self._watch()

    def end(self) -> None:
        """End it now."""
        self._calm()
        self._desert()

    async def ended(self) -> None:
        """Wait until nothing of it is left."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _news(self, beat: float) -> bool:
        self._added.clear()
        try:
            async with asyncio.timeout(beat):
                await self._added.wait()
        except TimeoutError:
            return False
        return True

    def _drop_read(self) -> None:
        # The latest stays, however large, and what is kept beyond the bound was read.
        while self._bytes > _MOST_BYTES and len(self._kept) > 1 and self._kept[0].id <= self._read_to:
            self._bytes -= len(self._kept.popleft().data)

    def _watch(self) -> None:
        if self._readers == 0 and self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(self._patience, self._desert)

    def _calm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _desert(self) -> None:
        self._alarm = None
        if self._task is not None:
            self._task.cancel()
            if self._gone is not None:
                self._gone()
