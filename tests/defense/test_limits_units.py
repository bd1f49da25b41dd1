"""What limits count and whom they count apart."""

import copy
import pickle
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.defense.limits import (
    Caller,
    Decision,
    Limit,
    MemoryStore,
    RateLimit,
    RateLimited,
    SlidingWindow,
    Spend,
    take_all,
)
from seawall.foundation.errors import ConfigError
from seawall.foundation.principal import Principal

ANN = Principal("acme", "ann@example.org")


def by_model(caller: Caller) -> str:
    """Count by agent within a tenant."""
    return f"{caller.tenant}/{caller.agent}" if caller.agent else ""


async def passes(store: MemoryStore, limit: Limit, who: Principal, cost: int | Spend = 1) -> bool:
    """Spend from one limit."""
    decision = await take_all(store, [limit], who, 0.0, cost)
    assert decision is not None
    return decision.ok


@given(st.decimals(min_value=0, max_value=10**6, allow_nan=False, places=9))
def test_dollars_are_counted_in_whole_micro_dollars_rounded_up(dollars: Decimal) -> None:
    """No cost is ever counted as less than it is, nor as a micro-dollar more."""
    units = Spend(usd=dollars).units("usd")
    assert 0 <= Fraction(units, 10**6) - Fraction(dollars) < Fraction(1, 10**6)


async def test_a_thousand_tenths_of_a_cent_are_a_dollar_exactly() -> None:
    """Sums do not drift: a thousand takes of a tenth of a cent spend a dollar, and the next is refused."""
    store, limit = MemoryStore(), RateLimit("1.00", "1d", of="usd")
    assert [await passes(store, limit, ANN, Spend(usd="0.001")) for _ in range(1001)] == [True] * 1000 + [
        False
    ]


WRONG_SPENDS: list[dict[str, object]] = [
    {"usd": 0.1},
    {"usd": 0.0},
    {"usd": "a lot"},
    {"usd": "NaN"},
    {"usd": "Infinity"},
    {"usd": "-0.01"},
    {"usd": "1e999999"},
    {"usd": True},
    {"tokens": -1},
    {"tokens": 1.5},
    {"requests": True},
    {"tool_calls": 10**16},
]


@pytest.mark.parametrize("amounts", WRONG_SPENDS, ids=range(len(WRONG_SPENDS)))
def test_amounts_that_cannot_be_counted_are_refused(amounts: dict[str, object]) -> None:
    """Floats, texts that are no number, endless and negative amounts never reach a counter."""
    with pytest.raises(ConfigError):
        Spend(**amounts)  # pyright: ignore[reportArgumentType]


def test_a_vanishing_cost_still_counts_and_costs_no_time() -> None:
    """A cost under a micro-dollar counts as one, however many digits it would take to write out."""
    assert Spend(usd="1e-999999").units("usd") == 1
    assert Spend(usd=Decimal("0E-9")).units("usd") == 0


WRONG_LIMITS: list[dict[str, object]] = [
    {"limit": "5.00"},
    {"limit": 0.5, "of": "usd"},
    {"limit": "0", "of": "usd"},
    {"limit": "0.0000001", "of": "usd"},
    {"limit": "1.0000001", "of": "usd"},
    {"limit": True, "of": "usd"},
    {"limit": 10**16},
    {"limit": 5, "of": "bananas"},
    {"limit": 5, "of": "usd", "burst": "-1"},
]


@pytest.mark.parametrize("arguments", WRONG_LIMITS, ids=range(len(WRONG_LIMITS)))
def test_a_limit_on_what_is_not_counted_is_refused(arguments: dict[str, object]) -> None:
    """A unit nobody counts and dollars that are no whole micro-dollars show when the limit is written."""
    with pytest.raises(ConfigError):
        RateLimit(per="1h", **arguments)  # pyright: ignore[reportArgumentType]


async def test_each_limit_takes_its_own_unit() -> None:
    """Of one spend, requests, tokens and tool calls go to their limits; where none is spent, no limit is asked."""
    limits = [
        RateLimit(5, "1h", name="asks"),
        RateLimit(100, "1h", of="tokens", name="tokens"),
        SlidingWindow(3, "1h", of="tool_calls", name="tools"),
    ]
    store = MemoryStore()
    first = await take_all(store, limits, ANN, 0.0, Spend(tokens=40, tool_calls=3))
    assert first is not None
    assert (first.ok, first.name, first.of) == (True, "tools", "tool_calls")
    assert await take_all(store, limits, ANN, 0.0) is not None
    looks = [await take_all(store, [limit], ANN, 0.0, 0) for limit in limits]
    assert [look.remaining for look in looks if look] == [3, 60, 0]
    assert await take_all(store, limits[1:], ANN, 0.0) is None
    assert await take_all(store, limits, ANN, 0.0, Spend(requests=0)) is None


