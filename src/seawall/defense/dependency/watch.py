"""Watches the calls under way: tells the circuit which have lasted too long, and ends them once it opens.

Where a dependency hangs, nothing ends: a breaker that hears of calls at their end hears nothing until they time out,
and all that came meanwhile wait as long. Calls under way are its only news.
"""

import asyncio
from typing import Protocol

from seawall.defense.resilience import Circuit, Permit, Transition
from seawall.foundation.clock import Clock

# Held up for longer than this share of a call's time, it was not punctual.
_PUNCTUAL = 0.1


class Call(Protocol):
    """A call under way that can be given up."""

    permit: Permit

    def give_up(self) -> None:
        """End it now, as if its time were over."""
        ...


class Watch:
    """The calls of one dependency, oldest first; one timer for all of them. For use from one event loop at a time.

    Where whoever calls has something else to turn to, all calls under way are given up when the circuit opens while
    some of them are late: nobody waits for what hangs. Otherwise they are left to their time limits.

    Where this process itself was held up, answers may lie there unread: it then looks once more, as much later as it
    was held up, before it holds anything against the dependency.
    """

    __slots__ = (
        "_alarm",
        "_circuit",
        "_due",
        "_excused",
        "_late",
        "_loop",
        "_now",
        "_patience",
        "_replaceable",
        "_under_way",
    )

    def __init__(self, circuit: Circuit, patience: float, clock: Clock, *, replaceable: bool) -> None:
        self._circuit = circuit
        self._replaceable = replaceable
        self._patience = patience
        self._now = clock.monotonic
        self._under_way: dict[Call, None] = {}
        self._late: dict[Call, None] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = 0.0
        self._excused = False
        circuit.listen(self._changed)

    def __len__(self) -> int:
        """How many calls are under way."""
        return len(self._under_way) + len(self._late)

    def add(self, call: Call) -> None:
        """Watch a call that begins now."""
        self._under_way[call] = None
        loop = asyncio.get_running_loop()
        if self._alarm is None or self._loop is not loop:
            self._loop = loop
            self._look_in(self._patience)

    def remove(self, call: Call) -> None:
        """Watch it no longer: it is over, or waits for something else than its dependency."""
        self._under_way.pop(call, None)
        self._late.pop(call, None)

    def _look_in(self, seconds: float) -> None:
        assert self._loop is not None
        self._due = self._loop.time() + seconds
        self._alarm = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        assert self._loop is not None
        held_up = self._loop.time() - self._due
        if held_up > _PUNCTUAL * self._patience and not self._excused:
            self._excused = True
            self._look_in(min(held_up, self._patience))
            return
        self._excused = False
        self._alarm = None
        now = self._now()
        # Opening the circuit may give all of them up, and leave none.
        while self._under_way:
            call = next(iter(self._under_way))
            left = call.permit.started + self._patience - now
            if left > 0:
                self._look_in(left)
                break
            del self._under_way[call]
            self._late[call] = None
            self._circuit.overdue(call.permit)
        if self._circuit.state != "closed":
            self._give_up()

    def _changed(self, transition: Transition) -> None:
        if transition.after == "open":
            self._give_up()

    def _give_up(self) -> None:
        if not (self._replaceable and self._late):
            return
        calls = [*self._late, *self._under_way]
        self._late.clear()
        self._under_way.clear()
        for call in calls:
            call.give_up()
