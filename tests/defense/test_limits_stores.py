"""Every store of counters keeps the same promises: memory and a real Redis, turned by the same clock."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import seawall.defense.limits.redis_store as shared
from seawall.defense.limits import CounterStore, MemoryStore, Quota, Receipt, RedisStore, Take, Window
from seawall.defense.limits.redis_script import CLOCK, SETTLE, TAKE
from seawall.foundation.errors import ConfigError
from seawall.foundation.storage.redis import RedisScripts, Script
from tests.redis_server import RedisServer

# The scripts as they are, but for the clock, which a test turns.
TURNED = "local now = tonumber(redis.call('GET', 'now'))\n"
SET_CLOCK = Script("redis.call('SET', 'now', ARGV[1])")
START = 1_700_000_000
BUCKET, WINDOW = Quota.of(10, 100.0, 10), Window.of(10, 100.0, 5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for the whole file."""
    running = RedisServer(Path(tmp_path_factory.mktemp("redis")))
    running.start()
    yield running
    running.kill()


@pytest.fixture(autouse=True)
def turned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the scripts the test's clock."""
    monkeypatch.setattr(shared, "TAKE", Script(TAKE.text.replace(CLOCK, TURNED)))
    monkeypatch.setattr(shared, "SETTLE", Script(SETTLE.text.replace(CLOCK, TURNED)))


class Bench:
    """A store and its clock."""

    def __init__(self, store: CounterStore, scripts: RedisScripts | None) -> None:
        self.store = store
        self.now = float(START)
        self._scripts = scripts

    async def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        if self._scripts is not None:
            await self._scripts.run(SET_CLOCK, [], [round(self.now * 1_000_000)])

    async def takes(self, rule: Quota | Window, cost: int = 1, key: str = "k") -> bool:
        """Spend from one bucket."""
        return (await self.store.take([Take(key, rule, "n", cost)], self.now)).ok


def redis_bench(scripts: RedisScripts) -> Bench:
    """Make a bench on a namespace of its own."""
    store = RedisStore(
        scripts, secret=b"s" * 32, on_store_error="closed", namespace=f"t{secrets.token_hex(8)}"
    )
    return Bench(store, scripts)


@pytest.fixture(params=["memory", "redis"])
async def bench(request: pytest.FixtureRequest, server: RedisServer) -> AsyncIterator[Bench]:
    """Give each kind of store in turn."""
    if request.param == "memory":
        yield Bench(MemoryStore(), None)
        return
    scripts = RedisScripts(server.url, timeout="5s")
    made = redis_bench(scripts)
    await made.turn(0)
    yield made
    await scripts.aclose()


@pytest.mark.parametrize("rule", [BUCKET, WINDOW], ids=["bucket", "window"])
async def test_the_burst_passes_to_the_unit(bench: Bench, rule: Quota | Window) -> None:
    """Of thirty that ask at once, ten pass."""
    oks = await asyncio.gather(*(bench.takes(rule) for _ in range(30)))
    assert sum(oks) == 10


async def test_a_bucket_earns_back_and_a_window_opens_again(bench: Bench) -> None:
    """A bucket gives a unit each ten seconds; a window gives all of them once they are a period and a slice old."""
    for rule, key in ((BUCKET, "b"), (WINDOW, "w")):
        assert await bench.takes(rule, 10, key)
    await bench.turn(20)
    assert [await bench.takes(BUCKET, 1, "b") for _ in range(3)] == [True, True, False]
    assert not await bench.takes(WINDOW, 1, "w")
    await bench.turn(100)
    assert await bench.takes(WINDOW, 10, "w")


@pytest.mark.parametrize("rule", [BUCKET, WINDOW], ids=["bucket", "window"])
async def test_all_or_nothing(bench: Bench, rule: Quota | Window) -> None:
    """Where one bucket refuses, the others stay as they were; one bucket asked for twice counts twice."""
    assert await bench.takes(rule, 8, "spent")
    both = [Take("fresh", rule, "n", 5), Take("spent", rule, "n", 5)]
    refused = await bench.store.take(both, bench.now)
    assert (refused.ok, refused.remaining) == (False, 2)
    assert await bench.takes(rule, 10, "fresh")
    twice = [Take("twice", rule, "n", 6), Take("twice", rule, "n", 6)]
    assert not (await bench.store.take(twice, bench.now)).ok
    assert await bench.takes(rule, 10, "twice")


@pytest.mark.parametrize("rule", [BUCKET, WINDOW], ids=["bucket", "window"])
async def test_the_numbers_of_a_decision(bench: Bench, rule: Quota | Window) -> None:
    """Remaining, wait and reset are told alike; what can never pass has no wait; a look spends nothing."""
    first = await bench.store.take([Take("k", rule, "n", 4)], bench.now)
    assert (first.ok, first.limit, first.remaining, first.retry_after, first.name) == (True, 10, 6, 0.0, "n")
    refused = await bench.store.take([Take("k", rule, "n", 7)], bench.now)
    assert (refused.ok, refused.remaining) == (False, 6)
    assert refused.retry_after == pytest.approx(10 if rule is BUCKET else 120, abs=1e-3)
    assert refused.reset_after == pytest.approx(40 if rule is BUCKET else 120, abs=1e-3)
    never = await bench.store.take([Take("k", rule, "n", 10**15)], bench.now)
    assert (never.ok, never.retry_after) == (False, None)
    look = await bench.store.take([Take("k", rule, "n", 0)], bench.now)
    assert (look.ok, look.remaining) == (True, 6)


