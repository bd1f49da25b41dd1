"""Counters in Redis: keys that expire, memory that is lost, and what happens while there is no answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from seawall.defense.limits import (
    Decision,
    Quota,
    RateLimit,
    RateLimited,
    RedisStore,
    SlidingWindow,
    Spend,
    Take,
    Window,
    reserve_all,
    take_all,
)
from seawall.foundation.errors import ConfigError
from seawall.foundation.events import Event, EventBus, StoreChanged
from seawall.foundation.principal import Principal
from seawall.foundation.storage.redis import RedisScripts, Script
from seawall.testing import FakeClock
from tests.redis_server import RedisServer

ANN = Principal("acme", "ann@example.org")
SECRET = b"secret of the test, 32 bytes long"
BUCKET = RateLimit(10, "1h", name="bucket")
WINDOW = SlidingWindow(10, "1h", name="window", slices=10)
CONTENT = Script(
    "local out = {} for _, key in ipairs(redis.call('KEYS', '*')) do "
    "out[#out + 1] = key out[#out + 1] = redis.call('PTTL', key) end return out"
)
FLUSH = Script("redis.call('FLUSHALL')")


class Shop:
    """Stores on one Redis, all on one clock."""

    def __init__(self, url: str) -> None:
        self.clock = FakeClock()
        self.events: list[Event] = []
        self._url = url
        self._scripts: list[RedisScripts] = []

    def store(self, **settings: Any) -> RedisStore:
        """Make a store as one more process would."""
        bus = EventBus(self.events.append)
        self._scripts.append(RedisScripts(self._url, timeout="1s", events=bus, clock=self.clock))
        given: dict[str, Any] = {"on_store_error": "closed", "secret": SECRET, "events": bus, **settings}
        return RedisStore(self._scripts[-1], **given)

    async def take(self, store: RedisStore, limit: RateLimit | SlidingWindow, cost: int = 1) -> Decision:
        """Spend from one limit."""
        return await store.take([limit.take(ANN, cost)], self.clock.monotonic())

    async def run(self, script: Script, *arguments: str) -> Any:
        """Ask Redis itself."""
        return await self._scripts[0].run(script, [], arguments)

    async def close(self) -> None:
        """Close every connection."""
        for scripts in self._scripts:
            await scripts.aclose()


@pytest.fixture
async def shop(redis_server: RedisServer) -> AsyncIterator[Shop]:
    """Stores on a server of the test's own."""
    made = Shop(redis_server.url)
    yield made
    await made.close()


async def test_processes_share_one_count(shop: Shop) -> None:
    """Two processes get the burst between them; another namespace or another secret counts for itself."""
    first, second = shop.store(), shop.store()
    oks = [(await shop.take(store, BUCKET)).ok for store in (first, second) * 6]
    assert oks == [True] * 10 + [False] * 2
    assert (await shop.take(shop.store(namespace="other"), BUCKET)).ok
    assert (await shop.take(shop.store(secret=b"another secret, also 32 bytes lo"), BUCKET)).ok


async def test_every_key_expires_and_names_nobody(shop: Shop) -> None:
    """Buckets and windows live a second longer than they matter, receipts for `hold`, the epoch for 400 days."""
    store = shop.store(hold="5m")
    for limit in (BUCKET, WINDOW):
        await shop.take(store, limit, 5)
    held = await reserve_all(
        store, [RateLimit(10, "1h", name="held"), WINDOW], ANN, Spend(), clock=shop.clock
    )
    await reserve_all(store, [WINDOW], ANN, Spend(), clock=shop.clock)
    await held.settle(Spend(requests=3))
    content = await shop.run(CONTENT)
    lives = dict(zip(content[::2], content[1::2], strict=True))
    assert len(lives) == 5
    assert all(key.startswith(b"{seawall}:") and b"ann" not in key and b"acme" not in key for key in lives)
    days = 86_400_000
    assert 399 * days < lives.pop(b"{seawall}:epoch") <= 400 * days
    assert sorted(round(life / 600_000) for life in lives.values()) in ([0, 2, 3, 6], [0, 2, 3, 7])


