"""Trust shared through a real Redis: the same answers as one process, by every process, through every failure."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seawall.defense.abuse import Abuse, Ladder, MemoryTrust, RedisTrust, Standing, Tenant
from seawall.foundation.errors import ConfigError, StoreError
from seawall.foundation.events import Event, EventBus, TrustChanged
from seawall.foundation.principal import Principal
from seawall.foundation.storage.redis import RedisScripts
from seawall.testing import FakeClock
from tests.redis_server import RedisServer

SECRET = b"a secret of this test, and of no more"
ANN, BOB = Principal("acme", "ann@example.org"), Principal("acme", "bob")
ATTACK = bytes(range(48))


# Each example starts with nothing.
SPACES = count()


class Told(list[TrustChanged]):
    """Events kept."""

    def bus(self) -> EventBus:
        return EventBus(self.note)

    def note(self, event: Event) -> None:
        assert isinstance(event, TrustChanged)
        self.append(event)


class Process:
    """What one process has: its own connections, copy and events."""

    def __init__(self, server: RedisServer, policy: Abuse | None = None, space: str = "t") -> None:
        self.told = Told()
        self.clock = FakeClock()
        # Generous, so that a busy machine does not look like an outage; an outage here is a closed or silent socket.
        self.scripts = RedisScripts(server.url, timeout="2s", rest="1s", clock=self.clock)
        self.trust = RedisTrust(
            policy or Abuse(),
            self.scripts,
            secret=SECRET,
            space=space,
            events=self.told.bus(),
            clock=self.clock,
        )

    def rested(self) -> None:
        """Let Redis be asked again."""
        self.clock.advance("1s")


@pytest.fixture
async def two(redis_server: RedisServer) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes' worth of stores on one Redis."""
    first, second = Process(redis_server), Process(redis_server)
    yield first, second
    await first.scripts.aclose()
    await second.scripts.aclose()


class TurnedShared(RedisTrust):
    """A shared store whose time a test turns."""

    at = 10_000

    def _time(self) -> int:
        return self.at

    def _now(self) -> int:
        return self.at


class TurnedMemory(MemoryTrust):
    """A store of one process whose time a test turns."""

    at = 10_000

    def _now(self) -> int:
        return self.at


WHO = st.sampled_from([ANN, BOB, *(Principal("acme", f"u-{n}") for n in range(4))])
BOTH = WHO | st.just(Tenant("acme"))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 200_000)),
        st.tuples(st.just("spend"), WHO, st.integers(1, 4), st.sampled_from([None, ATTACK, ATTACK[8:16]])),
        st.tuples(st.just("look"), WHO),
        st.tuples(st.just("status"), BOTH),
        st.tuples(st.sampled_from(["ban", "pardon"]), BOTH, st.integers(1, 300)),
    ),
    max_size=40,
)
PARITY = Abuse(
    subject=Ladder(regain="1m", longest_cool_down="10m", ban="20m", ban_after=6),
    tenant=Ladder(watch=5, hits=9, ban_after=20, regain="30s", ban="1h", heaviest=4),
    tenant_subjects=3,
    tenant_window="3m",
    fingerprint_subjects=3,
    fingerprint_window="5m",
)


async def _do(store: MemoryTrust | RedisTrust, step: tuple[object, ...]) -> Standing:
    name, who, *rest = step
    if name == "spend":
        return await store.spend(who, *rest)  # pyright: ignore[reportArgumentType]
    if name == "look":
        return await store.look(who)  # pyright: ignore[reportArgumentType]
    if name == "status":
        return await store.status(who)  # pyright: ignore[reportArgumentType]
    override = store.ban if name == "ban" else store.pardon
    return await override(who, f"{rest[0]}s")  # pyright: ignore[reportArgumentType]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_redis_and_memory_give_the_same_answers_and_events(
    redis_server: RedisServer, steps: list[tuple[object, ...]]
) -> None:
    """Whatever callers, operators and time do, the script and the Python say the same, change by change."""

    async def scenario() -> None:
        scripts = RedisScripts(redis_server.url, timeout="5s")
        here, there = Told(), Told()
        memory = TurnedMemory(PARITY, events=here.bus())
        shared = TurnedShared(PARITY, scripts, secret=SECRET, space=f"t{next(SPACES)}", events=there.bus())
        memory._digest = shared._digest
        memory._name = shared._digest.of
        try:
            for step in steps:
                if step[0] == "wait":
                    memory.at = shared.at = memory.at + int(str(step[1]))
                    continue
                assert await _do(memory, step) == await _do(shared, step)
                # Those who step up together are told in no order.
                assert sorted(map(str, here)) == sorted(map(str, there))
        finally:
            await scripts.aclose()

    asyncio.run(scenario())


