"""One attempt at a dependency: a place in its bulkhead, leave of its circuit, and a time limit."""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Self

from seawall.defense.chaos import Injector, Plan
from seawall.defense.dependency.protection import Protection
from seawall.defense.dependency.trail import Trail
from seawall.defense.dependency.watch import Watch
from seawall.defense.faults import Fault, read_fault
from seawall.defense.load import Gate, Overloaded, Refused, Slot
from seawall.defense.resilience import (
    Circuit,
    CircuitOpen,
    Outcome,
    OutOfTime,
    Permit,
    TimedOut,
    current_allowance,
)
from seawall.foundation.clock import Clock
from seawall.foundation.units import seconds

_REMEMBERED = 16
# How long quick answers say something about the next one, in seconds.
_RECENT = 60.0


class Door:
    """The way to one dependency: what all attempts at it share."""

    def __init__(
        self,
        name: str,
        protection: Protection,
        circuit: Circuit,
        clock: Clock,
        *,
        injector: Injector | None,
        replaceable: bool,
    ) -> None:
        self.name = name
        self.now = clock.monotonic
        self.gate = Gate(protection.bulkhead, clock=clock)
        self.circuit = circuit
        self.timeout = seconds(protection.timeout)
        self.slow_call = seconds(circuit.config.slow_call)
        self.max_wait = seconds(protection.bulkhead.max_wait)
        self.ignore = protection.ignore
        self.watch = Watch(circuit, self.slow_call, clock, replaceable=replaceable)
        self.injector = injector
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self._took_last = -inf

    def note_success(self, took: float, now: float) -> None:
        """Remember how long an answer took."""
        self._took.append(took)
        self._took_last = now

    def time_left(self) -> float:
        """Return the seconds that the current request has left, infinite outside of one; OutOfTime if too few.

        Too few is less than the quickest of the recent answers took: such an attempt would be made for nothing.
        """
        allowance = current_allowance()
        if allowance is None or allowance.until == inf:
            return inf
        now = self.now()
        left = allowance.until - now
        if left < self.timeout:
            quickest = min(self._took) if self._took and now - self._took_last < _RECENT else 0.0
            if left <= quickest:
                raise OutOfTime(self.name, left, quickest)
        return left

    async def place(self, left: float) -> Slot:
        """Wait for a place in the bulkhead, for no longer than is left; Overloaded where there is none."""
        if left >= self.max_wait:
            slot = await self.gate.acquire()
        else:
            started = self.now()
            try:
                async with asyncio.timeout(left):
                    slot = await self.gate.acquire()
            except TimeoutError as error:
                raise OutOfTime(self.name, left - (self.now() - started), 0.0) from error
        if isinstance(slot, Refused):
            raise Overloaded(self.name, slot)
        return slot

    def fault_of(self, error: BaseException) -> Fault:
        """Read an error: whether it says something about the dependency, and whether another try may help."""
        if isinstance(error, self.ignore):
            return Fault("unknown", counts=False, again=False)
        return read_fault(error)


class Admission:
    """`async with` it round one attempt; raises Overloaded, CircuitOpen or OutOfTime where it must not be made.

    `seconds` is the time that it may take. On the way out the attempt is reported on by what it raised, unless `report` was called. Where it is `limited`,
    TimedOut comes out of it when its time is over; where not, whoever makes the attempt keeps the time.
    """

    permit: Permit
    seconds: float

    def __init__(self, door: Door, trail: Trail, *, limited: bool = True) -> None:
        self._door = door
        self._trail = trail
        self._limited = limited
        self._limit: asyncio.Timeout | None = None
        self._reported = False
        self._given_up: Callable[[], object] | None = None
        self.plan: Plan | None = None

    async def __aenter__(self) -> Self:
        door = self._door
        started = door.now()
        try:
            left = door.time_left()
            self._slot = await door.place(left)
        except (OutOfTime, Overloaded) as refusal:
            self._held_back(refusal)
            raise
        finally:
            self._trail.queued(door.now() - started)
        try:
            await self._enter(left)
        except BaseException:
            self._slot.release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        door = self._door
        waited = door.now() - self._started
        door.watch.remove(self)
        try:
            if self._limit is not None:
                try:
                    await self._limit.__aexit__(kind, error, trace)
                except TimeoutError as late:
                    self._report_late(waited)
                    raise TimedOut(door.name, waited) from late
            if not self._reported:
                self._report_by(error, waited)
        finally:
            # Does nothing where the attempt was reported on, as every one is; a probe must never be lost.
            self.permit.release()
            self._slot.release()

    def give_up(self) -> None:
        """End the attempt now: its circuit opened, and it has lasted too long already."""
        if self._given_up is not None:
            self._given_up()
        elif self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    def when_given_up(self, end: Callable[[], object]) -> None:
        """Have `end` called to give the attempt up, by whoever keeps its time."""
        self._given_up = end

    def answering(self) -> None:
        """Say that the dependency has begun to answer: from here on its time is kept by whoever reads.

        A probe has then shown what it was made for: no slow reader keeps the circuit shut.
        """
        self._door.watch.remove(self)
        if self._door.circuit.state == "half_open":
            self._door.circuit.record(self.permit, "success")

    def report(self, outcome: Outcome, said: str, retry_after: float | None = None) -> None:
        """Report what the attempt came to, once; `said` is for the trail."""
        if not self._reported:
            self._reported = True
            self._trail.tried(self._door.name, said)
            self._door.circuit.record(self.permit, outcome, retry_after=retry_after)

    def report_error(self, error: BaseException) -> None:
        """Report an error that ended the attempt. One that was cancelled late was counted as slow when it became so."""
        fault = self._door.fault_of(error)
        said = "cancelled" if fault.kind == "cancelled" else type(error).__name__
        if isinstance(error, TimeoutError):
            said = "timeout"
        self.report("failure" if fault.counts else "ignored", said, fault.retry_after)

    async def _enter(self, left: float) -> None:
        door = self._door
        permit = await door.circuit.enter()
        if not isinstance(permit, Permit):
            refusal = CircuitOpen(door.name, permit)
            self._held_back(refusal)
            raise refusal
        self.permit = permit
        self._started = door.now()
        try:
            if door.injector is not None:
                self.plan = door.injector.plan(door.name)
            self.seconds = min(door.timeout, left)
            if self._limited:
                self._limit = asyncio.timeout(self.seconds)
                await self._limit.__aenter__()
            door.watch.add(self)
        except BaseException:
            permit.release()
            raise

    def _report_late(self, waited: float) -> None:
        # A request that had little time left says nothing about the dependency, unless it was slow by any measure.
        slow = waited >= min(self._door.timeout, self._door.slow_call)
        self.report("failure" if slow else "ignored", "timeout")

    def _report_by(self, error: BaseException | None, waited: float) -> None:
        if error is None:
            self._door.note_success(waited, self._door.now())
            self.report("success", "ok")
        else:
            self.report_error(error)

    def _held_back(self, refusal: OutOfTime | Overloaded | CircuitOpen) -> None:
        self._trail.tried(self._door.name, refusal.by)
        self._trail.held_back(refusal.by, refusal.retry_after)