@pytest.mark.parametrize("limit", [BUCKET, WINDOW], ids=["bucket", "window"])
async def test_a_lost_memory_gives_nobody_a_fresh_burst(shop: Shop, limit: RateLimit | SlidingWindow) -> None:
    """After a loss, whoever remembers finds every bucket spent, and so do processes that begin after."""
    first, second = shop.store(), shop.store()
    for store in (first, second):
        assert (await shop.take(store, limit, 5)).ok
    await shop.run(FLUSH)
    for store in (first, second, shop.store()):
        refused = await shop.take(store, limit)
        assert not refused.ok
        assert refused.retry_after is not None
        low, high = (355, 361) if limit is BUCKET else (3590, 3961)
        assert low < refused.retry_after < high
    assert [first.losses, second.losses] == [1, 1]
    assert [type(event) for event in shop.events] == [StoreChanged, StoreChanged]
    assert "lost its counters" in str(shop.events[0])


async def test_where_nobody_remembers_all_is_new(shop: Shop, redis_server: RedisServer) -> None:
    """A process that began after the loss gets a fresh burst, until one that remembers asks: then it is spent."""
    survivor = shop.store()
    assert (await shop.take(survivor, BUCKET, 10)).ok
    redis_server.restart()
    newcomer = shop.store()
    assert (await shop.take(newcomer, BUCKET, 4)).ok
    assert not (await shop.take(survivor, BUCKET)).ok
    shop.clock.advance("2s")
    assert not (await shop.take(survivor, BUCKET)).ok
    assert not (await shop.take(newcomer, BUCKET)).ok
    assert newcomer.losses == 0
    assert survivor.losses == 1


async def test_a_receipt_of_a_lost_memory_settles_nothing(shop: Shop) -> None:
    """What was reserved before the loss is neither given back nor charged after it."""
    store = shop.store()
    work = await reserve_all(store, [BUCKET], ANN, Spend(requests=10), clock=shop.clock)
    await shop.run(FLUSH)
    assert not (await shop.take(store, BUCKET)).ok
    assert await work.release()
    assert not (await shop.take(store, BUCKET)).ok


async def test_closed_refuses_and_says_when_to_come_back(shop: Shop, redis_server: RedisServer) -> None:
    """Without an answer `closed` refuses, visibly; when Redis is back, so are the limits."""
    store = shop.store()
    redis_server.kill()
    refused = await shop.take(store, BUCKET)
    assert (refused.ok, refused.retry_after, refused.degraded) == (False, 1.0, True)
    assert "shared store gives no answer" in str(RateLimited(refused))
    assert store.degraded
    redis_server.start()
    shop.clock.advance("2s")
    assert (await shop.take(store, BUCKET)).ok
    assert not store.degraded
    assert [event.healthy for event in shop.events if isinstance(event, StoreChanged)] == [False, True]


async def test_open_lets_through_uncounted(shop: Shop, redis_server: RedisServer) -> None:
    """Without an answer `open` admits whatever is asked, and says it was not counted."""
    store = shop.store(on_store_error="open")
    redis_server.kill()
    work = await reserve_all(store, [BUCKET], ANN, Spend(requests=99), clock=shop.clock)
    assert work.ok
    assert work.decision is not None
    assert work.decision.degraded
    assert await work.settle(Spend(requests=100))


@pytest.mark.parametrize("limit", [BUCKET, WINDOW], ids=["bucket", "window"])
async def test_local_shares_never_add_up_to_more_than_the_limit(
    shop: Shop, redis_server: RedisServer, limit: RateLimit | SlidingWindow
) -> None:
    """Without an answer each of four processes admits a quarter, rounded down, and earns back at a quarter."""
    stores = [shop.store(on_store_error="local", replicas=4) for _ in range(4)]
    redis_server.kill()
    oks = [[(await shop.take(store, limit)).ok for _ in range(5)] for store in stores]
    assert oks == [[True, True, False, False, False]] * 4
    shop.clock.advance(4 * 360.0)
    assert (await shop.take(stores[0], limit)).ok == (limit is BUCKET)
    assert not (await shop.take(stores[0], limit)).ok


