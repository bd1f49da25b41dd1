"""The circuit breaker: its states, and a machine that tries to catch it out."""

import asyncio
import copy
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import settings
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
    counted_at: float = 0.0
    counted: bool = False
    failed: bool = False
    slow: bool = False
    over: bool = False


class Reference:
    """The breaker again, slowly: it keeps every call, and counts from scratch."""

    def __init__(self, config: CircuitBreaker) -> None:
        self.config = config
        self.state, self.era, self.trips, self.until, self.won = "closed", 0, 0, 0.0, 0
        self.jitter = self.not_before = 0.0
        self.counted: list[Call] = []
        self.probes: list[Call] = []
        self.changes: list[tuple[str, str, float]] = []

    def move(self, state: str, now: float) -> None:
        """Start a new era."""
        self.changes.append((self.state, state, now))
        self.state, self.era, self.counted, self.probes, self.won = state, self.era + 1, [], [], 0

    def allow(self, now: float) -> Call | tuple[str, float | None]:
        """Give a permit, or the state and the seconds to wait."""
        if self.state == "isolated":
            return "isolated", None
        if self.state == "open":
            if now < self.until:
                return "open", self.until - now
            self.move("half_open", now)
        call = Call(self.era, now)
        if self.state == "half_open":
            self.probes = [probe for probe in self.probes if now - probe.started < 10]
            if len(self.probes) + self.won >= self.config.half_open_probes:
                return "half_open", min(self.probes[0].started + 10 - now, 10.0)
            self.probes.append(call)
        return call

    def record(self, call: Call, outcome: Outcome, now: float, retry_after: float | None) -> None:
        """Take a report."""
        over, call.over = call.over, True
        if over or call.era != self.era:
            return
        failed, slow = outcome == "failure", now - call.started >= 5
        if failed and retry_after is not None:
            self.not_before = max(self.not_before, now + min(retry_after, 40))
        if self.state == "half_open":
            self.probed(call, outcome, now, bad=failed or slow)
        elif call.counted:
            call.failed = failed
            if failed:
                self.judge(now)
        elif outcome != "ignored":
            self.count(call, now, failed=failed, slow=slow)

    def overdue(self, call: Call, now: float) -> None:
        """Take word of a call that has lasted too long."""
        if call.over or call.era != self.era or call.counted:
            return
        if self.state == "half_open":
            self.probed(call, "failure", now, bad=True)
        else:
            self.count(call, now, failed=False, slow=True)

    def count(self, call: Call, now: float, *, failed: bool, slow: bool) -> None:
        """Add to what is judged by, and judge."""
        call.counted, call.counted_at, call.failed, call.slow = True, now, failed, slow
        self.counted.append(call)
        self.judge(now)

    def recent(self, now: float) -> list[Call]:
        """What is looked at: bounded by number, by time, or by both."""
        last, calls = self.config.last, self.counted
        if self.config.window is not None:
            if last is None:
                return [call for call in calls if int(call.counted_at / 2) > int(now / 2) - 10]
            calls = [call for call in calls if call.counted_at > now - 20]
        assert last is not None
        return calls[-last:]

    def judge(self, now: float) -> None:
        """Open where too many of the recent calls failed, or all were slow."""
        recent = self.recent(now)
        failures, slows = sum(call.failed for call in recent), sum(call.slow for call in recent)
        if len(recent) >= 4 and (failures >= len(recent) / 2 or slows == len(recent)):
            self.open(now)

    def open(self, now: float) -> None:
        """Stay open for twice as long each time, a little less at random, and as long as the provider asked."""
        base = min(10 * 2**self.trips, 40)
        self.until = max(now + base * (1 - 0.2 * self.jitter), self.not_before)
        self.trips += 1
        self.move("open", now)

    def probed(self, call: Call, outcome: Outcome, now: float, *, bad: bool) -> None:
        """Judge a probe."""
        self.probes = [probe for probe in self.probes if probe is not call]
        if outcome == "ignored":
            return
        if bad:
            self.open(now)
            return
        self.won += 1
        if self.won == self.config.half_open_probes:
            self.trips = 0
            self.move("closed", now)

    def operate(self, state: str, now: float) -> None:
        """Isolate or reset."""
        if state == "closed":
            self.trips, self.not_before, self.counted = 0, 0.0, []
        if self.state != state:
            self.move(state, now)


WHICH = st.lists(st.integers(0, 100), min_size=1, max_size=5)


