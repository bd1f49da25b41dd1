"""The circuit breaker: its states, and a machine that tries to catch it out."""

import asyncio
import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelUnavailableError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel

from seawall.defense.resilience import Breaker, CircuitBreaker, CircuitOpen, Outcome, Permit, Refusal
from seawall.defense.resilience.window import Window
from seawall.foundation.errors import ConfigError, Rejected
from seawall.testing import FakeClock

CONFIG = CircuitBreaker(
    failure_rate=0.5,
    slow_call="5s",
    window="20s",
    minimum_calls=4,
    open_for="10s",
    max_open="40s",
    half_open_probes=2,
)


def make(config: CircuitBreaker = CONFIG, jitter: float = 0.0) -> tuple[Breaker, FakeClock]:
    """Make a breaker whose clock and jitter the test holds."""
    clock = FakeClock()
    return Breaker(config, clock, random=lambda: jitter), clock


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


class Reference:
    """The breaker again, slowly: it keeps every event, and counts from scratch. Permits are (era, started)."""

    def __init__(self) -> None:
        self.state, self.era, self.trips, self.until, self.won = "closed", 0, 0, 0.0, 0
        self.ended: list[tuple[float, bool, bool]] = []
        self.probes: list[tuple[int, float, int]] = []

    def move(self, state: str) -> None:
        """Start a new era."""
        self.state, self.era, self.ended, self.probes, self.won = state, self.era + 1, [], [], 0

    def allow(self, now: float, number: int) -> tuple[int, float, int] | None:
        """Give a permit or None."""
        if self.state == "open" and now >= self.until:
            self.move("half_open")
        self.probes = [probe for probe in self.probes if now - probe[1] < 10]
        if self.state == "closed" or (self.state == "half_open" and len(self.probes) + self.won < 2):
            permit = (self.era, now, number)
            self.probes += [permit] if self.state == "half_open" else []
            return permit
        return None

    def record(self, permit: tuple[int, float, int], outcome: Outcome, now: float) -> None:
        """Judge by counting everything again."""
        failed, slow, probing = outcome == "failure", now - permit[1] >= 5, self.state == "half_open"
        self.probes = [probe for probe in self.probes if probe != permit]
        if permit[0] != self.era or outcome == "ignored":
            return
        self.ended.append((now, failed, slow))
        recent = [event for event in self.ended if int(event[0] / 2) > int(now / 2) - 10]
        failures, slows = sum(event[1] for event in recent), sum(event[2] for event in recent)
        tripped = len(recent) >= 4 and (failures >= len(recent) / 2 or slows == len(recent))
        if (probing and (failed or slow)) or (not probing and tripped):
            self.until, self.trips = now + min(10 * 2**self.trips, 40), self.trips + 1
            self.move("open")
        elif probing:
            self.won += 1
            if self.won == 2:
                self.trips = 0
                self.move("closed")


