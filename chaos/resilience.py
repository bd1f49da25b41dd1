"""Break a hardened agent's provider and its Redis in every way there is, under load, and see that callers never notice more.

`python -m chaos.resilience [--seconds N]`. The agent's first model and the Redis of its limits stand behind proxies that
hang, reset, refuse, garble, cut and delay, one after another; a second model stands by. Promises tested: no request
outlasts its deadline, nothing but a `Rejected` comes out, every phase is answered for the most part, all circuits are closed in
the end, and no task is left. The last line is one JSON object: what the requests of each phase came to.
"""

import argparse
import asyncio
import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

import httpx2
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from chaos.fault import cut, garbage, hang, latency, passing, refuse, reset
from chaos.proxy import FaultProxy
from seawall import (
    CircuitBreaker,
    Event,
    EventBus,
    Hardened,
    Keyring,
    Policy,
    Principal,
    RateLimit,
    Rejected,
    harden,
    open_shared,
)
from seawall.foundation.events import BreakerChanged
from seawall.testing import MockProvider, say
from tests.redis_server import RedisServer

Came = Literal["full", "degraded", "refused", "other", "hung"]

FAULTS = (hang(), reset(), refuse(), garbage(), cut(50), latency(0.1))
# Seconds between requests, whatever became of those before.
PACE = 0.03
DEADLINE = 3.0
# What a busy machine may be late by.
GRACE = 2.0
RECOVERY = 10.0
AT_ONCE = 100
PHASES = 2 * len(FAULTS) + 2


@dataclass(slots=True)
class Tally:
    """What the requests came to, by the phase in which they began."""

    phases: dict[str, Counter[Came]] = field(default_factory=dict[str, Counter[Came]])
    others: set[str] = field(default_factory=set[str])
    longest: float = 0.0
    trips: int = 0

    def hear(self, event: Event) -> None:
        """Count the circuits that open."""
        if isinstance(event, BreakerChanged) and event.after == "open":
            self.trips += 1


