"""Circuit breakers shared through a real Redis: what one process learns all know, and never a probe too many."""

import asyncio
from typing import Any

import pytest

from seawall.defense.resilience import Circuit, CircuitBreaker, Permit
from seawall.defense.resilience.shared import SharedBreakers
from seawall.foundation.clock import SYSTEM_CLOCK
from seawall.foundation.errors import ConfigError
from seawall.foundation.storage.redis import RedisScripts, Script
from tests.defense.breaker_worker import SECRET
from tests.defense.breaker_world import CONFIG, World, until, world
from tests.redis_server import RedisServer

__all__ = ["world"]

EMPTY = Script("return redis.call('KEYS', '*')")


async def test_what_trips_one_process_opens_all(world: World) -> None:
    """Three processes agree on a trip, on how long, and each listener hears of it once, and from whom."""
    processes = await world.processes(3)
    await processes[0].trip()
    await world.agree(processes, "open")
    for process in processes:
        for _ in range(5):
            assert (await process.refused()).state == "open"
        assert process.changes() == ["open"]
    assert processes[0].told[0].why == "4 of 4 calls failed (limit 50%)"
    assert processes[1].told[0].why == "4 of 4 calls failed (limit 50%) (learnt from another process)"
    waits = [process.breaker.snapshot().retry_after for process in processes]
    assert waits[0] == pytest.approx(waits[1], abs=0.1)
    assert waits[0] == pytest.approx(waits[2], abs=0.1)


async def test_calls_that_trip_no_process_alone_trip_all_together(world: World) -> None:
    """Four failures in four processes are as good as four in one; the window slides by Redis' clock."""
    processes = await world.processes(4)
    for process in processes[:3]:
        await process.end("failure")
    await until(lambda: all(process.breakers.answers for process in processes))
    calls = [process.scripts.calls for process in processes]
    await until(lambda: all(p.scripts.calls > n + 2 for p, n in zip(processes, calls, strict=True)))
    world.clock.advance("20s")
    await processes[3].end("failure")
    calls = [process.scripts.calls for process in processes]
    await until(lambda: all(p.scripts.calls > n + 2 for p, n in zip(processes, calls, strict=True)))
    assert {process.breaker.state for process in processes} == {"closed"}
    for process in processes[:3]:
        await process.end("failure")
    await world.agree(processes, "open")
    why = {process.told[0].why.removesuffix(" (learnt from another process)") for process in processes}
    assert why == {"4 of 4 calls of all processes failed (limit 50%)"}


async def test_slow_calls_trip_all_together_too(world: World) -> None:
    """A call that is overdue is counted while it is under way, and once."""
    processes = await world.processes(2)
    permits = [await process.enter() for process in processes for _ in range(2)]
    world.clock.advance("5s")
    for permit, process in zip(permits, [p for p in processes for _ in range(2)], strict=True):
        process.breaker.overdue(permit)
        process.breaker.overdue(permit)
    await world.agree(processes, "open")
    assert "4 of 4 calls of all processes were slow (limit 80%)" in processes[0].told[0].why


@pytest.mark.parametrize(
    "config",
    [
        CircuitBreaker(minimum_calls=4, window=None, last=4),
        CircuitBreaker(minimum_calls=4, window="30s", last=None),
    ],
    ids=["last", "window"],
)
async def test_every_kind_of_window_is_shared(world: World, config: CircuitBreaker) -> None:
    """Bounded by calls alone, or by time alone, what all processes saw adds up."""
    processes = await world.processes(2, config)
    for process in processes:
        await process.end("failure", 2)
    await world.agree(processes, "open")


async def test_closed_it_asks_nobody(world: World) -> None:
    """A thousand calls cost no call to Redis; the counts go with the next exchange."""
    (process,) = await world.processes(1, every="1h")
    await world.quiet([process])
    before = process.scripts.calls
    await process.end("success", 1000)
    assert process.scripts.calls == before
    assert process.breaker.snapshot().calls == 50


