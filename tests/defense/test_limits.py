"""Rate limits: what they promise, under any interleaving."""

import asyncio
import copy
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.exceptions import UsageLimitExceeded

from seawall.defense.limits import (
    Decision,
    KeyFunction,
    MemoryStore,
    Quota,
    RateLimit,
    RateLimited,
    Take,
    gcra,
    take_all,
)
from seawall.foundation.errors import ConfigError, Rejected
from seawall.foundation.principal import Principal
from seawall.testing import FakeClock

ANN = Principal("acme", "ann@example.org")
BOB = Principal("acme", "bob@example.org")


NAMELESS: KeyFunction = lambda _: "x"  # noqa: E731  the case in point is a function without a name


def by_region(principal: Principal) -> str:
    """Group tenants by the first letter of their name."""
    return principal.tenant[:1]


async def take(store: MemoryStore, limit: RateLimit, who: Principal, now: float, cost: int = 1) -> Decision:
    """Spend from one limit."""
    decision = await take_all(store, [limit], who, now, cost)
    assert decision is not None
    return decision


@settings(deadline=None)
@given(
    limit=st.integers(1, 50),
    period=st.sampled_from([0.1, 1.0, 7.0, 60.0]),
    burst=st.integers(1, 60),
    arrivals=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), min_size=1, max_size=60),
)
def test_gcra_never_admits_more_than_burst_and_rate_in_any_window(
    limit: int, period: float, burst: int, arrivals: list[tuple[float, int]]
) -> None:
    """Between any two admissions, however far apart, the units admitted stay within burst + t / interval."""
    quota = Quota.of(limit, period, burst)
    now = tat = 1_000_000_000_000
    admitted: list[tuple[int, int]] = []
    for gap, cost in arrivals:
        now += int(gap * quota.interval)
        verdict = gcra(tat, now, quota, cost)
        if verdict.ok:
            tat = verdict.tat
            admitted.append((now, cost))
    for first, (begin, _) in enumerate(admitted):
        total = 0
        for end, cost in admitted[first:]:
            total += cost
            assert total * quota.interval <= burst * quota.interval + (end - begin)


@settings(deadline=None)
@given(
    limit=st.integers(1, 1000), burst=st.integers(1, 100), spent=st.integers(0, 300), cost=st.integers(1, 100)
)
def test_whoever_waits_as_told_is_admitted_and_not_a_millisecond_sooner(
    limit: int, burst: int, spent: int, cost: int
) -> None:
    """The wait of a refusal is enough, even through a float of epoch size, and is not padded."""

    async def scenario() -> None:
        clock, store = FakeClock(monotonic=1_700_000_000.1), MemoryStore()
        rate = RateLimit(limit, "1m", key="everyone", burst=burst)
        for _ in range(spent):
            await take(store, rate, ANN, clock.monotonic())
        first = await take(store, rate, ANN, clock.monotonic(), cost)
        if cost > burst:
            assert first.retry_after is None
        elif not first.ok:
            assert first.retry_after is not None
            early = clock.monotonic() + first.retry_after - 0.001
            assert first.retry_after < 0.001 or not (await take(store, rate, ANN, early, cost)).ok
            clock.advance(first.retry_after)
            assert (await take(store, rate, ANN, clock.monotonic(), cost)).ok

    asyncio.run(scenario())


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([ANN, BOB]), st.integers(0, 3), st.integers(0, 4)), max_size=60))
def test_several_limits_are_taken_together_or_not_at_all(steps: list[tuple[Principal, int, int]]) -> None:
    """After any history each bucket stands where it would had only the admitted requests existed."""
    limits = [
        RateLimit(4, "10s"),
        RateLimit(6, "10s", key="tenant"),
        RateLimit(3, "5s", key="everyone", burst=5),
    ]

    async def scenario() -> None:
        clock, together = FakeClock(), MemoryStore()
        apart = [MemoryStore() for _ in limits]
        for who, cost, gap in steps:
            clock.advance(float(gap))
            now = clock.monotonic()
            looks = [
                await take(store, limit, who, now, 0) for store, limit in zip(apart, limits, strict=True)
            ]
            fits = all(look.remaining >= cost for look in looks)
            decision = await take_all(together, limits, who, now, cost)
            assert decision is not None
            assert decision.ok == fits
            if fits:
                for store, limit in zip(apart, limits, strict=True):
                    assert (await take(store, limit, who, now, cost)).ok

    asyncio.run(scenario())


