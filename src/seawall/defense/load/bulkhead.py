"""A bound on how much runs at once, and on how much may wait for it.

No locks: everything that reads and then changes the gate does so between two awaits, and on one event loop
nothing else runs there. A gate belongs to the loop that first waits on it and must not be shared with another
thread.
"""

import asyncio
from collections import OrderedDict
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Literal, Self

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds

_WEIGHT_OF_LATEST = 0.1


@dataclass(frozen=True, slots=True)
class Bulkhead:
    """At most `concurrency` run, at most `queue` wait, none longer than `max_wait`. ConfigError if it cannot
    hold.
    """

    concurrency: int = 64
    queue: int = 256
    max_wait: Period = "2s"

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        if not _is_count(self.concurrency, 1):
            raise ConfigError(f"Bulkhead(concurrency={self.concurrency}): expected at least 1, such as 64")
        if not _is_count(self.queue, 0):
            raise ConfigError(f"Bulkhead(queue={self.queue}): expected 0 (nobody waits) or more, such as 256")
        seconds(self.max_wait)

    def describe(self) -> dict[str, object]:
        """Return the settings as plain data."""
        return {**asdict(self), "max_wait": str(self.max_wait)}


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


@dataclass(frozen=True, slots=True)
class Refused:
    """The work must not start. `retry_after` is seconds, estimated: when a newcomer behind the present queue
    would start.
    """

    reason: Literal["full", "timeout"]
    retry_after: float
    queue_seconds: float
    running: int
    queued: int


@dataclass(frozen=True, slots=True)
class GateStats:
    """The gate now, and what it has done; `service_seconds` is the moving average of how long slots are held,
    None before any.
    """

    running: int
    queued: int
    admitted: int
    refused_full: int
    refused_timeout: int
    service_seconds: float | None


class Slot:
    """Leave to run, held until `release` or the end of a `with` block; releasing twice does nothing."""

    __slots__ = ("_gate", "_started", "queue_seconds")

    def __init__(self, gate: "Gate", started: float, queue_seconds: float) -> None:
        self._gate: Gate | None = gate
        self._started = started
        self.queue_seconds = queue_seconds

    def release(self) -> None:
        """Hand the slot to whoever has waited longest."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.free(self._started)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


_Waiter = asyncio.Future["Slot | Refused"]


class Gate:
    """One bulkhead at work: first come, first served, and a newcomer never overtakes the queue.

    While anyone waits every slot is taken: a freed slot goes straight to the first in the queue, never back
    to the open. A waiter's fate (slot, timeout, cancellation) is settled once, by whoever comes first.
    """

    def __init__(self, config: Bulkhead, clock: Clock = SYSTEM_CLOCK) -> None:
        self.config = config
        self._now = clock.monotonic
        self._max_wait = seconds(config.max_wait)
        self._running = 0
        # Ordered by arrival, the value is when; cancelling takes a waiter out of the middle at no cost.
        self._queue: OrderedDict[_Waiter, float] = OrderedDict()
        self._admitted = 0
        self._refused_full = 0
        self._refused_timeout = 0
        self._service: float | None = None

    def full(self) -> Refused | None:
        """Return how a newcomer would be refused at once, None where it would run or wait; changes nothing but counts it."""
        if self._running < self.config.concurrency or len(self._queue) < self.config.queue:
            return None
        self._refused_full += 1
        return self._refuse("full", 0.0)

    async def acquire(self) -> Slot | Refused:
        """Wait for a slot, at most `max_wait`; Refused at once where the queue is full. Safe to cancel at any
        point.

        A waiter that is cancelled as it is granted a slot passes the slot on.
        """
        now = self._now()
        if self._running < self.config.concurrency:
            self._running += 1
            return self._grant(now, now)
        refused = self.full()
        if refused is not None:
            return refused
        loop = asyncio.get_running_loop()
        waiter: _Waiter = loop.create_future()
        self._queue[waiter] = now
        timer = loop.call_later(self._max_wait, self._expire, waiter)
        try:
            return await waiter
        except BaseException:
            # Cancelled, or closed with its loop: either way nobody is left to use what may have been granted.
            self._queue.pop(waiter, None)
            if waiter.done() and not waiter.cancelled() and isinstance(waiter.result(), Slot):
                self.free(None)
            raise
        finally:
            timer.cancel()

    def free(self, started: float | None) -> None:
        """Take back a slot used since `started`, None where it was not; called by `Slot.release`, once a
        slot.
        """
        now = self._now()
        if started is not None:
            held = now - started
            service = self._service
            self._service = held if service is None else service + _WEIGHT_OF_LATEST * (held - service)
        while self._queue:
            waiter, since = self._queue.popitem(last=False)
            # Cancelled, but its task has not run yet to leave the queue.
            if not waiter.done():
                waiter.set_result(self._grant(now, since))
                return
        self._running -= 1

    def stats(self) -> GateStats:
        """Return the present and past of this gate."""
        return GateStats(
            self._running,
            len(self._queue),
            self._admitted,
            self._refused_full,
            self._refused_timeout,
            self._service,
        )

    def _grant(self, now: float, since: float) -> Slot:
        self._admitted += 1
        return Slot(self, now, now - since)

    def _refuse(self, reason: Literal["full", "timeout"], waited: float) -> Refused:
        queued = len(self._queue)
        service = self._max_wait if self._service is None else self._service
        retry_after = service * (queued + 1) / self.config.concurrency
        return Refused(reason, retry_after, waited, self._running, queued)

    def _expire(self, waiter: _Waiter) -> None:
        since = self._queue.pop(waiter, None)
        if since is not None and not waiter.done():
            self._refused_timeout += 1
            waiter.set_result(self._refuse("timeout", self._now() - since))
