"""The circuit breaker: its states, and a machine that tries to catch it out."""

import asyncio
import copy
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelUnavailableError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel

from seawall.defense.resilience import (
    Breaker,
    CircuitBreaker,
    CircuitOpen,
    Outcome,
    Permit,
    Refusal,
    Transition,
)
from seawall.defense.resilience.window import LastCalls, TimeWindow
from seawall.foundation.errors import ConfigError, Rejected
from seawall.testing import FakeClock

CONFIG = CircuitBreaker(
    failure_rate=0.5,
    slow_rate=1.0,
    slow_call="5s",
    window="20s",
    last=None,
    minimum_calls=4,
    open_for="10s",
    max_open="40s",
    half_open_probes=2,
)


def make(config: CircuitBreaker = CONFIG, jitter: float = 0.0) -> tuple[Breaker, FakeClock]:
    """Make a breaker whose clock and jitter the test holds."""
    clock = FakeClock()
    return Breaker(config, clock, random=lambda: jitter), clock


def changes_of(breaker: Breaker) -> list[Transition]:
    """Listen to a breaker from now on."""
    changes: list[Transition] = []
    breaker.listen(changes.append)
    return changes


def permitted(breaker: Breaker) -> Permit:
    """Ask for a permit that must be given."""
    permit = breaker.allow()
    assert isinstance(permit, Permit)
    return permit


def refused(breaker: Breaker) -> Refusal:
    """Ask for a permit that must not be given."""
    refusal = breaker.allow()
    assert isinstance(refusal, Refusal)
    return refusal


def trip(breaker: Breaker, retry_after: float | None = None) -> None:
    """Fail until it opens."""
    for _ in range(breaker.config.minimum_calls):
        breaker.record(permitted(breaker), "failure", retry_after=retry_after)
    assert breaker.state == "open"


@dataclass(eq=False)
class Call:
    """A call as the reference knows it: when it was admitted, in which era, and when it was first counted."""

    era: int
    started: float
    counted_at: float | None = None
    failed: bool = False
    slow: bool = False
    over: bool = False


class Reference:
    """The breaker again, slowly: it keeps every call, and counts from scratch."""

    def __init__(self, config: CircuitBreaker) -> None:
        self.config = config
        self.state, self.era, self.trips, self.until, self.won = "closed", 0, 0, 0.0, 0
        self.counted: list[Call] = []
        self.probes: list[Call] = []
        self.changes: list[tuple[str, str]] = []

    def move(self, state: str) -> None:
        """Start a new era."""
        self.changes.append((self.state, state))
        self.state, self.era, self.counted, self.probes, self.won = state, self.era + 1, [], [], 0

    def allow(self, now: float) -> Call | None:
        """Give a permit or None."""
        if self.state == "open" and now >= self.until:
            self.move("half_open")
        self.probes = [probe for probe in self.probes if now - probe.started < 10]
        if self.state == "closed" or (self.state == "half_open" and len(self.probes) + self.won < 2):
            call = Call(self.era, now)
            self.probes += [call] if self.state == "half_open" else []
            return call
        return None

    def record(self, call: Call, outcome: Outcome, now: float) -> None:
        """Take a report."""
        if call.over or call.era != self.era:
            call.over = True
            return
        call.over = True
        failed, slow = outcome == "failure", now - call.started >= 5
        if self.state == "half_open":
            self.probed(call, outcome, now, bad=failed or slow)
        elif call.counted_at is not None:
            if failed and call in self.recent(call.counted_at):
                call.failed = True
            if failed:
                self.judge(now)
        elif outcome != "ignored":
            self.count(call, now, failed=failed, slow=slow)

    def overdue(self, call: Call, now: float) -> None:
        """Take word of a call that has lasted too long."""
        if call.over or call.era != self.era or call.counted_at is not None:
            return
        if self.state == "half_open":
            self.probed(call, "failure", now, bad=True)
        else:
            self.count(call, now, failed=False, slow=True)

    def count(self, call: Call, now: float, *, failed: bool, slow: bool) -> None:
        """Add to what is judged by, and judge."""
        call.counted_at, call.failed, call.slow = now, failed, slow
        self.counted.append(call)
        self.now = now
        self.judge(now)

    def recent(self, _: float) -> list[Call]:
        """What is looked at: bounded by number, by time as of the latest count, or by both."""
        calls, config = self.counted, self.config
        if config.last is not None:
            if config.window is not None:
                calls = [call for call in calls if self.at(call) > self.now - 20]
            return calls[-config.last :]
        return [call for call in calls if int(self.at(call) / 2) > int(self.now / 2) - 10]

    @staticmethod
    def at(call: Call) -> float:
        assert call.counted_at is not None
        return call.counted_at

    def judge(self, now: float) -> None:
        recent = self.recent(now)
        failures, slows = sum(call.failed for call in recent), sum(call.slow for call in recent)
        if len(recent) >= 4 and (failures >= len(recent) / 2 or slows == len(recent)):
            self.open(now)

    def open(self, now: float) -> None:
        self.until, self.trips = now + min(10 * 2**self.trips, 40), self.trips + 1
        self.move("open")

    def probed(self, call: Call, outcome: Outcome, now: float, *, bad: bool) -> None:
        """Judge a probe."""
        self.probes = [probe for probe in self.probes if probe is not call]
        if outcome == "ignored":
            return
        if bad:
            self.open(now)
            return
        self.won += 1
        if self.won == 2:
            self.trips = 0
            self.move("closed")

    def operate(self, state: str) -> None:
        """Isolate or reset."""
        if state == "closed":
            self.trips, self.counted = 0, []
        if self.state != state:
            self.move(state)


