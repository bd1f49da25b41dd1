"""Reserve, settle, release: what is given back never lets anyone over the limit."""

from collections.abc import Coroutine
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from seawall.defense.limits import (
    MemoryStore,
    Quota,
    RateLimit,
    Receipt,
    SlidingWindow,
    Spend,
    Take,
    Window,
    reserve_all,
    take_all,
)
from seawall.foundation.errors import ConfigError
from seawall.foundation.principal import Principal
from seawall.testing import FakeClock

ANN = Principal("acme", "ann@example.org")
T = TypeVar("T")


def now_of(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what awaits nothing, without the price of an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # pyright: ignore[reportReturnType]
    raise AssertionError("a memory store awaits nothing")


@dataclass
class Work:
    """One admitted reservation, as a naive book-keeper sees it."""

    at: float
    counts: int
    receipt: Receipt
    settled: bool = False


class Reserving(RuleBasedStateMachine):
    """Reserves, settles, releases, forgets and settles again, at any time; counts by hand what was really used.

    One unit is earned back each second, ten may be spent at once; the window allows ten in any ten seconds.
    """

    request: Take

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.now = 1_000.0
        self.works: list[Work] = []

    @rule(gap=st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.0, 20.0]))
    def wait(self, gap: float) -> None:
        """Let time pass."""
        self.now += gap

    @rule(estimate=st.integers(1, 10))
    def reserve(self, estimate: int) -> None:
        """Set units aside; until settled the estimate counts."""
        request = Take("key", self.request.quota, "n", estimate)
        decision = now_of(self.store.reserve([request], self.now))
        if decision.ok:
            assert decision.receipt is not None
            self.works.append(Work(self.now, estimate, decision.receipt))

    @precondition(lambda self: any(not work.settled for work in self.works))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Use no more than was reserved; whatever is given back may be spent by someone else."""
        work = data.draw(st.sampled_from([work for work in self.works if not work.settled]))
        work.counts = data.draw(st.integers(0, work.counts))
        work.settled = True
        assert now_of(self.store.settle(work.receipt, [work.counts], self.now))

    @precondition(lambda self: any(work.settled for work in self.works))
    @rule(data=st.data(), used=st.integers(0, 100))
    def settle_again(self, data: st.DataObject, used: int) -> None:
        """A second settlement, whatever it says, changes nothing."""
        work = data.draw(st.sampled_from([work for work in self.works if work.settled]))
        before = vars(self.store)["_states"].copy()
        assert now_of(self.store.settle(work.receipt, [used], self.now))
        assert vars(self.store)["_states"] == before

    @invariant()
    def what_was_used_is_within_the_limit(self) -> None:
        """Between any two admissions the units that count stay within the bound."""
        for first, begin in enumerate(self.works):
            total = 0
            for end in self.works[first:]:
                total += end.counts
                assert total <= self.bound(end.at - begin.at) or end.at - begin.at > 10.0

    def bound(self, seconds: float) -> float:
        """Give the most that may be admitted in so many seconds."""
        raise NotImplementedError


class ReservingFromABucket(Reserving):
    """The machine on a bucket; its bound holds for any time, so the invariant asks beyond ten seconds too."""

    request = Take("key", Quota.of(10, 10.0, 10), "n")

    @invariant()
    def what_was_used_is_within_the_limit(self) -> None:
        """In any time t, at most ten units and one a second."""
        for first, begin in enumerate(self.works):
            total = 0
            for end in self.works[first:]:
                total += end.counts
                assert total <= self.bound(end.at - begin.at)

    def bound(self, seconds: float) -> float:
        """Burst and rate."""
        return 10 + seconds


class ReservingFromAWindow(Reserving):
    """The machine on a strict window."""

    request = Take("key", Window.of(10, 10.0, 4), "n")

    def bound(self, seconds: float) -> float:
        """The limit, whatever the time."""
        return 10


TestBucketMachine = ReservingFromABucket.TestCase
TestBucketMachine.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)
TestWindowMachine = ReservingFromAWindow.TestCase
TestWindowMachine.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)


LIMITS = [
    RateLimit(2, "1h", name="asks"),
    RateLimit(1000, "1h", of="tokens", name="tokens"),
    SlidingWindow("1.50", "1h", key="tenant", of="usd", name="money"),
]


async def left(store: MemoryStore, clock: FakeClock) -> list[int]:
    """Look at each limit."""
    looks = [await take_all(store, [limit], ANN, clock.monotonic(), 0) for limit in LIMITS]
    return [look.remaining for look in looks if look is not None]


async def test_a_reservation_gives_back_what_the_work_did_not_use() -> None:
    """Requests, tokens and dollars each come back by their own difference, at once."""
    store, clock = MemoryStore(), FakeClock()
    work = await reserve_all(store, LIMITS, ANN, Spend(tokens=900, usd="1.20"), clock=clock)
    assert work.ok
    assert await left(store, clock) == [1, 100, 300_000]
    assert await work.settle(Spend(tokens=150, usd=Decimal("0.0123456")))
    assert await left(store, clock) == [1, 850, 1_487_654]
    assert await work.settle(Spend(tokens=0))
    assert await work.release()
    assert await left(store, clock) == [1, 850, 1_487_654]


async def test_work_that_used_more_than_reserved_is_charged() -> None:
    """What goes beyond the reservation is charged though it exceeds the limit, and holds the next caller back."""
    store, clock = MemoryStore(), FakeClock()
    work = await reserve_all(store, LIMITS, ANN, Spend(tokens=10), clock=clock)
    assert await work.settle(Spend(tokens=3000, usd=2))
    assert await left(store, clock) == [1, 0, 0]
    refused = await reserve_all(store, LIMITS, ANN, Spend(tokens=1), clock=clock)
    assert not refused.ok
    assert refused.decision is not None
    assert refused.decision.name == "tokens"
    assert refused.decision.retry_after == pytest.approx(2001 * 3.6)
    clock.advance("2.1h")
    assert (await reserve_all(store, LIMITS, ANN, Spend(tokens=1), clock=clock)).ok


async def test_released_work_leaves_no_trace_and_refused_work_takes_nothing() -> None:
    """A release gives everything back, the request too; a refusal by one limit leaves the others as they were."""
    store, clock = MemoryStore(), FakeClock()
    work = await reserve_all(store, LIMITS, ANN, Spend(tokens=1000, usd=1), clock=clock)
    refused = await reserve_all(store, LIMITS, ANN, Spend(tokens=1, usd=0), clock=clock)
    assert not refused.ok
    assert await left(store, clock) == [1, 0, 500_000]
    assert await refused.release()
    assert await work.release()
    assert await left(store, clock) == [2, 1000, 1_500_000]


async def test_work_that_dies_unsettled_is_earned_back_with_time() -> None:
    """A reservation nobody settles holds its units until the limit has earned them back, no longer."""
    store, clock = MemoryStore(), FakeClock()
    await reserve_all(store, LIMITS, ANN, Spend(tokens=1000, usd="1.5"), clock=clock)
    clock.advance("30m")
    assert await left(store, clock) == [2, 500, 0]
    clock.advance("34m")
    assert await left(store, clock) == [2, 1000, 1_500_000]


async def test_a_settlement_must_fit_its_reservation() -> None:
    """Another number of amounts, or an amount below nothing, is a mistake; without limits there is nothing to settle."""
    store, request = MemoryStore(), Take("key", Quota.of(1, 1.0, 1), "n")
    decision = await store.reserve([request], 0.0)
    assert decision.receipt is not None
    for used in ([], [1, 1], [-1]):
        with pytest.raises(ConfigError, match="settle"):
            await store.settle(decision.receipt, used, 0.0)
    nothing = await reserve_all(store, [], ANN, Spend())
    assert nothing.ok
    assert await nothing.settle(Spend(tokens=5))


async def test_a_charge_for_a_forgotten_bucket_never_grows_a_full_store() -> None:
    """Settling beyond the reservation in a store without room says so and keeps to the bound."""
    store, quota = MemoryStore(max_keys=1), Quota.of(1, 1.0, 1)
    held = await store.reserve([Take("a", quota, "n")], 0.0)
    assert held.receipt is not None
    assert (await store.take([Take("b", quota, "n")], 10.0)).ok
    assert not await store.settle(held.receipt, [50], 10.0)
    assert len(store) == 1