async def test_processes_agree_and_tell_each_change_once(two: tuple[Process, Process]) -> None:
    """Hits of both count together; each step is published by one of them alone."""
    first, second = two
    for number in range(10):
        await two[number % 2].trust.spend(ANN)
    for process in two * 3:
        assert (await process.trust.look(ANN)).step == "banned"
        assert (await process.trust.look(BOB)).step == "trusted"
    both = [(one.before, one.after) for one in first.told + second.told]
    assert sorted(both) == [("cooling", "banned"), ("trusted", "watched"), ("watched", "cooling")]


async def test_a_flood_is_counted_whole(two: tuple[Process, Process]) -> None:
    """Hits that come at once from both processes are none of them lost."""
    await asyncio.gather(*(two[number % 2].trust.spend(ANN) for number in range(9)))
    assert (await two[0].trust.status(ANN)).owed == 9


_CHILD = """
import asyncio, sys
from seawall.defense.abuse import Abuse, RedisTrust
from seawall.foundation.principal import Principal
from seawall.foundation.storage.redis import RedisScripts

async def main():
    scripts = RedisScripts(sys.argv[1], timeout="5s")
    trust = RedisTrust(Abuse(), scripts, secret=sys.argv[2].encode(), space="t")
    for number in range(4):
        await trust.spend(Principal("acme", f"child-{number}"), fingerprint=bytes(range(48)))
    await trust.spend(Principal("acme", "ann@example.org"), 10)
    await scripts.aclose()

asyncio.run(main())
"""


async def test_what_another_process_saw_counts_here(redis_server: RedisServer) -> None:
    """A ban and a fingerprint from a process of its own hold in this one."""
    process = Process(redis_server)
    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _CHILD, redis_server.url, SECRET.decode()], check=True
    )
    assert child.returncode == 0
    assert (await process.trust.look(ANN)).step == "banned"
    assert (await process.trust.spend(BOB, fingerprint=ATTACK)).step == "cooling"
    assert (await process.trust.look(Principal("acme", "child-0"))).step == "cooling"
    await process.scripts.aclose()


async def test_every_key_expires_and_none_names_anybody(redis_server: RedisServer) -> None:
    """After hits, fingerprints, bans and pardons no key is without an expiry, and no name or secret is in any."""
    process = Process(redis_server)
    for number in range(6):
        await process.trust.spend(Principal("acme", f"ann-{number}"), 3, ATTACK)
    await process.trust.ban(Tenant("acme"), "30d")
    await process.trust.pardon(ANN, "1h")
    redis = process.scripts._redis
    keys = await redis.keys("*")
    assert len(keys) == 6 + 1 + 1 + 1 + 6
    for key in keys:
        left = await redis.pttl(key)
        assert 0 < left <= 61 * 86_400_000
        kind = await redis.type(key)
        held = await redis.get(key) if kind == b"string" else b"".join(await redis.zrange(key, 0, -1))
        assert not any(name in key + held for name in (b"ann", b"acme", SECRET, ATTACK[:8]))
    await process.scripts.aclose()


async def test_a_hung_redis_neither_delays_for_long_nor_frees_the_banned(redis_server: RedisServer) -> None:
    """While it hangs a process goes on with what it saw, counts new hits, and hands them over afterwards."""
    first, second = Process(redis_server), Process(redis_server)
    await first.trust.spend(ANN, 10)
    assert (await first.trust.spend(BOB)).step == "watched"
    redis_server.hang()
    first.scripts._timeout = 0.03
    assert (await first.trust.look(ANN)).step == "banned"
    assert not first.scripts.healthy
    assert (await first.trust.spend(BOB, 2)).step == "cooling"
    redis_server.resume()
    first.scripts._timeout = 2.0
    first.rested()
    assert (await first.trust.look(BOB)).step == "cooling"
    assert (await second.trust.look(BOB)).step == "cooling"
    told = [(one.before, one.after) for one in first.told + second.told if one.before == "watched"]
    assert told == [("watched", "cooling")]
    await first.scripts.aclose()
    await second.scripts.aclose()