class BreakerAgainstReference(RuleBasedStateMachine):
    """Any order of asking, reporting, late reporting and waiting leaves both in the same state."""

    @initialize(window=st.sampled_from(["20s", None]), last=st.sampled_from([None, 4, 6]))
    def begin(self, window: str | None, last: int | None) -> None:
        """Bounded by time, by number, or by both."""
        config = replace(CONFIG, window=window or ("20s" if last is None else None), last=last)
        self.breaker, self.clock = make(config)
        self.changes = changes_of(self.breaker)
        self.reference = Reference(config)
        self.under_way: list[tuple[Permit, Call]] = []

    @rule(times=st.integers(1, 6))
    def ask(self, times: int) -> None:
        """Ask both for permits."""
        for _ in range(times):
            permit = self.breaker.allow()
            expected = self.reference.allow(self.clock.monotonic())
            assert isinstance(permit, Permit) == (expected is not None)
            if isinstance(permit, Permit) and expected is not None:
                self.under_way.append((permit, expected))

    @precondition(lambda self: bool(self.under_way))
    @rule(
        outcome=st.sampled_from(["success", "failure", "failure", "ignored"]),
        which=st.lists(st.integers(0, 100), min_size=1, max_size=5),
    )
    def report(self, outcome: Outcome, which: list[int]) -> None:
        """Report some calls to both, the oldest or the latest, and each again to no effect."""
        for index in which:
            if not self.under_way:
                return
            permit, expected = self.under_way.pop(index % len(self.under_way))
            self.breaker.record(permit, outcome)
            self.reference.record(expected, outcome, self.clock.monotonic())
            self.breaker.record(permit, "failure")
            self.breaker.overdue(permit)

    @precondition(lambda self: bool(self.under_way))
    @rule(which=st.lists(st.integers(0, 100), min_size=1, max_size=5))
    def be_late(self, which: list[int]) -> None:
        """Say of some calls that they have lasted too long; twice changes nothing."""
        for index in which:
            permit, expected = self.under_way[index % len(self.under_way)]
            for _ in range(2):
                self.breaker.overdue(permit)
            self.reference.overdue(expected, self.clock.monotonic())

    @rule(by=st.sampled_from([0.5, 1.0, 2.0, 5.0, 10.0, 25.0]))
    def wait(self, by: float) -> None:
        """Let time pass."""
        self.clock.advance(by)

    @rule(state=st.sampled_from(["closed", "isolated"]), times=st.integers(1, 2))
    def operate(self, state: str, times: int) -> None:
        """Isolate it, or reset it."""
        for _ in range(times):
            self.breaker.isolate() if state == "isolated" else self.breaker.reset()
            self.reference.operate(state)

    @rule(
        outcomes=st.lists(st.sampled_from(["success", "success", "failure", "ignored"]), max_size=3),
        more=st.integers(0, 4),
    )
    def go_through_half_open(self, outcomes: list[Outcome], more: int) -> None:
        """Trip it, wait until probes may pass, report on some of them and ask for more: states a random walk is rarely in."""
        self.ask(4)
        if not self.under_way:
            return
        self.report("failure", [len(self.under_way) - 1, 0, 0, 0])
        self.clock.advance("40s")
        for outcome in outcomes:
            self.ask(1)
            if self.under_way:
                self.report(outcome, [len(self.under_way) - 1])
        self.ask(more + 1)

    @invariant()
    def agree(self) -> None:
        """Both are in the same state and went the same way; never more probes are out than allowed."""
        assert self.breaker.state == self.reference.state
        assert [(change.before, change.after) for change in self.changes] == self.reference.changes
        assert self.breaker.snapshot().probes <= 2