async def test_exactly_so_many_probes_of_a_thousand_attempts(world: World) -> None:
    """In three processes at once; each asks Redis at most so often at a time, whatever the number of callers."""
    processes = await world.processes(3, every="1h")
    await processes[0].trip()
    await until(lambda: not processes[0].breaker.pending)
    for process in processes[1:]:
        process.breakers.wake()
    await world.agree(processes, "open")
    await world.quiet(processes)
    world.clock.advance("10s")
    for process in processes:
        process.scripts.gate = asyncio.Event()
    before = [process.scripts.calls for process in processes]
    attempts = [asyncio.create_task(p.breaker.enter()) for p in processes for _ in range(333)]
    await asyncio.sleep(0)
    assert [p.scripts.calls - n for p, n in zip(processes, before, strict=True)] == [2, 2, 2]
    for process in processes:
        process.open_gate()
    got = await asyncio.gather(*attempts)
    assert sum(isinstance(one, Permit) for one in got) == 2
    assert {process.breaker.state for process in processes} == {"half_open"}
    # The refusal is remembered: nobody asks again until the next exchange.
    again = [process.scripts.calls for process in processes]
    for process in processes:
        await process.refused()
        await process.refused()
    assert sum(p.scripts.calls - n for p, n in zip(processes, again, strict=True)) <= 1


async def test_probes_that_succeed_close_it_for_all(world: World) -> None:
    """One in each of two processes: closed for all, and the next trip opens it for the first time again."""
    processes = await world.processes(3)
    await processes[0].trip()
    await world.agree(processes, "open")
    world.clock.advance("10s")
    first, second = await processes[1].enter(), await processes[2].enter()
    assert (await processes[0].refused()).state == "half_open"
    assert processes[1].breaker.snapshot().probes == 1
    processes[1].breaker.record(first, "success")
    await until(lambda: not processes[1].breaker.pending)
    processes[2].breaker.record(second, "success")
    await world.agree(processes, "closed")
    for process in processes:
        assert process.changes() == ["open", "half_open", "closed"]
        assert process.told[-1].why.startswith("2 of 2 probes succeeded")
    await processes[1].trip()
    await world.agree(processes, "open")
    assert 7.9 <= (processes[2].breaker.snapshot().retry_after or 0) <= 10


@pytest.mark.parametrize("how", ["failure", "slow", "overdue"])
async def test_a_probe_that_fails_opens_it_for_twice_as_long(world: World, how: str) -> None:
    """Failed, slow, or slow and not over yet: open again in every process."""
    processes = await world.processes(2)
    await processes[0].trip()
    await world.agree(processes, "open")
    world.clock.advance("10s")
    probe, other = await processes[1].enter(), await processes[0].enter()
    if how != "failure":
        world.clock.advance("5s")
    if how == "overdue":
        processes[1].breaker.overdue(probe)
    processes[1].breaker.record(probe, "failure" if how == "failure" else "success")
    await world.agree(processes, "open")
    assert 15.9 <= (processes[0].breaker.snapshot().retry_after or 0) <= 20
    why = "a probe failed" if how == "failure" else "a probe was slow"
    assert processes[1].told[-1].why == why
    processes[0].breaker.record(other, "success")
    processes[1].breaker.record(probe, "success")
    assert not any(process.breaker.pending for process in processes)


async def test_open_as_long_as_the_provider_asks_for(world: World) -> None:
    """Up to the longest; also where another process was told, and tripped later."""
    processes = await world.processes(2)
    await processes[0].trip(retry_after=25)
    await world.agree(processes, "open")
    assert 24 < (processes[1].breaker.snapshot().retry_after or 0) <= 25
    world.clock.advance("25s")
    probe = await processes[1].enter()
    await world.agree(processes, "half_open")
    processes[1].breaker.record(probe, "failure", retry_after=1000)
    await world.agree(processes, "open")
    assert 39 < (processes[0].breaker.snapshot().retry_after or 0) <= 40


