"""When a store that gave no answer is asked again."""

from collections.abc import Callable

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from seawall.foundation.errors import StoreError
from seawall.foundation.events import Event, EventBus, StoreChanged
from seawall.foundation.storage.circuit import StoreCircuit
from seawall.testing import FakeClock


class Told:
    """Hears of changes."""

    def __init__(self) -> None:
        self.changes: list[tuple[bool, str]] = []
        self.bus = EventBus(self.hear)

    def hear(self, event: Event) -> None:
        """Keep what a store said."""
        if isinstance(event, StoreChanged):
            self.changes.append((event.healthy, event.why))


def circuit(clock: FakeClock, told: Told, random: Callable[[], float] = float) -> StoreCircuit:
    """Make one that rests 1 s at first and 10 s at most."""
    return StoreCircuit("redis", rest="1s", longest="10s", events=told.bus, clock=clock, random=random)


def test_rests_grow_and_start_again_after_an_answer() -> None:
    """1, 2, 4, 8, 10, 10 seconds; one call tries after each; only the two changes are told."""
    clock, told = FakeClock(), Told()
    one = circuit(clock, told)
    one.failed(one.enter(), "TimeoutError")
    for rest in (1, 2, 4, 8, 10, 10):
        clock.advance(rest - 0.01)
        with pytest.raises(StoreError, match="left alone"):
            one.enter()
        clock.advance(0.01)
        call = one.enter()
        with pytest.raises(StoreError, match="left alone"):
            one.enter()
        one.failed(call, "TimeoutError")
    clock.advance(10)
    one.answered(one.enter())
    assert (one.state, told.changes) == ("closed", [(False, "TimeoutError"), (True, "answered")])
    one.failed(one.enter(), "ConnectionError")
    clock.advance(1)
    assert one.enter()


def test_processes_do_not_come_back_in_step() -> None:
    """A rest is shortened by up to a quarter."""
    clock = FakeClock()
    first, last = circuit(clock, Told(), lambda: 1.0), circuit(clock, Told(), lambda: 0.0)
    for one in (first, last):
        one.failed(one.enter(), "TimeoutError")
    clock.advance(0.75)
    assert first.enter()
    with pytest.raises(StoreError):
        last.enter()


def test_a_try_that_is_given_up_lets_the_next_try_later() -> None:
    """It says nothing: the rest is as long as before, and not over at once."""
    clock, told = FakeClock(), Told()
    one = circuit(clock, told)
    one.failed(one.enter(), "TimeoutError")
    clock.advance(1)
    one.left(one.enter())
    assert one.state == "open"
    with pytest.raises(StoreError):
        one.enter()
    clock.advance(1)
    one.answered(one.enter())
    assert one.state == "closed"


def test_an_operator_has_the_last_word() -> None:
    """Isolated stays isolated whatever calls under way come to, and a reset ends it at once."""
    clock, told = FakeClock(), Told()
    one = circuit(clock, told)
    one.failed(one.enter(), "TimeoutError")
    clock.advance(1)
    call = one.enter()
    one.isolate("moving it")
    one.answered(call)
    clock.advance(100)
    with pytest.raises(StoreError, match="moving it"):
        one.enter()
    one.reset("moved")
    one.reset("moved")
    assert one.enter()
    assert told.changes == [(False, "TimeoutError"), (False, "moving it"), (True, "moved")]


class AgainstReference(RuleBasedStateMachine):
    """Calls that begin and end in any order, against what is promised."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.told = FakeClock(), Told()
        self.one = circuit(self.clock, self.told)
        self.calls: list[int] = []
        self.tries: list[int] = []
        self.opened = 0.0

    @rule()
    def begin(self) -> None:
        """One call more, if it may."""
        before = self.one.state
        waited = self.clock.monotonic() - self.opened
        try:
            call = self.one.enter()
        except StoreError:
            assert before in ("half_open", "isolated") or waited < 10
            return
        assert before == "closed" or (before == "open" and waited >= 1)
        (self.calls if before == "closed" else self.tries).append(call)

    @precondition(lambda self: self.calls or self.tries)
    @rule(ends=strategies.sampled_from(["answered", "failed", "left"]), which=strategies.integers(0, 9))
    def end(self, ends: str, which: int) -> None:
        """A call under way ends, be it of long ago."""
        under_way = [*self.calls, *self.tries]
        call = under_way[which % len(under_way)]
        (self.calls if call in self.calls else self.tries).remove(call)
        before = self.one.state
        if ends == "answered":
            self.one.answered(call)
        elif ends == "failed":
            self.one.failed(call, "TimeoutError")
        self.one.left(call)
        if before != "open" and self.one.state == "open":
            self.opened = self.clock.monotonic()

    @rule(seconds=strategies.floats(0.01, 12))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.advance(seconds)

    @rule()
    def isolate(self) -> None:
        """Somebody takes it away."""
        self.one.isolate("away")

    @rule()
    def reset(self) -> None:
        """Somebody gives it back."""
        self.one.reset("back")

    @invariant()
    def one_try_at_most_and_none_lost(self) -> None:
        """Half-open is as long as exactly one try of now is under way."""
        of_now = [call for call in self.tries if call == self.one._period]
        assert len(of_now) == (self.one.state == "half_open")

    @invariant()
    def told_is_true(self) -> None:
        """Whoever listens knows whether it answers."""
        healthy = self.told.changes[-1][0] if self.told.changes else True
        assert healthy == (self.one.state == "closed")


TestAgainstReference = AgainstReference.TestCase
TestAgainstReference.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
