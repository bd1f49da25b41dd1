"""Retries that cannot make a bad day worse: what they cost, how long they wait, and whose they are."""

import asyncio
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall import CircuitBreaker, Dependency, Protection, Retries
from seawall.defense.resilience import Allowance, Purse, RetryBudget, allow, current_allowance, spending
from seawall.foundation.errors import ConfigError
from seawall.testing import FakeClock

PAID = Retries(share=1.0, most=3, first="1ms", longest="10ms")


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, failures: int, error: type[Exception] = ConnectionResetError) -> None:
        self.failures = failures
        self.error = error
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise self.error
        return "here"


@given(
    share=st.sampled_from([0.0, 0.001, 0.1, 0.25, 1.0]),
    burst=st.integers(1, 12),
    steps=st.lists(st.booleans(), max_size=400),
)
def test_attempts_are_bounded_by_the_share_at_every_moment(
    share: float, burst: int, steps: list[bool]
) -> None:
    """Whatever the order of calls and retries: never more retries than the share of the calls so far, nor than the burst at once."""
    budget = RetryBudget(Retries(share=share, burst=burst))
    calls = retries = in_a_row = 0
    for is_call in steps:
        if is_call:
            calls, in_a_row = calls + 1, 0
            budget.deposit()
        elif budget.withdraw():
            retries, in_a_row = retries + 1, in_a_row + 1
        assert retries <= share * calls + 1e-9
        assert in_a_row <= burst
    assert budget.spent == retries


@given(tried=st.integers(1, 200), drawn=st.floats(0, 1, exclude_max=True))
def test_the_wait_is_jittered_fully_within_its_bounds(tried: int, drawn: float) -> None:
    """Between nothing and the first wait doubled, at most the longest."""
    budget = RetryBudget(Retries(first="100ms", longest="5s"), random=lambda: drawn)
    wait = budget.wait(tried, None)
    assert wait is not None
    assert 0 <= wait <= min(0.1 * 2 ** min(tried - 1, 60), 5.0)
    assert wait == pytest.approx(drawn * min(0.1 * 2 ** min(tried - 1, 60), 5.0))


def test_a_provider_is_taken_at_its_word() -> None:
    """Not before it said, and not at all where that is too long."""
    budget = RetryBudget(Retries(first="100ms", longest="5s"), random=lambda: 0.5)
    assert budget.wait(1, 3.0) == pytest.approx(3.05)
    assert budget.wait(1, 5.001) is None


async def test_a_storm_is_no_storm() -> None:
    """A thousand calls of something that always fails are at most 1,100 attempts, with the breaker out of the way."""
    never = CircuitBreaker(minimum_calls=10**6, last=None)
    dependency = Dependency(
        "tool down", Protection(breaker=never, retries=Retries(most=5, first="1ms", longest="1ms"))
    )
    down = Flaky(10**6)

    async def call() -> None:
        with pytest.raises(ConnectionResetError):
            await dependency.call(down, idempotent=True)

    for _ in range(20):
        await asyncio.gather(*(call() for _ in range(50)))
    assert 1000 < down.asked <= 1100


async def test_only_what_may_happen_twice_is_tried_again() -> None:
    """And only where another try may help."""
    for idempotent, error, asked in (
        (True, ConnectionResetError, 2),
        (False, ConnectionRefusedError, 1),
        (True, ValueError, 1),
    ):
        flaky = Flaky(1, error)
        dependency = Dependency("tool flaky", Protection(retries=PAID))
        if asked == 2:
            assert await dependency.call(flaky, idempotent=idempotent) == "here"
        else:
            with pytest.raises(error):
                await dependency.call(flaky, idempotent=idempotent)
        assert flaky.asked == asked


async def test_one_budget_a_request_however_much_it_asks() -> None:
    """Two retries in all, over all dependencies and however deep; outside of a request only the dependency's own counts."""
    dependencies = [Dependency(f"tool {name}", Protection(retries=PAID)) for name in "abc"]
    flaky = [Flaky(1) for _ in dependencies]
    with spending(allow("1h", retries=2)) as allowance:
        for dependency, one in zip(dependencies[:2], flaky, strict=False):
            assert await dependency.call(one, idempotent=True) == "here"
        assert allowance.purse.retries == 0
        with spending(allow("1h", retries=100)), pytest.raises(ConnectionResetError):
            await dependencies[2].call(flaky[2], idempotent=True)
    assert current_allowance() is None
    assert await dependencies[2].call(Flaky(1), idempotent=True) == "here"


async def test_nothing_is_tried_again_past_the_deadline() -> None:
    """Where the wait is longer than what is left, the error comes at once, and nothing is paid."""
    clock = FakeClock()
    terms = Protection(retries=Retries(share=1.0, first="10s", longest="10s"))
    dependency = Dependency("tool slow", terms, clock=clock)
    flaky = Flaky(1)
    allowance = Allowance(clock.monotonic() + 1e-9, Purse(5))
    with spending(allowance), pytest.raises(ConnectionResetError):
        await dependency.call(flaky, idempotent=True)
    assert (flaky.asked, allowance.purse.retries, dependency.budget.spent) == (1, 5, 0)


async def test_a_call_that_opened_its_circuit_is_not_tried_again() -> None:
    """It would be refused; the next model, or the caller, is told at once what happened."""
    dependency = Dependency("tool down", Protection(breaker=CircuitBreaker(minimum_calls=1), retries=PAID))
    flaky = Flaky(1)
    with pytest.raises(ConnectionResetError):
        await dependency.call(flaky, idempotent=True)
    assert (flaky.asked, dependency.budget.spent) == (1, 0)


@given(
    outer=st.floats(0, 100), inner=st.floats(0, 100), retries=st.tuples(st.integers(0, 9), st.integers(0, 9))
)
def test_a_request_within_a_request_begins_nothing_anew(
    outer: float, inner: float, retries: tuple[int, int]
) -> None:
    """Never later than the outer one, and the tries are the outer one's."""
    clock = FakeClock()
    with spending(allow(f"{outer + 0.001}s", retries=retries[0], clock=clock)) as first:
        second = allow(f"{inner + 0.001}s", retries=retries[1], clock=clock)
        assert second.until == pytest.approx(min(first.until, clock.monotonic() + inner + 0.001))
        assert second.until <= first.until
        assert second.purse is first.purse
        assert allow(None).until == first.until
    assert allow(None).until == inf


@pytest.mark.parametrize(
    "wrong", [{"most": -1}, {"share": 1.1}, {"share": -0.1}, {"burst": 0}, {"first": "6s", "longest": "5s"}]
)
def test_what_cannot_hold_is_refused(wrong: dict[str, object]) -> None:
    """At construction, with what would do."""
    with pytest.raises(ConfigError, match="Retries"):
        Retries(**wrong)  # type: ignore[arg-type]