class BreakerAgainstReference(RuleBasedStateMachine):
    """Any order of asking, reporting, late reporting and waiting leaves both in the same state."""

    @initialize(
        bounds=st.sampled_from([("20s", None), (None, 4), (None, 6), ("20s", 4), ("20s", 6)]),
        probes=st.integers(1, 3),
    )
    def begin(self, bounds: tuple[str | None, int | None], probes: int) -> None:
        """Bounded by time, by number, or by both."""
        config = replace(CONFIG, window=bounds[0], last=bounds[1], half_open_probes=probes)
        self.clock = FakeClock()
        self.reference = Reference(config)
        self.breaker = Breaker(config, self.clock, random=lambda: self.reference.jitter)
        self.heard = [(0, changes_of(self.breaker))]
        self.under_way: list[tuple[Permit, Call]] = []

    @rule(times=st.integers(1, 6), jitter=st.sampled_from([0.0, 0.25, 0.75]))
    def ask(self, times: int, jitter: float = 0.0) -> None:
        """Ask both for permits; both give one, or say the same."""
        self.reference.jitter = jitter
        for _ in range(times):
            answer = self.breaker.allow()
            expected = self.reference.allow(self.clock.monotonic())
            if isinstance(expected, Call):
                assert isinstance(answer, Permit)
                self.under_way.append((answer, expected))
            else:
                assert isinstance(answer, Refusal)
                assert (answer.state, answer.retry_after) == (expected[0], pytest.approx(expected[1]))

    @precondition(lambda self: bool(self.under_way))
    @rule(
        outcome=st.sampled_from(["success", "failure", "failure", "ignored"]),
        which=WHICH,
        retry_after=st.sampled_from([None, None, 3.0, 25.0, 1000.0]),
    )
    def report(self, outcome: Outcome, which: list[int], retry_after: float | None = None) -> None:
        """Report some calls to both, the oldest or the latest, and each again to no effect."""
        for index in which[: len(self.under_way)]:
            permit, expected = self.under_way.pop(index % len(self.under_way))
            if outcome == "ignored":
                permit.release()
            else:
                self.breaker.record(permit, outcome, retry_after=retry_after)
            self.reference.record(expected, outcome, self.clock.monotonic(), retry_after)
            self.breaker.record(permit, "failure", retry_after=1000.0)
            self.breaker.overdue(permit)

    @precondition(lambda self: bool(self.under_way))
    @rule(which=WHICH)
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

    @rule(state=st.sampled_from(["closed", "closed", "isolated"]), times=st.integers(1, 2))
    def operate(self, state: str, times: int) -> None:
        """Isolate it, or reset it."""
        for _ in range(times):
            self.breaker.isolate() if state == "isolated" else self.breaker.reset()
            self.reference.operate(state, self.clock.monotonic())

    @rule(after=st.sampled_from(["reset", "time", "calls"]), by=st.sampled_from([0.0, 5.0, 18.0, 20.0]))
    def fail_late(self, after: str, by: float) -> None:
        """A call counted while it was under way fails once it may be forgotten: a state a random walk is rarely in."""
        self.operate("closed", 1)
        self.under_way.clear()
        self.ask(8)
        self.be_late([0])
        if after == "reset":
            self.operate("closed", 1)
        self.report("success", [-1] * (2 if after == "time" else 6))
        if after == "time":
            self.report("failure", [-1])
        self.clock.advance(by)
        self.report("failure", [0])

    @rule(
        outcomes=st.lists(st.sampled_from(["success", "success", "failure", "ignored"]), max_size=4),
        more=st.integers(0, 4),
    )
    def go_through_half_open(self, outcomes: list[Outcome], more: int) -> None:
        """Trip it, wait until probes may pass, report on some of them and ask for more."""
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

    @rule()
    def count(self) -> None:
        """Both have counted the same; a rule, for asking forgets what is old."""
        recent, seen = self.reference.recent(self.clock.monotonic()), self.breaker.snapshot()
        assert seen.calls == len(recent)
        assert seen.failures == sum(call.failed for call in recent)
        assert seen.slow == sum(call.slow for call in recent)

    @precondition(lambda self: len(self.heard) < 3)
    @rule()
    def listen(self) -> None:
        """One more listens, from now on."""
        self.heard.append((len(self.reference.changes), changes_of(self.breaker)))

    @invariant()
    def agree(self) -> None:
        """Both are in the same state and went the same way, of which each listener heard once, in order."""
        assert self.breaker.state == self.reference.state
        for since, heard in self.heard:
            changes = [(change.before, change.after, change.at) for change in heard]
            assert changes == self.reference.changes[since:]
            assert all(one[1] == other[0] for one, other in pairwise(changes))
        assert len(self.breaker._probes) + self.reference.won <= self.breaker.config.half_open_probes


TestBreakerAgainstReference = BreakerAgainstReference.TestCase
TestBreakerAgainstReference.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


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
        "circuit of 'primary' is half-open: its probes are under way; go on without it, or try again in 8.25 s"
    )
    isolated = CircuitOpen("primary", Refusal("isolated", None, "isolated by an operator"))
    assert str(isolated).endswith("go on without it until it is reset")


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
