"""One of several processes that share a breaker: it does what the test says, by the time that the test tells."""

import asyncio
from multiprocessing.connection import Connection
from typing import Any

from seawall.defense.resilience import CircuitBreaker, Permit
from seawall.defense.resilience.shared import SharedBreakers
from seawall.foundation.clock import Clock
from seawall.foundation.storage.redis import RedisScripts

SECRET = b"secret of the test, 32 bytes long"
CONFIG = CircuitBreaker(
    minimum_calls=5, slow_call="5s", open_for="10s", max_open="2m", window="30s", half_open_probes=3
)


class ToldClock:
    """Microseconds that the test writes into memory which all processes see."""

    def __init__(self, microseconds: Any) -> None:
        self._microseconds = microseconds

    def monotonic(self) -> float:
        """Seconds since an arbitrary point."""
        return self._microseconds.value / 1_000_000

    def time(self) -> float:
        """Return the same."""
        return self.monotonic()


class TurnedBreakers(SharedBreakers):
    """Shared breakers that tell Redis the time."""

    def __init__(
        self, scripts: RedisScripts, clock: Clock, *, every: str = "10ms", namespace: str = "seawall"
    ) -> None:
        super().__init__(scripts, secret=SECRET, namespace=namespace, every=every, clock=clock)
        self._told = clock

    def _at(self) -> int:
        return 1_700_000_000_000_000 + round(self._told.monotonic() * 1_000_000)


def work(url: str, microseconds: Any, orders: Connection) -> None:
    """Obey until told to stop."""
    asyncio.run(_obey(url, ToldClock(microseconds), orders))


async def _obey(url: str, clock: Clock, orders: Connection) -> None:
    # So generous that a busy machine does not look like an outage.
    scripts = RedisScripts(url, timeout="20s")
    loop = asyncio.get_running_loop()
    async with TurnedBreakers(scripts, clock) as breakers:
        breaker = breakers.breaker("model", CONFIG)
        held: list[Permit] = []
        while True:
            what, argument = await loop.run_in_executor(None, orders.recv)
            answer: object = None
            if what == "stop":
                break
            if what == "attempt":
                got = await asyncio.gather(*(breaker.enter() for _ in range(argument)))
                permits = [one for one in got if isinstance(one, Permit)]
                held += permits
                answer = len(permits)
            elif what == "fail":
                for _ in range(argument):
                    permit = await breaker.enter()
                    assert isinstance(permit, Permit)
                    breaker.record(permit, "failure")
            elif what == "report":
                answer = len(held)
                for permit in held:
                    breaker.record(permit, argument)
                held.clear()
            elif what == "isolate":
                breaker.isolate(argument)
            elif what == "reset":
                breaker.reset(argument)
            else:
                answer = breaker.state
            orders.send(answer)
    await scripts.aclose()
    orders.send(None)
