"""The way in under load: a place at once, a place in the queue, or a refusal that costs next to nothing.

No locks: everything that reads and then changes runs between two awaits, on one event loop. A waiter's fate (a pass, a
refusal, cancellation) is settled once, by whoever comes first.
"""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, get_args

from seawall.defense.load.adaptive import AdaptiveLimit, Outcome
from seawall.defense.load.backpressure import LANES, Backpressure, Lane
from seawall.defense.load.fair_queue import FairQueue, Waiting
from seawall.defense.load.pressure import SHED_FROM, Heartbeat, Pressure
from seawall.foundation.clock import SYSTEM_CLOCK, Clock

Why = Literal["full", "deadline", "pressure", "timeout", "draining"]

_PRESSURE_LASTS = 2.0
_ELSEWHERE = 1.0
_FEWEST_AVERAGED = 16


@dataclass(slots=True)
class Ticket:
    """What asks to be let in. `cost` is relative to an ordinary run, which costs 1; `deadline` is monotonic seconds on
    the control's clock, None where the caller waits as long as it takes; runs of one `kind` should take about as long.
    """

    tenant: str
    lane: Lane = "interactive"
    cost: float = 1.0
    deadline: float | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Shed:
    """The work must not start. `retry_after` is seconds, estimated; `queue_seconds` is how long it waited for this.

    full: no room, or none in time; deadline: its caller would have left, or has; pressure: its lane is shed; timeout: it
    waited as long as its lane may; draining: this process takes no more.
    """

    reason: Why
    retry_after: float
    queue_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LoadStats:
    """The control now, and what it has done; `service_seconds` is the moving average of a run's time, None before any."""

    running: int
    limit: int
    queued: dict[Lane, int]
    admitted: int
    shed: dict[Why, int]
    level: int
    lag: float
    service_seconds: float | None