@pytest.mark.parametrize("rule", [BUCKET, WINDOW], ids=["bucket", "window"])
async def test_settling_gives_back_once(bench: Bench, rule: Quota | Window) -> None:
    """What was not used is there again; settling a second time changes nothing; beyond is charged as debt."""
    held = await bench.store.reserve([Take("k", rule, "n", 10)], bench.now)
    assert held.receipt is not None
    assert not await bench.takes(rule)
    for _ in range(2):
        assert await bench.store.settle(held.receipt, [3], bench.now)
    held.receipt.open = True  # as after an answer that was lost; a store that shares must still know
    if isinstance(bench.store, RedisStore):
        assert await bench.store.settle(held.receipt, [0], bench.now)
    assert [await bench.takes(rule, 7), await bench.takes(rule, 1)] == [True, False]
    debt = await bench.store.reserve([Take("debt", rule, "n", 1)], bench.now)
    assert debt.receipt is not None
    assert await bench.store.settle(debt.receipt, [15], bench.now)
    refused = await bench.store.take([Take("debt", rule, "n", 1)], bench.now)
    assert (refused.ok, refused.remaining) == (False, 0)
    assert refused.retry_after == pytest.approx(60 if rule is BUCKET else 120, abs=1e-3)


async def reserved(bench: Bench, cost: int) -> Receipt:
    """Set units of the bucket aside."""
    decision = await bench.store.reserve([Take("k", BUCKET, "n", cost)], bench.now)
    assert decision.receipt is not None
    return decision.receipt


async def test_giving_back_never_gives_what_time_gave_already(bench: Bench) -> None:
    """Ten units are reserved, earned back and spent by another: releasing them then gives nothing."""
    held = await reserved(bench, 10)
    await bench.turn(100)
    assert await bench.takes(BUCKET, 10)
    await bench.store.settle(held, [0], bench.now)
    assert not await bench.takes(BUCKET)


async def test_a_reservation_moved_forward_is_given_back_no_more_than_lies_ahead(bench: Bench) -> None:
    """One reservation is given back, which brings the next one forward; half a minute later that one is earned back."""
    first, second, _ = [await reserved(bench, cost) for cost in (5, 4, 1)]
    await bench.store.settle(first, [0], bench.now)
    await bench.turn(40)
    assert await bench.takes(BUCKET, 9)
    await bench.store.settle(second, [0], bench.now)
    assert not await bench.takes(BUCKET)


async def test_a_reservation_of_an_earlier_busy_time_gives_nothing_back(bench: Bench) -> None:
    """Between reservation and release the bucket was unused for a moment: what it holds now was taken since."""
    first, second = [await reserved(bench, 5) for _ in range(2)]
    await bench.store.settle(first, [0], bench.now)
    await bench.turn(50)
    assert await bench.takes(BUCKET, 10)
    await bench.store.settle(second, [0], bench.now)
    assert not await bench.takes(BUCKET)


async def test_misuse_is_told(bench: Bench) -> None:
    """No request, and a settlement that does not fit, are mistakes."""
    with pytest.raises(ConfigError, match="at least one"):
        await bench.store.take([], bench.now)
    held = await bench.store.reserve([Take("k", BUCKET, "n")], bench.now)
    assert held.receipt is not None
    with pytest.raises(ConfigError, match="settle"):
        await bench.store.settle(held.receipt, [1, 2], bench.now)


RULES = [BUCKET, WINDOW, Quota.of(3, 30.0, 5), Window.of(4, 60.0, 3)]
ASKED = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.integers(0, 6)), min_size=1, max_size=3
)
STEP = st.one_of(
    st.tuples(st.just("take"), ASKED),
    st.tuples(st.just("reserve"), ASKED),
    st.tuples(st.just("settle"), st.tuples(st.integers(0, 9), st.integers(0, 9))),
    st.tuples(st.just("wait"), st.sampled_from([0.000001, 0.5, 5.0, 20.0, 70.0])),
)


@settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEP, max_size=40))
def test_redis_decides_as_memory_does(server: RedisServer, steps: list[tuple[str, Any]]) -> None:
    """Over any history of takes, reservations, settlements and waits, both stores give the same decisions."""

    async def scenario() -> None:
        scripts = RedisScripts(server.url, timeout="5s")
        benches = [Bench(MemoryStore(), None), redis_bench(scripts)]
        held: tuple[list[Receipt], list[Receipt]] = ([], [])
        try:
            for bench in benches:
                await bench.turn(0)
            for kind, what in steps:
                answers = [
                    await play(bench, mine, kind, what) for bench, mine in zip(benches, held, strict=True)
                ]
                assert answers[0] == answers[1]
        finally:
            await scripts.aclose()

    asyncio.run(scenario())


async def play(bench: Bench, held: list[Receipt], kind: str, what: Any) -> object:
    """Do one step, and return what is to be compared."""
    if kind == "wait":
        return await bench.turn(what)
    if kind == "settle":
        which, used = int(what[0]), int(what[1])
        if not held:
            return None
        receipt = held[which % len(held)]
        return await bench.store.settle(receipt, [used] * len(receipt.taken), bench.now)
    asked: list[tuple[int, str, int]] = what
    requests = [Take(f"{rule}{key}", RULES[rule], f"{rule}", cost) for rule, key, cost in asked]
    decision = await (bench.store.take if kind == "take" else bench.store.reserve)(requests, bench.now)
    if decision.receipt is not None:
        held.append(decision.receipt)
    wait = None if decision.retry_after is None else round(decision.retry_after, 4)
    return decision.ok, decision.name, decision.remaining, wait, round(decision.reset_after, 4)