async def test_the_limit_that_holds_longest_speaks_for_all() -> None:
    """Of several that refuse, whichever order they come in, the caller is told the longest wait."""
    limits = [
        RateLimit(1, "1h", name="hour"),
        RateLimit(1, "1m", name="minute"),
        RateLimit(1, "2m", name="two"),
    ]
    for order in (limits, limits[::-1]):
        store = MemoryStore()
        await take_all(store, order, ANN, 0.0)
        refused = await take_all(store, order, ANN, 0.0)
        assert refused is not None
        assert (refused.ok, refused.name, refused.retry_after) == (False, "hour", pytest.approx(3600))


@pytest.mark.parametrize(("limit", "period"), [(7, 1.0), (3, 10.0), (999_999, 1.0), (11, 86_400.0)])
def test_a_period_that_does_not_divide_is_never_rounded_in_the_callers_favour(
    limit: int, period: float
) -> None:
    """The limit's units, one after the other, take at least the period, and at most a thousandth more."""
    taken = Quota.of(limit, period, 1).interval * limit / 1e9
    assert period <= taken <= period * 1.0011


async def test_one_bucket_asked_for_twice_in_one_take_counts_twice() -> None:
    """Two requests on the same bucket in one call cannot both spend its last unit."""
    store, limit = MemoryStore(), RateLimit(1, "1m")
    assert not (await store.take([limit.take(ANN), limit.take(ANN)], 0.0)).ok
    assert (await take(store, limit, ANN, 0.0)).ok


async def test_concurrent_tasks_share_exactly_the_burst() -> None:
    """A thousand tasks on one event loop get the burst between them, to the unit."""
    store, limit = MemoryStore(), RateLimit(60, "1m", key="tenant", burst=25)
    decisions = await asyncio.gather(*(take(store, limit, ANN, 5.0) for _ in range(1000)))
    assert sum(decision.ok for decision in decisions) == 25


async def test_keys_keep_callers_apart_as_they_say() -> None:
    """Subject, tenant, everyone and a named function each draw their own line."""
    store, twin = MemoryStore(), Principal("beta", ANN.subject)
    for key, expected in (("subject", [1, 1, 1]), ("tenant", [1, 0, 1]), ("everyone", [1, 0, 0])):
        limit = RateLimit(1, "1m", key=key)  # pyright: ignore[reportArgumentType]
        assert [(await take(store, limit, who, 0.0)).ok for who in (ANN, BOB, twin)] == [
            bool(x) for x in expected
        ]
    region = RateLimit(1, "1m", key=by_region)
    assert [(await take(store, region, who, 0.0)).ok for who in (ANN, Principal("apex", "x"), twin)] == [
        1,
        0,
        1,
    ]


async def test_a_subject_cannot_pose_as_another_tenants() -> None:
    """Tenant and subject are joined so that moving letters between them makes a different key."""
    store, limit = MemoryStore(), RateLimit(1, "1m")
    assert (await take(store, limit, Principal("a", "bc"), 0.0)).ok
    assert (await take(store, limit, Principal("ab", "c"), 0.0)).ok


async def test_a_full_store_refuses_strangers_serves_the_known_and_recovers() -> None:
    """At its bound the store never forgets a live bucket, and takes new ones as soon as an old one is unused again."""
    store, limit = MemoryStore(max_keys=10), RateLimit(2, "20s")
    callers = [Principal("t", f"s{number}") for number in range(11)]
    for who in callers[:10]:
        assert (await take(store, limit, who, 100.0)).ok
    refused = await take(store, limit, callers[10], 101.0)
    assert (refused.ok, refused.retry_after, store.full_refusals, len(store)) == (
        False,
        pytest.approx(9, abs=1e-3),
        1,
        10,
    )
    assert refused.store_full
    assert str(RateLimited(refused)).endswith(
        "its store counts as many callers as it can hold; try again in 9 s"
    )
    assert (await take(store, limit, callers[0], 101.0)).ok
    assert not (await take(store, limit, callers[0], 101.0)).ok
    assert (await take(store, limit, callers[10], 101.0 + 9.1)).ok


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=120))
def test_the_store_stays_within_its_bound_and_forgetting_changes_no_decision(
    steps: list[tuple[int, int]],
) -> None:
    """A store of eight keys decides as an endless one does, except that it may refuse a key it does not know."""

    async def scenario() -> None:
        small, endless, limit, now = MemoryStore(max_keys=8), MemoryStore(), RateLimit(2, "4s"), 50.0
        for subject, gap in steps:
            now += gap
            who = Principal("t", f"s{subject}")
            full = small.full_refusals
            got = await take(small, limit, who, now)
            assert len(small) <= 8
            if small.full_refusals == full:
                assert got == await take(endless, limit, who, now)

    asyncio.run(scenario())