class Pass:
    """Leave to run, held until `leave` or the end of a `with` block; leaving twice does nothing."""

    __slots__ = ("_control", "_kind", "_started", "queue_seconds")

    def __init__(self, control: "AdmissionControl", kind: str, started: float, queue_seconds: float) -> None:
        self._control: AdmissionControl | None = control
        self._kind = kind
        self._started = started
        self.queue_seconds = queue_seconds

    def leave(self, outcome: Outcome = "success") -> None:
        """Give the place to whoever is next, and say what came of the run: how long it took counts for a success."""
        control, self._control = self._control, None
        if control is not None:
            control.left(self._kind, self._started, outcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.leave("success")
        elif isinstance(error, TimeoutError):
            self.leave("timeout")
        else:
            self.leave("failure" if isinstance(error, Exception) else "ignored")


_Waiter = asyncio.Future["Pass | Shed"]


class AdmissionControl:
    """One process's places, its queue and its eye on itself. While anyone waits every place is taken.

    `start` begins to watch the event loop; without it nothing is shed for pressure. `try_enter` and `refusal` never wait.
    """

    def __init__(
        self, config: Backpressure, clock: Clock = SYSTEM_CLOCK, *, pressure: Pressure | None = None
    ) -> None:
        self.config = config
        self.limit = AdaptiveLimit(config, clock)
        self.pressure = pressure or Pressure(config)
        self._heartbeat = Heartbeat(self.pressure, clock)
        self._now = clock.monotonic
        self._waits = {lane: config.max_wait(lane) for lane in LANES}
        self._queue: FairQueue[tuple[_Waiter, Ticket]] = FairQueue(config)
        self._running = 0
        self._draining = False
        self._admitted = 0
        self._shed: dict[Why, int] = dict.fromkeys(get_args(Why), 0)
        self._service: float | None = None

    def start(self) -> None:
        """Watch the running event loop until `stop`."""
        self._heartbeat.start()

    def stop(self) -> None:
        """Watch it no longer."""
        self._heartbeat.stop()

    @property
    def crowded(self) -> bool:
        """Whether a newcomer might be refused, or have to wait; where not, `refusal` returns None."""
        return self._running >= self.limit.value or self.pressure.level > 0 or self._draining

    def refusal(self, ticket: Ticket) -> Shed | None:
        """Return how a newcomer would be shed at once, None where it would run or wait; counts a refusal as made."""
        return self._refusal(ticket, self._now())

    def try_enter(self, ticket: Ticket) -> Pass | Shed | None:
        """Return a pass or a refusal where there is one at once; None where it must wait: `enter` does."""
        now = self._now()
        shed = self._refusal(ticket, now)
        if shed is not None:
            return shed
        return self._admit(ticket, now, now) if self._running < self.limit.value else None

    async def enter(self, ticket: Ticket) -> Pass | Shed:
        """Wait for a place as long as the ticket's lane and deadline allow. Safe to cancel at any point.

        A waiter that is cancelled as it is granted a pass hands the place on.
        """
        at_once = self.try_enter(ticket)
        if at_once is not None:
            return at_once
        now = self._now()
        loop = asyncio.get_running_loop()
        waiter: _Waiter = loop.create_future()
        until = self._until(ticket, now)
        waiting = Waiting(ticket.tenant, ticket.lane, ticket.cost, (waiter, ticket), since=now, until=until)
        evicted = self._queue.put(waiting)
        if evicted is not None:
            self._tell(evicted, "full", now)
        timer = loop.call_later(until - now, self._expire, waiting)
        try:
            return await waiter
        except BaseException:
            # Cancelled, or closed with its loop: either way nobody is left to use what may have been granted.
            self._queue.remove(waiting)
            if waiter.done() and not waiter.cancelled() and isinstance(granted := waiter.result(), Pass):
                granted.leave("ignored")
            raise
        finally:
            timer.cancel()

    def left(self, kind: str, started: float, outcome: Outcome) -> None:
        """Take a place back; called by `Pass.leave`, once a pass."""
        now = self._now()
        taken = now - started
        if outcome != "ignored":
            weight = 1 / max(_FEWEST_AVERAGED, self.limit.value)
            service = self._service
            self._service = taken if service is None else service + weight * (taken - service)
            if self.pressure.late:
                self.limit.late(now)
            grows = self.pressure.level == 0
            self.limit.add(kind, taken, outcome, running=self._running, now=now, may_grow=grows)
        self._running -= 1
        self._fill(now)

    def drain(self) -> None:
        """Take nothing more, and send away whoever waits; what runs goes on."""
        self._draining = True
        now = self._now()
        for waiting in self._queue.clear():
            self._tell(waiting, "draining", now)

    def stats(self) -> LoadStats:
        """Return the present and past of this control."""
        return LoadStats(
            self._running,
            self.limit.value,
            {lane: self._queue.waiting(lane) for lane in LANES},
            self._admitted,
            dict(self._shed),
            self.pressure.level,
            self.pressure.lag,
            self._service,
        )

    def _refusal(self, ticket: Ticket, now: float) -> Shed | None:
        lane = ticket.lane
        if self._draining:
            return self._refuse("draining", _ELSEWHERE)
        if self.pressure.level >= SHED_FROM[lane]:
            return self._refuse("pressure", max(_PRESSURE_LASTS, self._starts_in(ticket, now)))
        deadline = ticket.deadline
        if deadline is not None and now >= deadline:
            return self._refuse("deadline", self._starts_in(ticket, now))
        if self._running < self.limit.value:
            return None
        starts_in = self._starts_in(ticket, now)
        if self._queue.refuses(ticket.tenant, lane):
            self._queue.turned_away(ticket.tenant, lane, now)
            return self._refuse("full", starts_in)
        if self._service is not None:
            if starts_in > self._queue.longest_wait(ticket.tenant, lane, now):
                self._queue.turned_away(ticket.tenant, lane, now)
                return self._refuse("full", starts_in)
            if deadline is not None and now + starts_in >= deadline:
                return self._refuse("deadline", starts_in)
        return None

    def _starts_in(self, ticket: Ticket, now: float) -> float:
        """Estimate when a newcomer would start: each run's time, times all before it, over the places."""
        if self._running < self.limit.value:
            return 0.0
        service = self._waits[ticket.lane] if self._service is None else self._service
        return service * (self._queue.ahead(ticket.tenant, ticket.lane) + 1) / self.limit.value

    def _until(self, ticket: Ticket, now: float) -> float:
        until = now + self._waits[ticket.lane]
        return until if ticket.deadline is None else min(until, ticket.deadline)

    def _refuse(self, reason: Why, retry_after: float, queue_seconds: float = 0.0) -> Shed:
        self._shed[reason] += 1
        return Shed(reason, retry_after, queue_seconds)

    def _admit(self, ticket: Ticket, now: float, since: float) -> Pass:
        self._running += 1
        self._admitted += 1
        return Pass(self, ticket.kind, now, now - since)

    def _fill(self, now: float) -> None:
        """Give free places to those who wait."""
        while self._running < self.limit.value and self._queue.size:
            waiting, late = self._queue.take(now)
            for one in late:
                self._tell_late(one, now)
            if waiting is not None:
                waiter, ticket = waiting.item
                # Cancelled, but its task has not run yet to leave the queue.
                if not waiter.done():
                    waiter.set_result(self._admit(ticket, now, waiting.since))

    def _expire(self, waiting: Waiting[tuple[_Waiter, Ticket]]) -> None:
        if self._queue.remove(waiting):
            self._tell_late(waiting, self._now())

    def _tell_late(self, waiting: Waiting[tuple[_Waiter, Ticket]], now: float) -> None:
        _, ticket = waiting.item
        self._tell(waiting, "deadline" if waiting.until == ticket.deadline else "timeout", now)

    def _tell(self, waiting: Waiting[tuple[_Waiter, Ticket]], reason: Why, now: float) -> None:
        waiter, ticket = waiting.item
        if not waiter.done():
            retry_after = _ELSEWHERE if reason == "draining" else self._starts_in(ticket, now)
            waiter.set_result(self._refuse(reason, retry_after, now - waiting.since))
