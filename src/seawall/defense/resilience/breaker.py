"""The circuit breaker as a state machine: no I/O, no task, no clock of its own.

Source: Michael Nygard, "Release It!"; rates over a time window and slow calls as in Resilience4j, manual
control as in Polly.
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from seawall.defense.resilience.config import CircuitBreaker
from seawall.defense.resilience.window import make_window
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.units import seconds

_log = logging.getLogger("seawall.circuits")

State = Literal["closed", "open", "half_open", "isolated"]
Outcome = Literal["success", "failure", "ignored"]
Listener = Callable[["Transition"], object]

_JITTER = 0.2
_LEASE = 2
_MOST_DOUBLINGS = 32
_RANDOM = secrets.SystemRandom().random


@dataclass(frozen=True, slots=True)
class Transition:
    """The breaker went from one state to another; `at` is monotonic seconds, `why` holds counts only."""

    before: State
    after: State
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """The call must not be made. `retry_after` is seconds until another try may pass, None while an operator
    isolates it.
    """

    state: State
    retry_after: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The breaker as a person would want to see it. An open one stays `open` until a call knocks after its
    time is over.
    """

    state: State
    calls: int
    failures: int
    slow: int
    probes: int
    retry_after: float | None
    why: str


class Permit:
    """Leave to make one call: report on it once with `Breaker.record`, or give it back with `release`."""

    __slots__ = ("_breaker", "generation", "mark", "spent", "started")

    def __init__(self, breaker: "Breaker", generation: int, started: float) -> None:
        self._breaker = breaker
        self.generation = generation
        self.started = started
        self.spent = False
        # What the window knows the call by, once it was counted as slow while it was under way.
        self.mark: Any = None

    def release(self) -> None:
        """Give the permit back without a verdict, as for a cancelled call; does nothing once it is reported
        on.
        """
        self._breaker.record(self, "ignored")