async def test_an_idle_store_empties_itself_a_few_keys_a_call() -> None:
    """Unused buckets go away without a sweep: each take clears at most two."""
    store, limit = MemoryStore(), RateLimit(10, "1s")
    for number in range(100):
        await take(store, limit, Principal("t", f"s{number}"), 0.0)
    for call in range(1, 50):
        await take(store, limit, ANN, 1_000.0 + call / 1000)
        assert len(store) == 100 - 2 * call + 1


async def test_no_caller_is_named_in_what_is_stored_or_shown() -> None:
    """Keys are digests; the text of a request, a decision and a refusal holds the limit's name alone."""
    store, limit = MemoryStore(), RateLimit(1, "1m")
    await take(store, limit, ANN, 0.0)
    refused = await take(store, limit, ANN, 0.0)
    shown = f"{limit.take(ANN)!r} {refused!r} {RateLimited(refused)} {limit.describe()} {vars(store)!r}"
    assert "ann" not in shown
    assert "acme" not in shown
    other = MemoryStore()
    await take(other, limit, ANN, 0.0)
    assert vars(store)["_states"].keys().isdisjoint(vars(other)["_states"])


async def test_time_running_back_never_lets_anyone_through_early() -> None:
    """A clock that jumps back by an hour keeps a spent bucket spent."""
    store, limit = MemoryStore(), RateLimit(1, "1s")
    assert (await take(store, limit, ANN, 10_000.0)).ok
    assert not (await take(store, limit, ANN, 6_400.0)).ok


async def test_a_refusal_says_what_to_do_and_is_what_pydantic_ai_callers_catch() -> None:
    """RateLimited is Rejected and UsageLimitExceeded, carries its decision and survives a copy."""
    decision = Decision(False, 60, 0, 2.5, 60.0, "60 per 1m by subject")
    error = copy.copy(RateLimited(decision))
    assert isinstance(error, Rejected)
    assert isinstance(error, UsageLimitExceeded)
    assert (error.by, error.retry_after, error.decision) == ("rate limit", 2.5, decision)
    assert str(error) == "rate limit '60 per 1m by subject' reached: 0 left; try again in 2.5 s"
    assert "split it" in str(RateLimited(Decision(False, 60, 9, None, 1.0, "x")))


def test_a_limit_describes_itself_as_plain_data() -> None:
    """The description can be printed and compared."""
    assert RateLimit(60, "1m", key=by_region, burst=5).describe() == {
        "name": "60 per 1m by by_region",
        "limit": 60,
        "of": "requests",
        "per": "1m",
        "burst": 5,
        "key": "by_region",
    }
    assert RateLimit(2, timedelta(seconds=3), name="slow").describe()["per"] == "0:00:03"


WRONG: list[dict[str, object]] = [
    {"limit": 0},
    {"limit": 1.5},
    {"limit": True},
    {"per": "soon"},
    {"burst": 0},
    {"key": "planet"},
    {"key": NAMELESS},
    {"limit": 20_000_000, "per": "1s"},
]


@pytest.mark.parametrize("arguments", WRONG, ids=range(len(WRONG)))
def test_a_limit_that_cannot_hold_is_refused_at_construction(arguments: dict[str, object]) -> None:
    """A mistake shows when the policy is written, not under load."""
    given_arguments: dict[str, object] = {"limit": 1, "per": "1s", **arguments}
    with pytest.raises(ConfigError):
        RateLimit(**given_arguments)  # pyright: ignore[reportArgumentType]


async def test_misuse_of_a_store_is_told() -> None:
    """No request, a negative cost and a store of no keys are mistakes, not decisions."""
    with pytest.raises(ConfigError, match="at least one"):
        await MemoryStore().take([], 0.0)
    with pytest.raises(ConfigError, match="cost -1"):
        Take("k", Quota.of(1, 1.0, 1), "n", cost=-1)
    with pytest.raises(ConfigError, match="max_keys=0"):
        MemoryStore(max_keys=0)
    assert await take_all(MemoryStore(), [], ANN, 0.0) is None