async def test_a_probe_given_back_or_lost_is_granted_again(world: World) -> None:
    """Released: at once. Never reported on: after twice the slow call."""
    processes = await world.processes(2, CircuitBreaker(minimum_calls=2, slow_call="5s"))
    await processes[0].trip()
    await world.agree(processes, "open")
    world.clock.advance("10s")
    (await processes[0].enter()).release()
    await until(lambda: not processes[0].breaker.pending)
    lost = await processes[1].enter()
    wait = (await processes[0].refused()).retry_after
    assert wait is not None
    assert 9.9 < wait <= 10
    world.clock.advance("10s")
    await until(lambda: processes[0].breaker._busy is None)
    kept = await processes[0].enter()
    processes[1].breaker.record(lost, "ignored")
    processes[0].breaker.record(kept, "success")
    await world.agree(processes, "closed")


async def test_a_cancelled_caller_gives_its_probe_back(world: World) -> None:
    """Who goes away while Redis is asked leaves no place taken."""
    processes = await world.processes(1, CircuitBreaker(minimum_calls=2))
    (process,) = processes
    await process.trip()
    await world.agree(processes, "open")
    world.clock.advance("10s")
    process.scripts.gate = asyncio.Event()
    caller = asyncio.create_task(process.breaker.enter())
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    process.open_gate()
    await until(lambda: not process.breaker.pending)
    await process.enter()


async def test_a_report_whose_answer_was_lost_counts_once(world: World) -> None:
    """Redis took it and seemed not to: it is told again, and the second place still waits for its own probe."""
    processes = await world.processes(2)
    await processes[0].trip()
    await world.agree(processes, "open")
    world.clock.advance("10s")
    probe = await processes[0].enter()
    processes[0].scripts.lose = 1
    processes[0].breaker.record(probe, "success")
    await world.without(processes[:1])
    await world.back(processes[:1])
    assert processes[0].breaker.state == "half_open"
    last = await processes[1].enter()
    assert (await processes[0].refused()).state == "half_open"
    processes[1].breaker.record(last, "success")
    await world.agree(processes, "closed")


async def test_a_late_report_does_nothing(world: World) -> None:
    """A probe of a generation that is over says nothing of this one, even where its process does not know yet."""
    processes = await world.processes(2, every="1h")
    await processes[0].trip()
    await until(lambda: not processes[0].breaker.pending)
    processes[1].breakers.wake()
    await world.agree(processes, "open")
    world.clock.advance("10s")
    late = await processes[1].enter()
    await world.quiet(processes)
    processes[1].scripts.gate = asyncio.Event()
    await processes[0].enter()
    processes[0].breaker.reset()
    await until(lambda: not processes[0].breaker.pending)
    assert processes[1].breaker.state == "half_open"
    processes[1].breaker.record(late, "failure")
    processes[1].open_gate()
    await world.agree(processes, "closed")


async def test_an_operator_is_obeyed_everywhere(world: World) -> None:
    """Isolated for all until reset, whatever else is said; and what was said last counts, at whatever pace."""
    processes = await world.processes(3)
    processes[0].breaker.isolate("maintenance")
    await world.agree(processes, "isolated")
    refusal = await processes[1].refused()
    assert refusal.retry_after is None
    assert refusal.why == "maintenance (learnt from another process)"
    world.clock.advance("30d")
    assert (await processes[2].refused()).state == "isolated"
    processes[2].breaker.reset()
    await world.agree(processes, "closed")
    for _ in range(10):
        processes[0].breaker.isolate()
        processes[0].breaker.reset()
        processes[0].breaker.isolate()
        await asyncio.sleep(0.002)
        processes[0].breaker.reset()
        processes[0].breaker.isolate()
        await world.agree(processes, "isolated")
        processes[1].breaker.reset()
        await world.agree(processes, "closed")


async def test_whatever_an_operator_writes_is_carried(world: World) -> None:
    """Long, in any script, or no text at all: others read it, cut and mended, and go on."""
    processes = await world.processes(2)
    processes[0].breaker.isolate("\ud800 \0 " + "ä" * 1000)
    await world.agree(processes, "isolated")
    assert processes[1].told[0].why == "? \0 " + "ä" * 196 + " (learnt from another process)"


