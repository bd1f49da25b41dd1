"""Several processes' worth of shared breakers on one real Redis, by a clock that the test turns."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from seawall.defense.resilience import CircuitBreaker, Permit, Refusal, Transition
from seawall.foundation.errors import StoreError
from seawall.foundation.storage.redis import RedisScripts, Script
from seawall.testing import FakeClock
from tests.defense.breaker_worker import TurnedBreakers
from tests.redis_server import RedisServer

CONFIG = CircuitBreaker(
    minimum_calls=4, slow_call="5s", window="20s", open_for="10s", max_open="40s", half_open_probes=2
)


class SpiedScripts(RedisScripts):
    """Counts calls; can lose an answer after Redis did what it was asked, and hold calls back at a gate."""

    calls = 0
    under_way = 0
    lose = 0
    gate: asyncio.Event | None = None

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[bytes | str | int],
        *,
        read: Callable[[Any], Any] = lambda answer: answer,
    ) -> Any:
        """Run it, or seem not to."""
        self.calls += 1
        self.under_way += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
            answer = await super().run(script, keys, args, read=read)
        finally:
            self.under_way -= 1
        if self.lose:
            self.lose -= 1
            self._circuit.failed(self._circuit.enter(), "lost")
            raise StoreError("the answer was lost")
        return answer


class Process:
    """What one process has: connections, breakers, and what its listener was told."""

    def __init__(
        self, url: str, clock: FakeClock, config: CircuitBreaker, *, every: str, timeout: str
    ) -> None:
        self.clock = clock
        self.scripts = SpiedScripts(url, timeout=timeout, rest="1s", clock=clock)
        self.breakers = TurnedBreakers(self.scripts, clock, every=every)
        self.breaker = self.breakers.breaker("model", config)
        self.told: list[Transition] = []
        self.breaker.listen(self.told.append)

    def changes(self) -> list[str]:
        """List the states that were told, in order."""
        return [one.after for one in self.told]

    def open_gate(self) -> None:
        """Let held calls go."""
        if self.scripts.gate is not None:
            self.scripts.gate.set()

    async def enter(self) -> Permit:
        """Enter, which must be granted."""
        got = await self.breaker.enter()
        assert isinstance(got, Permit)
        return got

    async def refused(self) -> Refusal:
        """Enter, which must be refused."""
        got = await self.breaker.enter()
        assert isinstance(got, Refusal)
        return got

    async def end(self, outcome: Any, calls: int = 1, retry_after: float | None = None) -> None:
        """Make calls that all come to one thing."""
        for _ in range(calls):
            self.breaker.record(await self.enter(), outcome, retry_after=retry_after)

    async def trip(self, retry_after: float | None = None) -> None:
        """Fail until it opens."""
        await self.end("failure", self.breaker.config.minimum_calls, retry_after)
        assert self.breaker.state == "open"


class World:
    """Processes on one Redis, all by one clock that the test turns."""

    def __init__(self, server: RedisServer, stack: AsyncExitStack) -> None:
        self.server = server
        self.clock = FakeClock()
        self._stack = stack

    async def processes(
        self, number: int, config: CircuitBreaker = CONFIG, *, every: str = "5ms", timeout: str = "5s"
    ) -> list[Process]:
        """Start so many, and wait until each was heard once."""
        made = [
            Process(self.server.url, self.clock, config, every=every, timeout=timeout) for _ in range(number)
        ]
        for process in made:
            self._stack.push_async_callback(process.scripts.aclose)
            await self._stack.enter_async_context(process.breakers)
            self._stack.callback(process.open_gate)
        await until(lambda: all(process.scripts.calls > 0 for process in made))
        return made

    async def agree(self, processes: Sequence[Process], state: str) -> None:
        """Wait until all processes know this state, and Redis what each has to say."""
        await until(
            lambda: all(one.breaker.state == state and not one.breaker.pending for one in processes),
            lambda: self.clock.advance(0.001),
        )

    async def quiet(self, processes: Sequence[Process]) -> None:
        """Wait until no process has anything to say or to hear before its next turn."""
        await until(
            lambda: not any(one.scripts.under_way or one.breakers._urgent.is_set() for one in processes)
        )

    async def without(self, processes: Sequence[Process]) -> None:
        """Wait until all noticed that Redis does not answer."""
        await until(lambda: not any(process.breakers.answers for process in processes))

    async def back(self, processes: Sequence[Process]) -> None:
        """Let the rests be over, and wait until Redis answers all."""
        self.clock.advance("1s")

        def again() -> None:
            self.clock.advance(0.001)
            for process in processes:
                process.breakers.wake()

        again()
        await until(lambda: all(one.breakers.answers and not one.breaker.pending for one in processes), again)


async def until(reached: Callable[[], bool], meanwhile: Callable[[], object] = bool) -> None:
    """Wait for a condition, for long."""
    for _ in range(10_000):
        if reached():
            return
        await asyncio.sleep(0.002)
        meanwhile()
    raise AssertionError("it never came to be")


@pytest.fixture
async def world(redis_server: RedisServer) -> AsyncIterator[World]:
    """Give a world that ends its processes."""
    async with AsyncExitStack() as stack:
        yield World(redis_server, stack)
