"""Shared circuit breakers without their Redis: killed, hung, restarted with nothing, and back again."""

import pytest

from seawall.defense.resilience import CircuitBreaker, Permit
from seawall.foundation.storage.redis import RedisScripts
from seawall.testing import FakeClock
from tests.defense.breaker_worker import TurnedBreakers
from tests.defense.breaker_world import CONFIG, World, until, world
from tests.redis_server import RedisServer

__all__ = ["world"]


async def test_without_redis_each_process_goes_on_where_it_stood(
    world: World, redis_server: RedisServer
) -> None:
    """Open stays open for what was left, then each process has its own probes; calls ask nobody in vain."""
    processes = await world.processes(2, every="1h")
    await processes[0].trip()
    await until(lambda: not processes[0].breaker.pending)
    processes[1].breakers.wake()
    await world.agree(processes, "open")
    world.clock.advance("5s")
    redis_server.kill()
    for process in processes:
        process.breakers.wake()
    await world.without(processes)
    for process in processes:
        assert (await process.refused()).state == "open"
    world.clock.advance("5s")
    before = [process.scripts.calls for process in processes]
    for process, well in zip(processes, (False, True), strict=True):
        first, second = process.breaker.allow(), await process.enter()
        assert isinstance(first, Permit)
        assert (await process.refused()).state == "half_open"
        process.breaker.record(first, "success")
        process.breaker.record(second, "success" if well else "failure")
    assert [process.breaker.state for process in processes] == ["open", "closed"]
    assert all(p.scripts.calls - n < 10 for p, n in zip(processes, before, strict=True))


async def test_isolated_stays_isolated_without_redis(world: World, redis_server: RedisServer) -> None:
    """And an operator is obeyed in the process to which he speaks, and by all once Redis is back."""
    processes = await world.processes(2)
    processes[0].breaker.isolate()
    await world.agree(processes, "isolated")
    redis_server.kill()
    await world.without(processes)
    for process in processes:
        assert (await process.refused()).state == "isolated"
    world.clock.advance("1m")
    processes[1].breaker.reset()
    await processes[1].end("success")
    assert (await processes[0].refused()).state == "isolated"
    redis_server.start()
    await world.back(processes)
    await world.agree(processes, "closed")


@pytest.mark.parametrize("how", ["hung", "lost"])
async def test_a_trip_during_an_outage_opens_all_afterwards(
    world: World, redis_server: RedisServer, how: str
) -> None:
    """What one process found out alone it tells when Redis answers again, whether it kept its memory or not."""
    processes = await world.processes(3, timeout="1s")
    await processes[2].end("success")
    if how == "hung":
        redis_server.hang()
    else:
        redis_server.kill()
    await world.without(processes)
    await processes[0].trip()
    await processes[1].end("success", 4)
    if how == "hung":
        redis_server.resume()
    else:
        redis_server.start()
    await world.back(processes)
    await world.agree(processes, "open")
    for process in processes:
        assert process.changes() == ["open"]


async def test_who_asks_a_hung_redis_for_a_probe_is_answered_here(
    world: World, redis_server: RedisServer
) -> None:
    """One caller waits for the time limit, the next ask nobody; what Redis grants too late is given back."""
    processes = await world.processes(2, CircuitBreaker(minimum_calls=2), every="1h", timeout="1s")
    await processes[0].trip()
    await until(lambda: not processes[0].breaker.pending)
    processes[1].breakers.wake()
    await world.agree(processes, "open")
    await world.quiet(processes)
    world.clock.advance("10s")
    redis_server.hang()
    alone = await processes[0].enter()
    assert not processes[0].breakers.answers
    before = processes[0].scripts.calls
    assert (await processes[0].refused()).state == "half_open"
    assert processes[0].scripts.calls == before
    alone.release()
    redis_server.resume()
    world.clock.advance("1s")
    processes[0].breakers.wake()
    await world.back(processes)
    await processes[1].enter()
    assert (await processes[0].refused()).state in {"half_open", "open"}


@pytest.mark.parametrize("state", ["open", "half_open", "isolated"])
async def test_a_redis_that_lost_its_memory_closes_nothing(
    world: World, redis_server: RedisServer, state: str
) -> None:
    """One living process that remembers is enough, also for a process that begins after the loss."""
    processes = await world.processes(2, timeout="1s")
    if state == "isolated":
        processes[0].breaker.isolate()
    else:
        await processes[0].trip()
    await world.agree(processes, "isolated" if state == "isolated" else "open")
    if state == "half_open":
        world.clock.advance("10s")
        await processes[0].enter()
        await world.agree(processes, "half_open")
    redis_server.kill()
    await world.without(processes)
    redis_server.start()
    await world.back(processes)
    (late,) = await world.processes(1)
    expected = "isolated" if state == "isolated" else "open"
    await world.agree([*processes, late], expected)
    if state == "half_open":
        await late.enter()
        await late.enter()
        await world.agree([*processes, late], "half_open")
        assert (await processes[0].refused()).state == "half_open"


async def test_the_later_word_of_an_operator_wins_over_an_outage(
    world: World, redis_server: RedisServer
) -> None:
    """One process isolated it and was then cut off; what another was told since is what holds."""
    processes = await world.processes(2)
    redis_server.kill()
    await world.without(processes)
    processes[0].breaker.isolate()
    world.clock.advance("1s")
    processes[1].breaker.isolate()
    world.clock.advance("1s")
    processes[1].breaker.reset()
    redis_server.start()
    await world.back(processes)
    await world.agree(processes, "closed")
    await processes[0].end("success")


async def test_the_later_finding_wins_between_processes_that_were_alone(
    world: World, redis_server: RedisServer
) -> None:
    """One tripped, and another found it well with as many probes later: closed, whoever is heard first."""
    processes = await world.processes(2)
    await processes[0].trip()
    await world.agree(processes, "open")
    redis_server.kill()
    await world.without(processes)
    world.clock.advance("10s")
    for _ in range(2):
        processes[0].breaker.record(await processes[0].enter(), "failure")
        if processes[0].breaker.state == "open":
            break
    world.clock.advance("1s")
    await processes[1].end("success", 2)
    assert [process.breaker.state for process in processes] == ["open", "closed"]
    redis_server.start()
    await world.back(processes)
    await world.agree(processes, "closed")


async def test_a_probe_under_way_when_redis_goes_is_judged_here(
    world: World, redis_server: RedisServer
) -> None:
    """Its failure opens this process at once, and all when Redis is back."""
    processes = await world.processes(2)
    await processes[0].trip()
    await world.agree(processes, "open")
    world.clock.advance("10s")
    probe = await processes[0].enter()
    await world.agree(processes, "half_open")
    redis_server.kill()
    await world.without(processes)
    processes[0].breaker.record(probe, "failure")
    assert processes[0].breaker.state == "open"
    redis_server.start()
    await world.back(processes)
    await world.agree(processes, "open")


async def test_a_process_that_never_reached_redis_works_alone(redis_server: RedisServer) -> None:
    """From the start to the end, and leaves in peace."""
    redis_server.kill()
    clock = FakeClock()
    scripts = RedisScripts(redis_server.url, clock=clock)
    async with TurnedBreakers(scripts, clock) as breakers:
        breaker = breakers.breaker("model", CONFIG)
        await until(lambda: not breakers.answers)
        for _ in range(4):
            permit = await breaker.enter()
            assert isinstance(permit, Permit)
            breaker.record(permit, "failure")
        assert breaker.state == "open"
    assert not isinstance(await breaker.enter(), Permit)
    clock.advance("10s")
    assert isinstance(await breaker.enter(), Permit)
    await scripts.aclose()
