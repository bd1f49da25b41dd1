"""One dependency's circuit breaker as one process sees it, whose state other processes share."""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from seawall.defense.resilience.breaker import Breaker, Outcome, Permit, Refusal, State
from seawall.defense.resilience.config import CircuitBreaker
from seawall.defense.resilience.window import Window
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import StoreError
from seawall.foundation.units import seconds

_RANDOM = secrets.SystemRandom().random
_US = 1_000_000
_SLOTS = 10
# Of a breaker that looks at calls of any age, the shared window forgets what is older than this, in seconds.
_LONGEST_WINDOW = 600.0
_LEAST_KEPT = 600.0
_LEASE = 2
_MOST_WHY = 200


class Lease(Permit):
    """Leave to make one probe, by Redis."""

    __slots__ = ("id",)

    def __init__(self, breaker: Breaker, generation: int, started: float, id_: str) -> None:
        super().__init__(breaker, generation, started)
        self.id = id_


@dataclass(slots=True, eq=False)
class _Report:
    """What a probe came to; without a permit, a lease that is only given back."""

    change: int
    lease: str
    permit: Permit | None
    outcome: Outcome
    slow: bool
    judged: bool = False

    def words(self) -> tuple[int, str, str]:
        """Say it to the script."""
        failed = "slow" if self.slow else self.outcome
        return self.change, self.lease, self.outcome if self.outcome == "ignored" else failed


class Line(NamedTuple):
    """What one breaker says in an exchange."""

    order: int
    change: int
    reports: tuple[_Report, ...]
    said: dict[str, object]


class Heard(NamedTuple):
    """What Redis says of one breaker; `left` and `wait` are microseconds."""

    state: State
    order: int
    change: int
    trips: int
    left: int
    why: str
    by: str
    granted: bool
    wait: int


class Link(Protocol):
    """The way to the other processes; what `SharedBreakers` is to its breakers."""

    me: str
    every: float

    @property
    def answers(self) -> bool:
        """Whether Redis answered last, so that states are shared."""
        ...

    def wake(self) -> None:
        """Exchange now rather than at the next turn."""
        ...

    def store_time(self, now: float) -> int:
        """Return Redis' time at the monotonic second `now` in microseconds, as far as it is known here."""
        ...

    async def ask(self, breaker: "SharedBreaker", lease: str) -> "Heard":
        """Ask for a probe under the name `lease`; StoreError where there is no answer."""
        ...


class Tally:
    """A window that also knows what is new in it since it was last told."""

    __slots__ = ("_new", "_window", "calls", "failures", "slow")

    def __init__(self, window: Window) -> None:
        self._window = window
        self.clear()

    def clear(self) -> None:
        """Forget every call, told or not."""
        self._window.clear()
        self._new = [0, 0, 0]
        self.calls = self.failures = self.slow = 0

    def add(self, now: float, *, failed: bool, slow: bool) -> Any:
        """Count one call at `now`; return its mark."""
        window, new = self._window, self._new
        mark = window.add(now, failed=failed, slow=slow)
        new[0] += 1
        if failed:
            new[1] += 1
        if slow:
            new[2] += 1
        self.calls, self.failures, self.slow = window.calls, window.failures, window.slow
        return mark

    def fail(self, mark: Any) -> None:
        """Count the marked call as failed too, if it is still remembered."""
        self._window.fail(mark)
        self._new[1] += self._window.failures - self.failures
        self.failures = self._window.failures

    def forget_until(self, now: float) -> None:
        """Drop what has grown too old by `now`."""
        window = self._window
        window.forget_until(now)
        self.calls, self.failures, self.slow = window.calls, window.failures, window.slow

    def take(self) -> list[int] | None:
        """Return calls, failures and slow ones not told yet, and count them as told; None where there are none."""
        if not any(self._new):
            return None
        new, self._new = self._new, [0, 0, 0]
        return new