TestBreakerAgainstReference = BreakerAgainstReference.TestCase
TestBreakerAgainstReference.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


@settings(deadline=None)
@given(
    span=st.sampled_from([1.0, 7.0, 30.0]),
    events=st.lists(st.tuples(st.floats(0, 1.5), st.booleans(), st.booleans()), max_size=60),
)
def test_the_window_counts_its_last_ten_buckets(span: float, events: list[tuple[float, bool, bool]]) -> None:
    """The running totals equal a count from scratch, and nothing younger than nine tenths or older than the span matters."""
    window, now = TimeWindow(span), 1_000.0
    past: list[tuple[float, bool, bool]] = []
    for gap, failed, slow in events:
        now += gap * span
        window.add(now, failed=failed, slow=slow)
        past.append((now, failed, slow))
        recent = [event for event in past if int(event[0] * (10 / span)) > int(now * (10 / span)) - 10]
        assert window.calls == len(recent)
        assert window.failures == sum(event[1] for event in recent)
        assert window.slow == sum(event[2] for event in recent)
        assert sum(now - event[0] <= 0.899 * span for event in past) <= window.calls
        assert window.calls <= sum(now - event[0] <= 1.001 * span for event in past)


@settings(deadline=None)
@given(
    last=st.integers(1, 8),
    span=st.sampled_from([None, 7.0]),
    events=st.lists(st.tuples(st.floats(0, 3), st.booleans(), st.booleans(), st.booleans()), max_size=60),
)
def test_the_window_counts_its_last_calls(
    last: int, span: float | None, events: list[tuple[float, bool, bool, bool]]
) -> None:
    """Totals equal a count from scratch, also where calls fail after they were counted, remembered still or not."""
    window, now = LastCalls(last, span), 1_000.0
    past: list[list[Any]] = []
    for gap, failed, slow, fails_later in events:
        now += gap
        mark = window.add(now, failed=failed, slow=slow)
        past.append([now, failed, slow, mark])
        if fails_later:
            late = past[-min(len(past), 3)]
            window.fail(late[3])
            late[1] = True
        recent = [event for event in past if span is None or event[0] > now - span][-last:]
        assert window.calls == len(recent)
        assert window.failures == sum(event[1] for event in recent)
        assert window.slow == sum(event[2] for event in recent)
    window.clear()
    for event in past:
        window.fail(event[3])
    assert (window.calls, window.failures, window.slow) == (0, 0, 0)


def test_a_call_that_fails_late_counts_in_the_bucket_it_was_counted_in() -> None:
    """Bounded by time alone, what is forgotten can no longer fail."""
    window = TimeWindow(10.0)
    early, late = window.add(100.0, failed=False, slow=True), window.add(109.0, failed=False, slow=True)
    window.fail(early)
    assert (window.calls, window.failures) == (2, 1)
    window.forget_until(110.0)
    window.fail(early)
    window.fail(late)
    assert (window.calls, window.failures, window.slow) == (1, 1, 1)


def test_calls_that_hang_trip_it_before_any_of_them_ends() -> None:
    """Word of calls under way is enough; what they come to later finds it open and changes nothing."""
    breaker, clock = make()
    changes = changes_of(breaker)
    permits = [permitted(breaker) for _ in range(4)]
    clock.advance("5s")
    for permit in permits:
        breaker.overdue(permit)
    assert [change.after for change in changes] == ["open"]
    assert changes[0].why == "4 of 4 calls were slow (limit 100%)"
    for permit in permits:
        breaker.record(permit, "success")
    assert breaker.state == "open"


def test_a_call_that_was_slow_and_then_fails_is_both() -> None:
    """Time limits above `slow_call` do not hide failures behind slowness."""
    breaker, clock = make(replace(CONFIG, slow_rate=1.0))
    for _ in range(2):
        breaker.record(permitted(breaker), "success")
    late = [permitted(breaker) for _ in range(2)]
    clock.advance("5s")
    for permit in late:
        breaker.overdue(permit)
    breaker.record(late[0], "failure")
    assert (breaker.state, breaker.snapshot().failures, breaker.snapshot().calls) == ("closed", 1, 4)
    breaker.record(late[1], "failure")
    assert breaker.state == "open"