async def test_a_key_that_holds_something_else_is_as_good_as_none(
    world: World, redis_server: RedisServer
) -> None:
    """What no breaker wrote is written over by the next who has something to say."""
    spoil = Script("for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('SET', key, ARGV[1]) end")
    scripts = RedisScripts(redis_server.url, timeout="5s")
    processes = await world.processes(2)
    for rubbish in (b"rubbish", b"", b"\x01", b"\x81\xa1s"):
        processes[0].breaker.isolate()
        await world.agree(processes, "isolated")
        await scripts.run(spoil, [], [rubbish])
        processes[1].breaker.reset()
        await world.agree(processes, "closed")
    await scripts.aclose()


async def test_isolation_wins_over_a_trip_that_knew_nothing_of_it(world: World) -> None:
    """Both at once in two processes: isolated."""
    processes = await world.processes(2)
    processes[0].breaker.isolate()
    world.clock.advance(0.001)
    await processes[1].trip()
    await world.agree(processes, "isolated")
    assert [process.changes()[-1] for process in processes] == ["isolated", "isolated"]


async def test_there_is_one_breaker_a_name(world: World) -> None:
    """The same each time; another config for it, or too many names, are refused."""
    (process,) = await world.processes(1)
    circuit: Circuit = process.breakers.breaker("model", CONFIG)
    assert circuit is process.breaker
    with pytest.raises(ConfigError, match="another config"):
        process.breakers.breaker("model", CircuitBreaker())
    for number in range(255):
        process.breakers.breaker(f"tool {number}", CONFIG)
    with pytest.raises(ConfigError, match="at most 256"):
        process.breakers.breaker("one more", CONFIG)
    before = process.scripts.calls
    await until(lambda: process.scripts.calls > before + 2)
    assert process.breakers.answers


async def test_breakers_of_different_names_are_apart_and_share_one_call(world: World) -> None:
    """One trips and the other does not, in the other process too."""
    processes = await world.processes(2)
    others = [process.breakers.breaker("tool", CONFIG) for process in processes]
    await processes[0].trip()
    await world.agree(processes, "open")
    assert [other.state for other in others] == ["closed", "closed"]
    others[1].isolate()
    await until(lambda: others[0].state == "isolated")
    assert processes[0].breaker.state == "open"


@pytest.mark.parametrize(
    "settings",
    [{"secret": b"short"}, {"secret": SECRET, "namespace": "{x}"}, {"secret": SECRET, "every": "0s"}],
)
async def test_settings_that_cannot_hold_are_refused(settings: dict[str, Any]) -> None:
    """Before anything is asked of Redis."""
    scripts = RedisScripts("redis://127.0.0.1:1/0")
    with pytest.raises(ConfigError):
        SharedBreakers(scripts, **settings)
    await scripts.aclose()


async def test_nothing_is_left_behind(world: World, redis_server: RedisServer) -> None:
    """Every key expires and names nobody; no task outlives the block, and what was new is told on the way out."""
    before = asyncio.all_tasks()
    ttl = Script("return redis.call('PTTL', KEYS[1])")
    scripts = RedisScripts(redis_server.url, timeout="5s")
    async with SharedBreakers(scripts, secret=SECRET, clock=SYSTEM_CLOCK) as breakers:
        breakers.breaker("model", CONFIG).isolate()
        counted = breakers.breaker("tool", CONFIG)
        for _ in range(2):
            permit = await counted.enter()
            assert isinstance(permit, Permit)
            counted.record(permit, "success")
        await until(lambda: not breakers.breaker("model", CONFIG).pending)
        breakers.breaker("late", CONFIG).isolate()
    assert asyncio.all_tasks() == before
    keys: list[bytes] = await scripts.run(EMPTY, [], [])
    lives = sorted([int(await scripts.run(ttl, [key], [])) for key in keys])
    assert len(keys) == 4
    assert all(key.startswith(b"{seawall}:breaker:") and b"model" not in key for key in keys)
    assert 0 < lives[0] <= 600_000
    assert 600_000 < lives[1] <= 3_600_000
    assert lives[2] > 399 * 86_400_000
    await scripts.aclose()