class BreakerAgainstReference(RuleBasedStateMachine):
    """Any order of asking, reporting, late reporting and waiting leaves both in the same state."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.clock = make()
        self.reference = Reference()
        self.under_way: list[tuple[Permit, tuple[int, float, int]]] = []
        self.asked = 0

    @rule(times=st.integers(1, 6))
    def ask(self, times: int) -> None:
        """Ask both for permits."""
        for _ in range(times):
            self.asked += 1
            permit = self.breaker.allow()
            expected = self.reference.allow(self.clock.monotonic(), self.asked)
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
            before = self.breaker.state
            change = self.breaker.record(permit, outcome)
            self.reference.record(expected, outcome, self.clock.monotonic())
            assert (change is not None) == (before != self.breaker.state)
            assert self.breaker.record(permit, "failure") is None

    @rule(by=st.sampled_from([0.5, 1.0, 2.0, 5.0, 10.0, 25.0]))
    def wait(self, by: float) -> None:
        """Let time pass."""
        self.clock.advance(by)

    @rule(
        outcomes=st.lists(st.sampled_from(["success", "success", "failure", "ignored"]), max_size=3),
        more=st.integers(0, 4),
    )
    def go_through_half_open(self, outcomes: list[Outcome], more: int) -> None:
        """Trip it, wait until probes may pass, report on some of them and ask for more: states a random walk is rarely in."""
        self.ask(4)
        self.report("failure", [len(self.under_way) - 1, 0, 0, 0])
        self.clock.advance("40s")
        for outcome in outcomes:
            self.ask(1)
            self.report(outcome, [len(self.under_way) - 1])
        self.ask(more + 1)

    @invariant()
    def agree(self) -> None:
        """Both are in the same state, and never more probes are out than allowed."""
        assert self.breaker.state == self.reference.state
        assert self.breaker.snapshot().probes <= 2


TestBreakerAgainstReference = BreakerAgainstReference.TestCase
TestBreakerAgainstReference.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@settings(deadline=None)
@given(
    span=st.sampled_from([1.0, 7.0, 30.0]),
    events=st.lists(st.tuples(st.floats(0, 1.5), st.booleans(), st.booleans()), max_size=60),
)
def test_the_window_counts_its_last_ten_buckets(span: float, events: list[tuple[float, bool, bool]]) -> None:
    """The running totals equal a count from scratch, and nothing younger than nine tenths or older than the span matters."""
    window, now = Window(span), 1_000.0
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


def test_a_probe_that_succeeded_is_not_replaced() -> None:
    """Half-open admits its number of probes in all, not that number at a time for as long as they succeed."""
    breaker, clock = make()
    trip(breaker)
    clock.advance("10s")
    breaker.record(permitted(breaker), "success")
    last = permitted(breaker)
    refused(breaker)
    assert breaker.record(last, "success") is not None


def test_a_few_failures_do_not_trip_and_the_rate_does() -> None:
    """Below the minimum nothing happens; at it, the share decides, and the transition says why."""
    breaker, _ = make()
    outcomes: list[Outcome] = ["failure", "success", "success", "success", "failure"]
    assert [breaker.record(permitted(breaker), outcome) for outcome in outcomes] == [None] * 5
    change = breaker.record(permitted(breaker), "failure")
    assert change is not None
    assert (change.before, change.after) == ("closed", "open")
    assert change.why == "3 of the last 6 calls within 20s failed (limit 50%)"


def test_slow_answers_trip_though_none_fails() -> None:
    """A dependency that only drags is cut off as well."""
    breaker, clock = make()
    permits = [permitted(breaker) for _ in range(4)]
    clock.advance("5s")
    changes = [breaker.record(permit, "success") for permit in permits]
    assert changes[:3] == [None] * 3
    assert changes[3] is not None
    assert "were slow" in changes[3].why


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
    clock.advance("10s")

    async def attempt() -> Permit | Refusal:
        await asyncio.sleep(0)
        return breaker.allow()

    answers = await asyncio.gather(*(attempt() for _ in range(1000)))
    permits = [answer for answer in answers if isinstance(answer, Permit)]
    assert len(permits) == probes
    assert all(answer.retry_after == 10.0 for answer in answers if isinstance(answer, Refusal))
    assert [permit.transition is not None for permit in permits] == [True] + [False] * (probes - 1)
    changes = [breaker.record(permit, "success") for permit in permits]
    assert [change is not None for change in changes] == [False] * (probes - 1) + [True]
    assert breaker.state == "closed"


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
    assert breaker.record(lost, "success") is not None
    assert breaker.state == "open"


def test_results_from_before_the_trip_are_too_old_to_judge_by() -> None:
    """Calls admitted while closed neither close nor reopen a circuit that has moved on since."""
    breaker, clock = make()
    early = [permitted(breaker) for _ in range(8)]
    trip(breaker)
    assert breaker.record(early[0], "success") is None
    clock.advance("10s")
    probe = permitted(breaker)
    assert [breaker.record(permit, "failure") for permit in early[1:4]] == [None] * 3
    assert breaker.state == "half_open"
    breaker.record(probe, "success")
    breaker.record(permitted(breaker), "success")
    assert [breaker.record(permit, "failure") for permit in early[4:]] == [None] * 4
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
    in_flight = permitted(breaker)
    change = breaker.isolate()
    assert change is not None
    assert breaker.isolate() is None
    clock.advance("1h")
    assert refused(breaker).retry_after is None
    assert breaker.record(in_flight, "success") is None
    assert breaker.snapshot().state == "isolated"
    assert breaker.reset() is not None
    assert breaker.reset() is None
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
    assert described["window"] == "30s"
    assert len(described) == 8