def test_a_probe_that_hangs_opens_it_again() -> None:
    """Nobody waits for a probe's end to know that it is no good."""
    breaker, clock = make()
    trip(breaker)
    clock.advance("10s")
    probe = permitted(breaker)
    clock.advance("5s")
    breaker.overdue(probe)
    assert breaker.state == "open"
    assert refused(breaker).retry_after == 20.0


def test_a_probe_that_succeeded_is_not_replaced() -> None:
    """Half-open admits its number of probes in all, not that number at a time for as long as they succeed."""
    breaker, clock = make()
    trip(breaker)
    clock.advance("10s")
    breaker.record(permitted(breaker), "success")
    last = permitted(breaker)
    refused(breaker)
    breaker.record(last, "success")
    assert breaker.state == "closed"


def test_a_few_failures_do_not_trip_and_the_rate_does() -> None:
    """Below the minimum nothing happens; at it, the share decides, and the transition says why."""
    breaker, _ = make()
    changes = changes_of(breaker)
    outcomes: list[Outcome] = ["failure", "success", "success", "success", "failure"]
    for outcome in outcomes:
        breaker.record(permitted(breaker), outcome)
    assert changes == []
    breaker.record(permitted(breaker), "failure")
    (change,) = changes
    assert (change.before, change.after) == ("closed", "open")
    assert change.why == "3 of 6 calls failed (limit 50%)"


def test_slow_answers_trip_though_none_fails() -> None:
    """A dependency that only drags is cut off as well."""
    breaker, clock = make()
    permits = [permitted(breaker) for _ in range(4)]
    clock.advance("5s")
    changes = changes_of(breaker)
    for permit in permits:
        assert not changes
        breaker.record(permit, "success")
    assert "were slow" in changes[0].why


def test_old_failures_are_forgotten() -> None:
    """What happened before the window does not count towards the rate."""
    breaker, clock = make()
    for _ in range(3):
        breaker.record(permitted(breaker), "failure")
    clock.advance("21s")
    breaker.record(permitted(breaker), "failure")
    assert breaker.state == "closed"
    assert breaker.snapshot().calls == 1


@pytest.mark.parametrize("probes", [1, 3, 7])
async def test_half_open_admits_exactly_its_probes_of_a_thousand_at_once(probes: int) -> None:
    """The herd waiting at an open circuit does not get through; the configured number does."""
    breaker, clock = make(CircuitBreaker(minimum_calls=1, open_for="10s", half_open_probes=probes))
    trip(breaker)
    changes = changes_of(breaker)
    clock.advance("10s")

    async def attempt() -> Permit | Refusal:
        await asyncio.sleep(0)
        return await breaker.enter()

    answers = await asyncio.gather(*(attempt() for _ in range(1000)))
    permits = [answer for answer in answers if isinstance(answer, Permit)]
    assert len(permits) == probes
    assert all(answer.retry_after == 10.0 for answer in answers if isinstance(answer, Refusal))
    assert [change.after for change in changes] == ["half_open"]
    for permit in permits:
        assert breaker.state == "half_open"
        breaker.record(permit, "success")
    assert [change.after for change in changes] == ["half_open", "closed"]


def test_a_lost_probe_is_written_off_and_a_released_one_given_back() -> None:
    """No probe can hold the circuit half-open for ever, and a cancelled one costs nothing."""
    breaker, clock = make()
    trip(breaker)
    clock.advance("10s")
    lost, cancelled = permitted(breaker), permitted(breaker)
    assert refused(breaker).state == "half_open"
    cancelled.release()
    cancelled.release()
    permitted(breaker)
    refused(breaker)
    clock.advance("10s")
    permitted(breaker)
    breaker.record(lost, "success")
    assert breaker.state == "open"


def test_results_from_before_the_trip_are_too_old_to_judge_by() -> None:
    """Calls admitted while closed neither close nor reopen a circuit that has moved on since."""
    breaker, clock = make()
    early = [permitted(breaker) for _ in range(8)]
    trip(breaker)
    changes = changes_of(breaker)
    breaker.record(early[0], "success")
    clock.advance("10s")
    probe = permitted(breaker)
    for permit in early[1:4]:
        breaker.record(permit, "failure")
    assert breaker.state == "half_open"
    breaker.record(probe, "success")
    breaker.record(permitted(breaker), "success")
    for permit in early[4:]:
        breaker.record(permit, "failure")
    assert [change.after for change in changes] == ["half_open", "closed"]
    assert breaker.snapshot().calls == 0