async def test_a_share_of_less_than_one_is_refused_until_the_store_answers(
    shop: Shop, redis_server: RedisServer
) -> None:
    """A limit that cannot be divided, and work larger than the share, wait for Redis; the impossible is still told."""
    store = shop.store(on_store_error="local", replicas=4)
    redis_server.kill()
    for limit, cost in ((RateLimit(3, "1h"), 1), (SlidingWindow(3, "1h"), 1), (BUCKET, 3)):
        refused = await shop.take(store, limit, cost)
        assert (refused.ok, refused.retry_after, refused.degraded) == (False, 1.0, True)
    assert (await shop.take(store, BUCKET, 11)).retry_after is None
    assert (await shop.take(store, RateLimit(3, "1h"), 0)).ok


async def test_reservations_across_an_outage(shop: Shop, redis_server: RedisServer) -> None:
    """What was reserved without Redis settles without it; what Redis holds waits for Redis, and is then given back."""
    store = shop.store(on_store_error="local", replicas=1)
    before = await reserve_all(store, [BUCKET, WINDOW], ANN, Spend(requests=10), clock=shop.clock)
    redis_server.hang()
    shop.clock.advance("2s")
    during = await reserve_all(store, [BUCKET, WINDOW], ANN, Spend(requests=10), clock=shop.clock)
    assert during.ok
    assert not await before.settle(Spend(requests=1))
    assert await during.settle(Spend(requests=4))
    assert (await shop.take(store, BUCKET, 6)).degraded
    redis_server.resume()
    shop.clock.advance("2s")
    assert await before.settle(Spend(requests=1))
    look = await take_all(store, [BUCKET, WINDOW], ANN, shop.clock.monotonic(), 0)
    assert look is not None
    assert (look.degraded, look.remaining) == (False, 9)


async def test_a_receipt_too_old_changes_nothing(shop: Shop) -> None:
    """After `hold` a reservation stays spent, whatever is said of it."""
    store = shop.store()
    work = await reserve_all(store, [BUCKET], ANN, Spend(requests=10), clock=shop.clock)
    await shop.run(Script("return redis.call('DEL', unpack(redis.call('KEYS', '*receipt*')))"))
    assert await work.release()
    assert not (await shop.take(store, BUCKET)).ok


async def test_numbers_beyond_what_redis_can_count_stay_on_the_safe_side(shop: Shop) -> None:
    """An absurd cost is refused, an absurd charge becomes a debt of decades, and a limit of centuries is a mistake."""
    store = shop.store()
    for quota in (Quota.of(10, 3600.0, 10), Window.of(10, 3600.0, 10)):
        huge = Take(f"huge {quota}", quota, "n", 10**30)
        assert (await store.take([huge], 0.0)).retry_after is None
        held = await store.reserve([Take(f"debt {quota}", quota, "n", 1)], 0.0)
        assert held.receipt is not None
        assert await store.settle(held.receipt, [10**30], 0.0)
        refused = await store.take([Take(f"debt {quota}", quota, "n", 1)], 0.0)
        assert not refused.ok
    with pytest.raises(ConfigError, match="63 years"):
        await shop.take(store, RateLimit(1, "3000w", burst=100))


WRONG: list[dict[str, Any]] = [
    {"secret": b"short"},
    {"secret": b"x" * 65},
    {"on_store_error": "maybe"},
    {"on_store_error": "local"},
    {"replicas": 0},
    {"namespace": "a{b}"},
    {"namespace": ""},
    {"hold": "never"},
]


@pytest.mark.parametrize("settings", WRONG, ids=range(len(WRONG)))
def test_a_store_that_cannot_hold_is_refused_at_construction(settings: dict[str, Any]) -> None:
    """A short secret, an unknown mode, an unsaid number of processes: told when the store is made."""
    with pytest.raises(ConfigError):
        Shop("redis://127.0.0.1:1/0").store(**settings)
