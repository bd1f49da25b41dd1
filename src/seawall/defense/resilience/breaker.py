"""The circuit breaker as a state machine: no I/O, no task, no clock of its own.

Source: Michael Nygard, "Release It!"; rates over a time window and slow calls as in Resilience4j, manual
control as in Polly.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from seawall.defense.resilience.config import CircuitBreaker
from seawall.defense.resilience.window import Window
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.units import seconds

State = Literal["closed", "open", "half_open", "isolated"]
Outcome = Literal["success", "failure", "ignored"]

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
    """Leave to make one call: report on it once with `Breaker.record`, or give it back with `release`.

    `transition` is set where asking for this permit moved the breaker to half-open.
    """

    __slots__ = ("_breaker", "generation", "spent", "started", "transition")

    def __init__(
        self, breaker: "Breaker", generation: int, started: float, transition: Transition | None = None
    ) -> None:
        self._breaker = breaker
        self.generation = generation
        self.started = started
        self.transition = transition
        self.spent = False

    def release(self) -> None:
        """Give the permit back without a verdict, as for a cancelled call; does nothing once it is reported
        on.
        """
        self._breaker.record(self, "ignored")


class Breaker:
    """One dependency's breaker, for use from one thread: nothing here waits, so calls on one event loop
    cannot interleave.

    `allow` before each call, `record` after it. Whatever was admitted before the latest change of state is
    too old to judge the dependency by: its result is dropped. `random` gives numbers in [0, 1) for the
    jitter.
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
        self._window = Window(seconds(config.window))
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

    def allow(self) -> Permit | Refusal:
        """Ask to make one call; never waits."""
        if self._state == "closed":
            return Permit(self, self._generation, self._now())
        return self._knock(self._now())

    def record(
        self, permit: Permit, outcome: Outcome, *, retry_after: float | None = None
    ) -> Transition | None:
        """Report what a call came to; a second report on one permit does nothing. Return the change it made,
        if any.

        `ignored` is for what says nothing about the dependency: the caller went away, the request was at
        fault. Whether the call was slow is read from the clock. With a failure, `retry_after` is what the
        provider asked for in seconds: when the breaker opens it stays open at least that long, up to
        `max_open`.
        """
        if permit.spent:
            return None
        permit.spent = True
        if permit.generation != self._generation:
            return None
        now = self._now()
        slow = now - permit.started >= self._slow_call
        failed = outcome == "failure"
        if failed and retry_after is not None and retry_after > 0:
            self._not_before = max(self._not_before, now + min(retry_after, self._max_open))
        if self._state == "half_open":
            return self._judge_probe(permit, outcome, now, slow=slow)
        if outcome == "ignored":
            return None
        self._window.add(now, failed=failed, slow=slow)
        return self._judge_window(now)

    def isolate(self, why: str = "isolated by an operator") -> Transition | None:
        """Refuse every call until `reset`, whatever the dependency does."""
        return None if self._state == "isolated" else self._move("isolated", why, self._now())

    def reset(self, why: str = "reset by an operator") -> Transition | None:
        """Close it, with nothing remembered, from any state."""
        self._trips = 0
        self._not_before = 0.0
        self._window.clear()
        return None if self._state == "closed" else self._move("closed", why, self._now())

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
        moved = None
        if self._state == "open":
            if now < self._open_until:
                return Refusal("open", self._open_until - now, self._why)
            moved = self._move("half_open", "its open time is over", now)
        lease = _LEASE * self._slow_call
        while self._probes and now - next(iter(self._probes)).started >= lease:
            del self._probes[next(iter(self._probes))]
        if len(self._probes) + self._succeeded >= self.config.half_open_probes:
            left = next(iter(self._probes)).started + lease - now
            return Refusal("half_open", min(left, self._open_for), "its probes are under way")
        permit = Permit(self, self._generation, now, moved)
        self._probes[permit] = None
        return permit

    def _judge_probe(self, permit: Permit, outcome: Outcome, now: float, *, slow: bool) -> Transition | None:
        # A probe written off may still report: by then it is slow, which says enough.
        self._probes.pop(permit, None)
        if outcome == "ignored":
            return None
        if outcome == "failure" or slow:
            return self._open(f"a probe {'failed' if outcome == 'failure' else 'was slow'}", now)
        self._succeeded += 1
        if self._succeeded < self.config.half_open_probes:
            return None
        self._trips = 0
        return self._move("closed", f"{self._succeeded} of {self._succeeded} probes succeeded", now)

    def _judge_window(self, now: float) -> Transition | None:
        window, config = self._window, self.config
        if window.calls < config.minimum_calls:
            return None
        if window.failures >= config.failure_rate * window.calls:
            return self._open(
                _why(window.failures, window.calls, "failed", config.window, config.failure_rate), now
            )
        if window.slow >= config.slow_rate * window.calls:
            return self._open(
                _why(window.slow, window.calls, "were slow", config.window, config.slow_rate), now
            )
        return None

    def _open(self, why: str, now: float) -> Transition:
        base = min(self._open_for * 2 ** min(self._trips, _MOST_DOUBLINGS), self._max_open)
        self._trips += 1
        self._open_until = max(now + base * (1 - _JITTER * self._random()), self._not_before)
        return self._move("open", why, now)

    def _move(self, after: State, why: str, now: float) -> Transition:
        transition = Transition(self._state, after, why, now)
        self._state = after
        self._why = why
        self._generation += 1
        self._probes.clear()
        self._succeeded = 0
        self._window.clear()
        return transition


def _why(count: int, calls: int, what: str, window: object, rate: float) -> str:
    return f"{count} of the last {calls} calls within {window} {what} (limit {rate:.0%})"