def test_each_trip_without_recovery_holds_longer_up_to_the_bound() -> None:
    """Open time doubles to max_open, is shortened by up to a fifth, and starts over after recovery."""
    for jitter, share in ((0.0, 1.0), (0.999999, 0.8)):
        breaker, clock = make(jitter=jitter)
        trip(breaker)
        held: list[float] = []
        for _ in range(4):
            wait = refused(breaker).retry_after
            assert wait is not None
            held.append(wait)
            clock.advance(wait)
            breaker.record(permitted(breaker), "failure")
        assert held == pytest.approx([10 * share, 20 * share, 40 * share, 40 * share], rel=1e-4)
        clock.advance("40s")
        for permit in [permitted(breaker), permitted(breaker)]:
            breaker.record(permit, "success")
        trip(breaker)
        assert refused(breaker).retry_after == pytest.approx(10 * share, rel=1e-4)


@pytest.mark.parametrize(
    ("asked", "held"), [(25.0, 25.0), (3.0, 10.0), (86_400.0, 40.0), (-1.0, 10.0), (float("nan"), 10.0)]
)
def test_the_providers_own_wait_is_honoured_within_bounds(asked: float, held: float) -> None:
    """Retry-After lengthens the open time, and a wild one cannot take the provider out for a day."""
    breaker, _ = make()
    trip(breaker, retry_after=asked)
    assert refused(breaker).retry_after == pytest.approx(held)


def test_an_operator_can_isolate_and_reset() -> None:
    """Isolated means refused whatever the clock says, until reset, and then all is forgotten."""
    breaker, clock = make()
    changes = changes_of(breaker)
    in_flight = permitted(breaker)
    breaker.isolate()
    breaker.isolate()
    clock.advance("1h")
    assert refused(breaker).retry_after is None
    breaker.record(in_flight, "success")
    assert breaker.snapshot().state == "isolated"
    breaker.reset()
    breaker.reset()
    assert [change.after for change in changes] == ["isolated", "closed"]
    permitted(breaker)


async def _fails_if_called(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise CircuitOpen(
        "primary", Refusal("open", 8.25, "5 of the last 10 calls within 30s failed (limit 50%)")
    )


async def _answers(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return ModelResponse(parts=[TextPart("from the second")])


async def test_a_fallback_model_moves_on_from_an_open_circuit() -> None:
    """CircuitOpen needs no setting of FallbackModel."""
    agent = Agent(FallbackModel(FunctionModel(_fails_if_called), FunctionModel(_answers)))
    assert (await agent.run("hello")).output == "from the second"


def test_the_refusal_says_what_limit_observed_and_what_to_do() -> None:
    """CircuitOpen is Rejected and ModelUnavailableError, and survives a copy."""
    error = copy.copy(CircuitOpen("primary", Refusal("half_open", 8.25, "its probes are under way")))
    assert isinstance(error, Rejected)
    assert isinstance(error, ModelUnavailableError)
    assert (error.by, error.retry_after, error.model_name) == ("breaker", 8.25, "primary")
    assert str(error) == (
        "circuit of 'primary' is half-open: its probes are under way; use another model, or try again in 8.25 s"
    )
    isolated = CircuitOpen("primary", Refusal("isolated", None, "isolated by an operator"))
    assert str(isolated).endswith("use another model until it is reset")


@pytest.mark.parametrize(
    "wrong",
    [
        {"failure_rate": 0.0},
        {"failure_rate": 1.1},
        {"slow_rate": float("nan")},
        {"minimum_calls": 0},
        {"half_open_probes": 0},
        {"window": "never"},
        {"open_for": "3m"},
    ],
    ids=str,
)
def test_settings_that_cannot_hold_are_refused(wrong: dict[str, object]) -> None:
    """A mistake shows at construction and names the setting."""
    with pytest.raises(ConfigError):
        CircuitBreaker(**wrong)  # pyright: ignore[reportArgumentType]


def test_settings_describe_themselves() -> None:
    """The description is plain data."""
    described = CircuitBreaker().describe()
    assert described["failure_rate"] == 0.5
    assert (described["window"], described["last"]) == ("30s", 50)
    assert CircuitBreaker(last=None).describe()["last"] is None
    assert len(described) == 9