async def test_what_time_did_while_redis_hung_is_told_once(redis_server: RedisServer) -> None:
    """A cool-down that ends in the meantime is published by the process that saw it, and not again afterwards."""
    clock, told = FakeClock(), Told()
    scripts = RedisScripts(redis_server.url, timeout="2s", clock=clock)
    trust = TurnedShared(Abuse(), scripts, secret=SECRET, events=told.bus())
    await trust.spend(ANN, 3)
    redis_server.hang()
    scripts._timeout = 0.03
    trust.at += 61_000
    assert (await trust.look(ANN)).step == "watched"
    redis_server.resume()
    scripts._timeout = 2.0
    clock.advance("1s")
    for _ in range(2):
        assert (await trust.look(ANN)).step == "watched"
    assert scripts.healthy
    assert [(one.before, one.after) for one in told] == [("trusted", "cooling"), ("cooling", "watched")]
    await scripts.aclose()


async def test_a_restarted_redis_learns_again_who_is_banned(redis_server: RedisServer) -> None:
    """What a crash lost comes back with the caller's next request at a process that knew it, told no second time."""
    first, second = Process(redis_server), Process(redis_server)
    await first.trust.spend(ANN, 10)
    await first.trust.ban(BOB, "1h", by="on-call")
    before = len(first.told)
    redis_server.restart()
    for process in (first, second):
        await process.scripts._redis.connection_pool.disconnect()
    assert (await second.trust.look(ANN)).step == "trusted"
    assert (await first.trust.look(ANN)).step == "banned"
    assert (await first.trust.look(BOB)).by_operator
    assert (await second.trust.look(ANN)).step == "banned"
    assert (await second.trust.look(BOB)).step == "banned"
    assert (len(first.told), len(second.told)) == (before, 0)
    await first.scripts.aclose()
    await second.scripts.aclose()


async def test_a_pardon_is_not_undone_by_what_another_process_remembers(two: tuple[Process, Process]) -> None:
    """A process whose copy still says banned takes the pardon over instead of bringing the ban back."""
    first, second = two
    await first.trust.spend(ANN, 10)
    assert (await second.trust.look(ANN)).step == "banned"
    await first.trust.pardon(ANN, "1ms")
    assert (await second.trust.look(ANN)).step == "trusted"
    assert (await second.trust.spend(ANN)).owed <= 1


async def test_an_override_while_redis_hangs_holds_here_and_says_so(redis_server: RedisServer) -> None:
    """The operator is told that it is not known everywhere; it is once Redis answers the caller's next request."""
    first, second = Process(redis_server), Process(redis_server)
    await first.trust.spend(ANN)
    await first.trust.spend(BOB, 10)
    redis_server.hang()
    first.scripts._timeout = 0.03
    with pytest.raises(StoreError, match="this process alone"):
        await first.trust.ban(ANN, "1h")
    with pytest.raises(StoreError, match="this process alone"):
        await first.trust.pardon(BOB, "1h")
    with pytest.raises(StoreError):
        await first.trust.status(ANN)
    assert (await first.trust.look(ANN)).by_operator
    redis_server.resume()
    first.scripts._timeout = 2.0
    first.rested()
    told = len(first.told)
    for process in (first, second):
        assert (await process.trust.look(ANN)).step == "banned"
        assert (await process.trust.look(BOB)).step == "trusted"
    assert (len(first.told), len(second.told)) == (told, 0)
    await first.scripts.aclose()
    await second.scripts.aclose()


async def test_the_copy_is_bounded(redis_server: RedisServer) -> None:
    """However many callers are distrusted, a process keeps no more of them than it was told to."""
    process = Process(redis_server)
    process.trust = RedisTrust(Abuse(), process.scripts, secret=SECRET, max_keys=50)
    await process.trust.spend(ANN, 10)
    for number in range(200):
        await process.trust.spend(Principal(f"t-{number}", "u"))
    assert len(process.trust._copy.accounts) <= 50
    redis_server.kill()
    assert (await process.trust.look(ANN)).step == "banned"
    redis_server.start()
    await process.scripts.aclose()


def test_a_short_secret_is_refused() -> None:
    """Names hidden under a secret that can be guessed are not hidden."""
    scripts = RedisScripts("redis://127.0.0.1:1/0")
    with pytest.raises(ConfigError, match="16"):
        RedisTrust(Abuse(), scripts, secret=b"short")