class Breaker:
    """One dependency's breaker, for use from one thread: nothing here waits, so calls on one event loop
    cannot interleave.

    `allow` before each call, `record` after it, `overdue` when one has lasted `slow_call` and is not over.
    Whatever was admitted before the latest change of state is too old to judge the dependency by: its result is
    dropped. `random` gives numbers in [0, 1) for the jitter. Listeners hear of each change of state as it
    happens, and must not raise.
    """

    def __init__(
        self,
        config: CircuitBreaker,
        clock: Clock = SYSTEM_CLOCK,
        *,
        random: Callable[[], float] = _RANDOM,
    ) -> None:
        self.config = config
        self._now = clock.monotonic
        self._random = random
        self._slow_call = seconds(config.slow_call)
        self._open_for = seconds(config.open_for)
        self._max_open = seconds(config.max_open)
        span = None if config.window is None else seconds(config.window)
        last = None if config.last is None else max(config.last, config.minimum_calls)
        self._window = make_window(span, last)
        self._listeners: tuple[Listener, ...] = ()
        self._state: State = "closed"
        self._why = "no call yet"
        self._generation = 0
        self._trips = 0
        self._open_until = 0.0
        self._not_before = 0.0
        self._probes: dict[Permit, None] = {}
        self._succeeded = 0

    @property
    def state(self) -> State:
        """Closed, open, half-open or isolated."""
        return self._state

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of every change of state from now on; one that fails is logged, and told of the next."""
        self._listeners += (listener,)

    async def enter(self) -> Permit | Refusal:
        """Ask like `allow`; where breakers share their state, the one to ask may be far away."""
        return self.allow()

    def allow(self) -> Permit | Refusal:
        """Ask to make one call; never waits."""
        if self._state == "closed":
            return Permit(self, self._generation, self._now())
        return self._knock(self._now())

    def record(self, permit: Permit, outcome: Outcome, *, retry_after: float | None = None) -> None:
        """Report what a call came to; a second report on one permit does nothing.

        `ignored` is for what says nothing about the dependency: the caller went away, the request was at
        fault. Whether the call was slow is read from the clock. With a failure, `retry_after` is what the
        provider asked for in seconds: when the breaker opens it stays open at least that long, up to
        `max_open`.
        """
        if permit.spent:
            return
        permit.spent = True
        if permit.generation != self._generation:
            return
        now = self._now()
        failed = outcome == "failure"
        if failed and retry_after is not None and retry_after > 0:
            self._not_before = max(self._not_before, now + min(retry_after, self._max_open))
        if self._state == "half_open":
            self._judge_probe(permit, outcome, now, slow=now - permit.started >= self._slow_call)
            return
        if permit.mark is not None:
            if not failed:
                return
            self._window.forget_until(now)
            self._window.fail(permit.mark)
        elif outcome == "ignored":
            return
        else:
            self._window.add(now, failed=failed, slow=now - permit.started >= self._slow_call)
        self._judge_window(now)

    def overdue(self, permit: Permit) -> None:
        """Count a call as slow that has lasted `slow_call` and is still under way; once a permit.

        Where a dependency hangs this is the only thing that is heard of it for a long time.
        """
        if permit.spent or permit.mark is not None or permit.generation != self._generation:
            return
        now = self._now()
        if self._state == "half_open":
            self._judge_probe(permit, "failure", now, slow=True)
            return
        permit.mark = self._window.add(now, failed=False, slow=True)
        self._judge_window(now)

    def isolate(self, why: str = "isolated by an operator") -> None:
        """Refuse every call until `reset`, whatever the dependency does."""
        if self._state != "isolated":
            self._move("isolated", why, self._now())

    def reset(self, why: str = "reset by an operator") -> None:
        """Close it, with nothing remembered, from any state."""
        self._trips = 0
        self._not_before = 0.0
        self._window.clear()
        if self._state != "closed":
            self._move("closed", why, self._now())

    def snapshot(self) -> Snapshot:
        """Return the present counts and state; changes neither."""
        now = self._now()
        self._window.forget_until(now)
        window = self._window
        wait = {"closed": 0.0, "open": max(0.0, self._open_until - now), "half_open": 0.0, "isolated": None}[
            self._state
        ]
        return Snapshot(
            self._state, window.calls, window.failures, window.slow, len(self._probes), wait, self._why
        )

    def _knock(self, now: float) -> Permit | Refusal:
        if self._state == "isolated":
            return Refusal("isolated", None, self._why)
        if self._state == "open":
            if now < self._open_until:
                return Refusal("open", self._open_until - now, self._why)
            self._move("half_open", "its open time is over", now)
        lease = _LEASE * self._slow_call
        while self._probes and now - next(iter(self._probes)).started >= lease:
            del self._probes[next(iter(self._probes))]
        if len(self._probes) + self._succeeded >= self.config.half_open_probes:
            left = next(iter(self._probes)).started + lease - now
            return Refusal("half_open", min(left, self._open_for), "its probes are under way")
        permit = Permit(self, self._generation, now)
        self._probes[permit] = None
        return permit

    def _judge_probe(self, permit: Permit, outcome: Outcome, now: float, *, slow: bool) -> None:
        # A probe written off may still report: by then it is slow, which says enough.
        self._probes.pop(permit, None)
        if outcome == "ignored":
            return
        if outcome == "failure" or slow:
            self._open("a probe was slow" if slow else "a probe failed", now)
            return
        self._succeeded += 1
        if self._succeeded >= self.config.half_open_probes:
            self._trips = 0
            self._move("closed", f"{self._succeeded} of {self._succeeded} probes succeeded", now)

    def _judge_window(self, now: float) -> None:
        window, config = self._window, self.config
        if window.calls < config.minimum_calls:
            return
        if window.failures >= config.failure_rate * window.calls:
            self._open(
                f"{window.failures} of {window.calls} calls failed (limit {config.failure_rate:.0%})", now
            )
        elif window.slow >= config.slow_rate * window.calls:
            self._open(f"{window.slow} of {window.calls} calls were slow (limit {config.slow_rate:.0%})", now)

    def _open(self, why: str, now: float) -> None:
        base = min(self._open_for * 2 ** min(self._trips, _MOST_DOUBLINGS), self._max_open)
        self._trips += 1
        self._open_until = max(now + base * (1 - _JITTER * self._random()), self._not_before)
        self._move("open", why, now)

    def _move(self, after: State, why: str, now: float) -> None:
        transition = Transition(self._state, after, why, now)
        self._state = after
        self._why = why
        self._generation += 1
        self._probes.clear()
        self._succeeded = 0
        self._window.clear()
        for listener in self._listeners:
            try:
                listener(transition)
            except Exception:  # noqa: BLE001  whoever is called for had no part in it, and those behind it listen too
                _log.exception("a listener to a circuit failed")
