"""What each mechanism of resilience adds to a call, in µs: the best of several rounds, next to a bare await."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from seawall.defense.chaos import Chaos, Fault, Injector
from seawall.defense.dependency import Dependency, Protection
from seawall.defense.load import Bulkhead, Gate, Slot
from seawall.defense.resilience import Breaker, CircuitBreaker, Permit, Refusal, allow, spending
from seawall.defense.resilience.shared import SharedBreakers
from seawall.foundation.storage.redis import RedisScripts, Script
from tests.redis_server import RedisServer

_ROUNDS = 7
_CALLS = 20_000
_EMPTY = Script("return 1")


async def _answer() -> int:
    return 1


async def _timed(once: Callable[[], Awaitable[object]], calls: int = _CALLS) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(calls):
            await once()
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / calls


def _breaker(*, is_open: bool) -> float:
    breaker = Breaker(CircuitBreaker(open_for="1h", max_open="1h", minimum_calls=1))
    if is_open:
        permit = breaker.allow()
        assert isinstance(permit, Permit)
        breaker.record(permit, "failure")
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(_CALLS):
            permit = breaker.allow()
            if isinstance(permit, Permit):
                breaker.record(permit, "success")
            else:
                assert isinstance(permit, Refusal)
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / _CALLS


async def _bulkhead() -> float:
    gate = Gate(Bulkhead())

    async def once() -> None:
        slot = await gate.acquire()
        assert isinstance(slot, Slot)
        slot.release()

    return await _timed(once)


async def micro() -> dict[str, float]:
    """Measure; µs a call."""
    bare = await _timed(_answer)
    dependency = Dependency("tool lookup", Protection())
    injector = Injector(Chaos((Fault("error", 0.5, "model *"),)))
    watched = Dependency("tool lookup", Protection(), injector=injector)
    results = {
        "bare_await": bare,
        "breaker_closed": _breaker(is_open=False),
        "breaker_open": _breaker(is_open=True),
        "bulkhead": await _bulkhead(),
        "dependency": await _timed(lambda: dependency.call(_answer)),
        "dependency_with_chaos_elsewhere": await _timed(lambda: watched.call(_answer)),
    }
    with spending(allow("1h")):
        results["dependency_with_deadline"] = await _timed(lambda: dependency.call(_answer))
    results |= await _shared()
    return {name: round(value, 3) for name, value in results.items()}


async def _shared() -> dict[str, float]:
    """A shared breaker on a Redis of its own: a call while it is closed, and leave for a probe next to an empty script."""
    many = CircuitBreaker(minimum_calls=1, open_for="1ms", max_open="1ms", half_open_probes=10**6)
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        scripts = RedisScripts(server.url, timeout="1s")
        async with SharedBreakers(scripts, secret=secrets.token_bytes(16)) as breakers:
            closed, probed = breakers.breaker("closed", CircuitBreaker()), breakers.breaker("probed", many)

            async def call() -> None:
                permit = await closed.enter()
                assert isinstance(permit, Permit)
                closed.record(permit, "success")

            permit = await probed.enter()
            assert isinstance(permit, Permit)
            probed.record(permit, "failure")
            await asyncio.sleep(0.3)
            results = {
                "shared_breaker_closed": await _timed(call),
                "redis_empty_script": await _timed(lambda: scripts.run(_EMPTY, [], []), 500),
                "shared_breaker_probe_on_redis": await _timed(probed.enter, 30),
            }
            assert probed.state == "half_open"
        await scripts.aclose()
        server.kill()
        return results
