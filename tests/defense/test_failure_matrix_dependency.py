"""Every way a service can fail, behind a `Dependency`: no agent needed, in each of the three ways to use one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

import pytest
from httpx2 import AsyncClient
from pydantic import BaseModel

from seawall.defense.dependency import Dependency, Protection
from seawall.defense.load import Bulkhead
from seawall.defense.resilience import CircuitBreaker, CircuitOpen, Retries, TimedOut
from tests.defense.broken import READ, Breakage, Broken, tasks_left, web_client

PAID = Retries(share=1.0, first="1ms", longest="10ms")
# Asked to wait for longer than anybody would, nobody asks again.
ASKED_TO_WAIT = {"429 seconds", "429 date", "503 seconds"}
# What a client cannot tell by a status is read as its status is.
BY_STATUS: dict[Breakage, Breakage] = {"quota": "429", "context window": "400"}


class Label(BaseModel):
    label: str


class Trail:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def queued(self, seconds: float) -> None:
        assert seconds >= 0

    def tried(self, dependency: str, outcome: str) -> None:
        self.said.append(f"{dependency}:{outcome}")

    def held_back(self, by: str, retry_after: float | None) -> None:
        self.said.append(by)


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncGenerator[None]:
    """Whatever fails, no task is left of it."""
    yield
    assert not await tasks_left()


def label_service(breaker: CircuitBreaker | None = None, retries: Retries = PAID) -> Dependency:
    """The dependency of these tests: one call at a time, so that a place that is not given back is missed at once."""
    protection = Protection(
        timeout="200ms",
        retries=retries,
        bulkhead=Bulkhead(concurrency=1, queue=0),
        breaker=breaker or CircuitBreaker(),
    )
    return Dependency("tool label", protection)


async def ask(client: AsyncClient, server: Broken) -> str:
    """Ask the service, as any code would."""
    response = await client.post(f"{server.url}/label", json={"text": "some"})
    response.raise_for_status()
    return Label.model_validate(response.json()).label


def in_a_call(dependency: Dependency, attempt: Callable[[], Awaitable[str]], trail: Trail) -> Awaitable[str]:
    """Call it once."""
    return dependency.call(attempt, trail=trail)


def repeatable(dependency: Dependency, attempt: Callable[[], Awaitable[str]], trail: Trail) -> Awaitable[str]:
    """Call it as what may happen twice."""
    return dependency.call(attempt, idempotent=True, trail=trail)


async def in_a_block(dependency: Dependency, attempt: Callable[[], Awaitable[str]], trail: Trail) -> str:
    """Call it between an entry and an exit, where nothing can be made again."""
    async with dependency.admitted(trail):
        return await attempt()


Way = Callable[[Dependency, Callable[[], Awaitable[str]], Trail], Awaitable[str]]
WAYS: list[Way] = [in_a_call, repeatable, in_a_block]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", READ)
async def test_a_service_that_fails(kind: Breakage, way: Way) -> None:
    """The error comes out as it is, or TimedOut; the breaker counts what counts; only what may be made again is."""
    read, counts, again = READ[BY_STATUS.get(kind, kind)]
    tries = 1 + (again and way is repeatable and kind not in ASKED_TO_WAIT)
    dependency, trail = label_service(), Trail()
    async with Broken(kind) as server, web_client() as client:
        with pytest.raises(Exception) as raised:  # noqa: PT011  the table's own check is below
            await way(dependency, partial(ask, client, server), trail)
        assert server.requests in {0, tries}
    assert isinstance(raised.value, TimedOut) is (read == "read_timeout")
    said = "timeout" if read == "read_timeout" else type(raised.value).__name__
    assert trail.said == [f"tool label:{said}"] * tries
    snapshot = dependency.circuit.snapshot()
    assert (snapshot.failures, snapshot.calls, snapshot.probes) == (
        (tries, tries, 0) if counts else (0, 0, 0)
    )
    assert dependency.stats().running == 0


@pytest.mark.parametrize("way", WAYS)
async def test_a_service_that_is_well(way: Way) -> None:
    """Its answer comes through, and is counted as a success."""
    dependency, trail = label_service(), Trail()
    async with Broken() as server, web_client() as client:
        assert await way(dependency, partial(ask, client, server), trail) == "ok"
    assert trail.said == ["tool label:ok"]
    assert (dependency.circuit.snapshot().calls, dependency.circuit.snapshot().failures) == (1, 0)


@pytest.mark.parametrize("kind", ["dns", "reset on request", "503", "wrong shape"])
async def test_a_decorated_function_fails_as_itself(kind: Breakage) -> None:
    """Under `@dependency` a function raises what it would raise without, and is not called where the circuit is open."""
    label = label_service(CircuitBreaker(minimum_calls=1), Retries(most=0))
    asked = 0

    @label
    async def look_up(text: str, *, server: Broken, client: AsyncClient) -> str:
        nonlocal asked
        asked += 1
        return await ask(client, server) + text

    async with Broken(kind) as server, web_client() as client:
        with pytest.raises(Exception) as bare:  # noqa: PT011  whichever it is, it is compared with the other
            await ask(client, server)
        with pytest.raises(type(bare.value)):
            await look_up("!", server=server, client=client)
        with pytest.raises(CircuitOpen):
            await look_up("!", server=server, client=client)
    assert asked == 1
    assert look_up.__name__ == "look_up"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["connect timeout", "read timeout", "stall"])
async def test_a_caller_that_goes_away(kind: Breakage, way: Way) -> None:
    """The call ends with it, its place is free for the next, and the service is not blamed."""
    dependency, trail = label_service(), Trail()
    async with Broken(kind) as server, web_client() as client:
        task = asyncio.ensure_future(way(dependency, partial(ask, client, server), trail))
        if kind != "connect timeout":
            await server.asked.wait()
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if kind != "connect timeout":
            await asyncio.wait_for(server.left.wait(), 30)
    assert trail.said == ["tool label:cancelled"]
    assert (dependency.circuit.snapshot().calls, dependency.stats().running) == (0, 0)


@pytest.mark.parametrize("kind", ["503", "read timeout", "reset on request", "cut", "invalid json"])
async def test_a_service_that_recovers_is_called_again(kind: Breakage) -> None:
    """After its rest one probe is let through; a sound answer closes the circuit."""
    dependency = label_service(CircuitBreaker(minimum_calls=1, open_for="10ms"), Retries(most=0))
    async with Broken(kind) as server, web_client() as client:
        attempt = partial(ask, client, server)
        with pytest.raises(Exception):  # noqa: B017, PT011  how it fails is told above
            await dependency.call(attempt)
        with pytest.raises(CircuitOpen):
            await dependency.call(attempt)
        server.kind = "healthy"
        while dependency.circuit.state != "closed":
            try:
                assert await dependency.call(attempt) == "ok"
            except CircuitOpen as refusal:
                await asyncio.sleep(refusal.retry_after or 0)
        assert await dependency.call(attempt) == "ok"
    assert (dependency.stats().running, dependency.circuit.snapshot().probes) == (0, 0)


async def test_what_did_something_before_it_failed_is_not_done_twice() -> None:
    """Its second step may never have arrived, and its first one has: nothing but its owner's word makes it repeatable."""
    dependency = label_service()
    async with Broken() as first, Broken("refused") as second, web_client() as client:

        async def order() -> str:
            await ask(client, first)
            return await ask(client, second)

        with pytest.raises(Exception):  # noqa: B017, PT011  a refused connection, as told above
            await dependency.call(order)
        assert first.requests == 1