class SharedBreaker(Breaker):
    """One dependency's breaker, the same for every process; made by `SharedBreakers.breaker`, for one event loop.

    While it is closed, `enter` and `record` touch memory only. It opens for all when the calls of one process trip
    it, or those of all together, of which Redis keeps ten slices of the window. The calls counted in a `snapshot`
    are this process's. Once its open time is over Redis grants `half_open_probes` probes over all processes; who
    gets none is refused, and not asked for again until the next exchange.

    **While Redis gives no answer** it is a `Breaker` of this process alone that begins where it stood: open for what
    was left, isolated until `reset`. Each process then has `half_open_probes` probes of its own.

    **When Redis answers again**, or has lost its memory, the later change of state wins over the earlier, whoever
    made it; what an operator said last wins over all that was not decided after it. So a memory that is lost closes
    nothing that one living process knows to be open or isolated. A half-open state that only one process knows
    becomes open with no time left: the next call asks for a probe. Of two that opened, the longer time holds.
    """

    _generation: int

    def __init__(
        self,
        config: CircuitBreaker,
        link: Link,
        key: bytes,
        clock: Clock = SYSTEM_CLOCK,
        *,
        random: Callable[[], float] = _RANDOM,
    ) -> None:
        super().__init__(config, clock, random=random)
        self.key = key
        self.rules = rules_of(config)
        self._link = link
        self._tally = Tally(self._window)
        self._window = self._tally
        self._order = self._change = 0
        self._told = True
        self._asking = 0
        self._busy: Refusal | None = None
        self._reports: list[_Report] = []

    @property
    def pending(self) -> bool:
        """Whether there is something that Redis should hear at once."""
        return not self._told or bool(self._reports)

    def allow(self) -> Permit | Refusal:
        """Ask without waiting: gives no probe while Redis can be asked for one."""
        if self._state == "closed" or not self._link.answers:
            return self._alone()
        refusal = self._refuse(self._now())
        return refusal or Refusal(self._state, self._link.every, "a probe takes leave of the shared store")

    async def enter(self) -> Permit | Refusal:
        """Ask to make one call; asks Redis only for a probe, and waits for it no longer than its time limit."""
        if self._state == "closed":
            return Permit(self, self._generation, self._now())
        refusal = self._refuse(self._now())
        if refusal is not None:
            return refusal
        return await self._ask() if self._link.answers else self._alone()

    def isolate(self, why: str = "isolated by an operator") -> None:
        """Refuse every call in every process until `reset`; here at once, elsewhere when they hear of it."""
        if self._state != "isolated":
            super().isolate(_told(why))
            self._order = self._change

    def reset(self, why: str = "reset by an operator") -> None:
        """Close it in every process, with nothing remembered, from any state."""
        super().reset(_told(why))
        self._claim(self._now())
        self._order = self._change

    def say(self, now: float, lease: str = "") -> Line:
        """Return what Redis is to be told, and with `lease` that a probe is asked for; new counts are told once."""
        said: dict[str, object] = {"order": self._order, "change": self._change}
        if self._state != "closed" or not self._told:
            left = max(0, round((self._open_until - now) * _US)) if self._state == "open" else 0
            said["view"] = {
                "state": self._state,
                "trips": self._trips,
                "left": left,
                "why": self._why,
                "fresh": not self._told,
            }
        news: dict[str, object] = {}
        if self._not_before > now:
            news["floor"] = round((self._not_before - now) * _US)
        count = self._tally.take()
        if count is not None:
            news["count"] = count
        reports = tuple(self._reports)
        if reports:
            news["reports"] = [report.words() for report in reports]
        if lease:
            news["lease"] = lease
        if news:
            said.update(news, news=True)
        return Line(self._order, self._change, reports, said)

    def hear(self, line: Line, heard: Heard | None, sent: float) -> None:
        """Take in what Redis answered to `line`, which was `sent` then: nothing, where both think the same."""
        self._busy = None
        self._reports = [report for report in self._reports if report not in line.reports]
        mine = (self._order, self._change)
        if heard is None:
            self._told = self._told or mine == (line.order, line.change)
            return
        theirs = (heard.order, heard.change)
        if theirs < mine:
            # It changed here while the answer was on its way; that is told next.
            return
        self._order, self._change = theirs
        self._told = True
        self._trips = heard.trips
        # Rather too early than too late: then Redis is asked, and knows.
        self._open_until = sent + heard.left / _US
        if heard.state != self._state:
            why = heard.why if heard.by == self._link.me else f"{heard.why} (learnt from another process)"
            super()._move(heard.state, why, self._now())
        elif theirs != mine and heard.state == "half_open":
            # Others opened and half-opened it meanwhile: the probes of before are too old.
            self._generation += 1
            self._probes.clear()
            self._succeeded = 0

    def unheard(self, now: float) -> None:
        """Go on alone: Redis gave no answer."""
        self._busy = None
        for report in self._reports:
            permit, report.judged, before = report.permit, True, report.judged
            if permit is not None and not before and permit.generation == self._generation:
                super()._judge_probe(permit, report.outcome, now, slow=report.slow)

    async def _ask(self) -> Permit | Refusal:
        lease = secrets.token_hex(8)
        self._asking += 1
        try:
            heard = await self._link.ask(self, lease)
        except StoreError:
            self._give_back(lease)
            return self._alone()
        except asyncio.CancelledError:
            self._give_back(lease)
            raise
        finally:
            self._asking -= 1
        now = self._now()
        if heard.granted and self._state == "half_open" and heard.change == self._change:
            permit = Lease(self, self._generation, now, lease)
            self._probes[permit] = None
            return permit
        if heard.granted:
            self._give_back(lease)
        if self._state == "closed":
            return Permit(self, self._generation, now)
        if heard.state == "half_open":
            self._busy = Refusal("half_open", heard.wait / _US, "its probes are under way")
        return self._refuse(now) or Refusal(self._state, self._link.every, self._why)

    def _refuse(self, now: float) -> Refusal | None:
        """Refuse by what is known here; None where Redis must be asked."""
        if self._state == "isolated":
            return Refusal("isolated", None, self._why)
        if self._state == "open" and now < self._open_until:
            return Refusal("open", self._open_until - now, self._why)
        if self._busy is None and self._asking >= self.config.half_open_probes:
            return Refusal(self._state, self._link.every, "its probes are being asked for")
        return self._busy

    def _alone(self) -> Permit | Refusal:
        now = self._now()
        return Permit(self, self._generation, now) if self._state == "closed" else self._knock(now)

    def _judge_probe(self, permit: Permit, outcome: Outcome, now: float, *, slow: bool) -> None:
        if isinstance(permit, Lease):
            alone = not self._link.answers
            self._reports.append(_Report(self._change, permit.id, permit, outcome, slow, judged=alone))
            self._link.wake()
            if not alone:
                # What it means is decided where all probes are known.
                self._probes.pop(permit, None)
                return
        super()._judge_probe(permit, outcome, now, slow=slow)

    def _move(self, after: State, why: str, now: float) -> None:
        self._claim(now)
        super()._move(after, why, now)

    def _claim(self, now: float) -> None:
        self._change = max(self._link.store_time(now), self._change + 1)
        self._told = False
        self._link.wake()

    def _give_back(self, lease: str) -> None:
        self._reports.append(_Report(0, lease, None, "ignored", slow=False))
        self._link.wake()


def _told(why: str) -> str:
    # Half of a surrogate pair is no text to Redis.
    return why[:_MOST_WHY].encode(errors="replace").decode()


def rules_of(config: CircuitBreaker) -> bytes:
    """Write a config as the script reads it: spans in microseconds, what to keep in milliseconds."""
    window = _LONGEST_WINDOW if config.window is None else seconds(config.window)
    longest = seconds(config.max_open)
    rules = {
        "minimum_calls": config.minimum_calls,
        "failure_rate": config.failure_rate,
        "slow_rate": config.slow_rate,
        "last": config.last or 0,
        "slots": _SLOTS,
        "width": max(1, round(window * _US / _SLOTS)),
        "probes": config.half_open_probes,
        "lease": round(_LEASE * seconds(config.slow_call) * _US),
        "open_for": round(seconds(config.open_for) * _US),
        "max_open": round(longest * _US),
        "keep": round(max(_LEAST_KEPT, 2 * longest + window) * 1000),
    }
    return json.dumps(rules).encode()