class Load:
    """Asks at a steady pace, whatever becomes of the answers, and counts what they come to."""

    def __init__(self, safe: Hardened[None, str], tally: Tally) -> None:
        self.phase = "warming up"
        self._safe = safe
        self._tally = tally
        self._numbers = count()

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until `stop` is set, and wait for every answer."""
        async with asyncio.TaskGroup() as asking:
            while not stop.is_set():
                asking.create_task(self.ask())
                await asyncio.sleep(PACE)

    async def ask(self) -> None:
        """Ask once, and count what it came to."""
        phase, number = self.phase, next(self._numbers)
        started = time.monotonic()
        came = await self._outcome(number)
        self._tally.longest = max(self._tally.longest, time.monotonic() - started)
        self._tally.phases.setdefault(phase, Counter())[came] += 1

    async def _outcome(self, number: int) -> Came:
        who = Principal("acme", f"u-{number % 20}")
        limit = asyncio.timeout(DEADLINE + GRACE)
        try:
            async with limit:
                result = await self._safe.run(f"Question {number}?", deps=None, principal=who)
        except Rejected:
            return "refused"
        except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
            if limit.expired():
                return "hung"
            self._tally.others.add(type(error).__name__)
            return "other"
        return "full" if result.transaction.degradation == "full" else "degraded"


async def break_everything(load: Load, proxies: dict[str, FaultProxy], each: float) -> None:
    """Go through all phases, `each` so many seconds."""
    for name, proxy in proxies.items():
        load.phase = f"before {name}"
        await asyncio.sleep(each)
        for fault in FAULTS:
            load.phase = f"{name} {fault.kind}"
            proxy.fault = fault
            await asyncio.sleep(each)
        proxy.fault = passing()


async def recover(safe: Hardened[None, str], load: Load) -> dict[str, str]:
    """Wait until every circuit is closed, for a bounded time; return their states."""
    load.phase = "recovery"
    until = time.monotonic() + RECOVERY
    while time.monotonic() < until and set(safe.health().breakers.values()) != {"closed"}:
        await asyncio.sleep(PACE)
    load.phase = "after"
    await asyncio.sleep(10 * PACE)
    return dict(safe.health().breakers)


def policy(backup: OpenAIChatModel) -> Policy:
    """Return a policy that is quick to trip and to try again, so that much happens in little time."""
    return Policy(
        limits=[RateLimit(10**6, per="1h")],
        fallbacks=[backup],
        call_timeout="1s",
        deadline=f"{DEADLINE:g}s",
        breaker=CircuitBreaker(
            slow_rate=0.5,
            slow_call="300ms",
            last=20,
            minimum_calls=5,
            open_for="200ms",
            max_open="400ms",
        ),
    )


async def run(redis: RedisServer, seconds: float) -> dict[str, object]:
    """Open everything, break it, and return what came of it."""
    tally, keyring = Tally(), Keyring.ephemeral()
    bus = EventBus(tally.hear)
    with (
        MockProvider(lambda request: say(request, "Fine.")) as first,
        MockProvider(lambda request: say(request, "Fine as well.")) as second,
    ):
        async with AsyncExitStack() as stack:
            provider = await stack.enter_async_context(FaultProxy("127.0.0.1", _port(first.url)))
            store = await stack.enter_async_context(FaultProxy("127.0.0.1", redis.port))
            address = f"redis://127.0.0.1:{store.port}/0"
            shared = await stack.enter_async_context(open_shared(address, keyring, replicas=1, events=bus))
            primary = await stack.enter_async_context(_model("primary", provider.port, AT_ONCE))
            backup = await stack.enter_async_context(_model("backup", _port(second.url), 4))
            safe: Hardened[None, str] = harden(
                Agent(primary, name="steady"),
                policy(backup),
                stores=shared.stores,
                events=bus,
                keyring=keyring,
            )
            load, stop = Load(safe, tally), asyncio.Event()
            for _ in range(5):
                # What the first requests load must not look like a fault.
                await load.ask()
            asking = asyncio.create_task(load.run(stop))
            await break_everything(load, {"provider": provider, "redis": store}, seconds / PHASES)
            breakers = await recover(safe, load)
            stop.set()
            await asking
            passed = provider.passed.connections + store.passed.connections
    left = len(asyncio.all_tasks()) - 1
    return _judged(tally, breakers, left) | {"connections": passed}


@asynccontextmanager
async def _model(name: str, port: int, connections: int) -> AsyncGenerator[OpenAIChatModel]:
    # When the first model's circuit opens, all its callers turn to the second in one moment. A small server's queue of
    # new connections is shorter than that, and those beyond it would wait a second for the kernel to try again.
    limits = httpx2.Limits(max_connections=connections)
    async with httpx2.AsyncClient(limits=limits, timeout=None, trust_env=False) as client:
        opened = OpenAIProvider(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", http_client=client)
        yield OpenAIChatModel(name, provider=opened)


def _port(url: str) -> int:
    return int(url.removesuffix("/v1").rpartition(":")[2])


def _judged(tally: Tally, breakers: dict[str, str], tasks_left: int) -> dict[str, object]:
    """See that every promise was kept; AssertionError names the one that was not."""
    for phase, came in tally.phases.items():
        told = f"{phase}: {dict(came)} {sorted(tally.others)}"
        assert not came["hung"], f"requests outlasted their deadline in {told}"
        assert not came["other"], f"something else than a refusal came out in {told}"
        assert came["full"] + came["degraded"] > came["refused"], f"hardly anything was answered in {told}"
    expected = {f"{name} {fault.kind}" for name in ("provider", "redis") for fault in FAULTS}
    assert expected <= set(tally.phases), f"no request began in {expected - set(tally.phases)}"
    assert tally.trips, "no circuit ever opened"
    assert set(breakers.values()) == {"closed"}, f"not every circuit has closed again: {breakers}"
    assert tally.phases["after"]["full"], f"no full answer in the end: {dict(tally.phases['after'])}"
    assert not tasks_left, f"{tasks_left} tasks are left"
    return {
        "phases": {phase: dict(came) for phase, came in tally.phases.items()},
        "requests": sum(came.total() for came in tally.phases.values()),
        "longest_seconds": round(tally.longest, 3),
        "circuits_opened": tally.trips,
        "circuits": breakers,
        "hung": 0,
        "tasks_left": 0,
    }


def _asked_seconds(text: str) -> float:
    seconds = float(text)
    if not 2 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text}: expected from 2 to 3600 seconds, such as 15")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=_asked_seconds, default=15.0, help="how long to break things; 15 by default"
    )
    asked = parser.parse_args()
    # Circuits that open are what is wanted here, and are counted.
    logging.getLogger("seawall.resilience").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as room:
        redis = RedisServer(Path(room))
        redis.start()
        try:
            came = asyncio.run(run(redis, asked.seconds))
        finally:
            redis.kill()
    print(json.dumps({"seconds": asked.seconds, **came}))


if __name__ == "__main__":
    main()