async def test_agents_addresses_keys_and_functions_draw_their_lines() -> None:
    """Whoever differs in what a limit counts by has a bucket of their own, and nobody else has."""
    base = {"agent": "reviewer", "ip": "192.0.2.7", "api_key": "k1"}
    for key in ("agent", "ip", "api_key", by_model):
        store, limit = MemoryStore(), RateLimit(1, "1h", key=key)  # pyright: ignore[reportArgumentType]
        part = key if isinstance(key, str) else "agent"
        other = {**base, part: {"agent": "drafter", "ip": "192.0.2.8", "api_key": "k2"}[part]}
        callers = [Caller.of(ANN, **base), Caller.of(ANN, **base), Caller.of(ANN, **other)]
        assert [await passes(store, limit, who) for who in callers] == [True, False, True]


async def test_a_caller_counts_as_its_principal() -> None:
    """Knowing more of a caller gives it no second bucket by subject."""
    store, limit = MemoryStore(), RateLimit(1, "1h")
    assert await passes(store, limit, ANN)
    assert not await passes(store, limit, Caller.of(ANN, agent="reviewer"))


async def test_an_address_counts_with_the_network_its_owner_rules() -> None:
    """All of a version 6 /64 is one caller, the next /64 another; a mapped version 4 address is that address."""
    store, limit = MemoryStore(), RateLimit(1, "1h", key="ip")
    seen = [
        "2001:db8::1",
        "2001:db8::ffff:1",
        "2001:db8:0:1::1",
        "192.0.2.7",
        "::ffff:192.0.2.7",
        "192.0.2.9",
    ]
    got = [await passes(store, limit, Caller.of(ANN, ip=ip)) for ip in seen]
    assert got == [True, False, True, True, False, True]


@pytest.mark.parametrize("key", ["ip", "agent", "api_key", by_model])
async def test_a_caller_without_the_key_is_never_let_through_uncounted(key: str) -> None:
    """Where the address, the agent or the key is not known, asking is a mistake that says so."""
    with pytest.raises(ConfigError, match="this caller has none"):
        await passes(MemoryStore(), RateLimit(1, "1h", key=key), ANN)  # pyright: ignore[reportArgumentType]


async def test_what_is_no_address_is_refused_and_not_repeated() -> None:
    """A port, a name or rubbish in the place of an address is a mistake; the text does not show it."""
    for wrong in ("192.0.2.7:443", "example.org", "10.0.0.1, 192.0.2.7"):
        with pytest.raises(ConfigError) as told:
            await passes(MemoryStore(), RateLimit(1, "1h", key="ip"), Caller.of(ANN, ip=wrong))
        assert wrong not in str(told.value)


def test_a_caller_prints_neither_address_nor_api_key() -> None:
    """What could open a door or name a person's line stays out of logs."""
    shown = repr(Caller.of(ANN, agent="reviewer", ip="192.0.2.7", api_key="sk-1"))
    assert "reviewer" in shown
    assert "192.0.2.7" not in shown
    assert "sk-1" not in shown


def test_a_limit_survives_copying_and_the_way_to_another_process() -> None:
    """A limit, whatever its key, means the same after a round trip."""
    for limit in (
        RateLimit(5, "1h"),
        SlidingWindow("2.5", "1h", key="ip", of="usd"),
        RateLimit(1, "1h", key=by_model),
    ):
        for twin in (copy.deepcopy(limit), pickle.loads(pickle.dumps(limit))):
            caller = Caller.of(ANN, agent="reviewer", ip="192.0.2.7")
            assert twin == limit
            assert twin.take(caller) == limit.take(caller)


def test_refusals_speak_in_the_limits_unit() -> None:
    """Dollars are told as dollars, tokens as tokens, and a decision without the store says so."""

    def told(of: str, remaining: int, *, degraded: bool = False) -> str:
        return str(RateLimited(Decision(False, 9, remaining, 2.0, 9.0, "n", degraded=degraded, of=of)))  # pyright: ignore[reportArgumentType]

    assert "reached: 0.0125 usd left; try again in 2 s" in told("usd", 12_500)
    assert "reached: 40 tokens left" in told("tokens", 40)
    assert "shared store gives no answer" in told("requests", 0, degraded=True)
    assert RateLimit("5.00", "1h", of="usd", burst="0.5").describe() == {
        "name": "5.00 usd per 1h by subject",
        "limit": "5.00",
        "of": "usd",
        "per": "1h",
        "key": "subject",
        "burst": 500_000,
    }
