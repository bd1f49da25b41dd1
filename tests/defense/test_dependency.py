"""One dependency behind bulkhead, breaker, time limit and retries: every way in, every way out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from seawall import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpen,
    Dependency,
    EventBus,
    Hedge,
    OutOfTime,
    Overloaded,
    Protection,
    Retries,
    TimedOut,
)
from seawall.defense.resilience import Allowance, Purse, allow, spending
from seawall.foundation.errors import ConfigError
from seawall.foundation.events import BreakerChanged, Event
from seawall.testing import FakeClock

NO_RETRIES = Retries(most=0)


def made(clock: FakeClock | None = None, *, replaceable: bool = False, **terms: Any) -> Dependency:
    terms.setdefault("retries", NO_RETRIES)
    protection = Protection(**terms)
    options: dict[str, Any] = {} if clock is None else {"clock": clock}
    return Dependency("tool files", protection, replaceable=replaceable, **options)


async def answer() -> str:
    await asyncio.sleep(0)
    return "here"


async def fail() -> str:
    raise ConnectionResetError


async def hang() -> str:
    await asyncio.Event().wait()
    raise AssertionError


def is_empty(dependency: Dependency) -> bool:
    stats = dependency.stats()
    return (stats.running, stats.queued, dependency.circuit.snapshot().probes) == (0, 0, 0)


async def test_every_way_in_is_the_same_dependency() -> None:
    """A call, a decorated function and a block are counted alike."""
    dependency = made()

    @dependency
    async def read(name: str, *, upper: bool = False) -> str:
        """Read a file."""
        return name.upper() if upper else name

    assert await dependency.call(answer) == "here"
    assert (await read("a", upper=True), read.__name__, read.__doc__) == ("A", "read", "Read a file.")
    async with dependency.admitted():
        assert dependency.stats().running == 1
    with pytest.raises(ConnectionResetError):
        async with dependency.admitted():
            raise ConnectionResetError
    snapshot = dependency.circuit.snapshot()
    assert (snapshot.calls, snapshot.failures) == (4, 1)
    assert is_empty(dependency)


async def test_each_refusal_names_the_dependency_and_says_when() -> None:
    """Overloaded, CircuitOpen, OutOfTime before the attempt; TimedOut after it."""
    full = made(bulkhead=Bulkhead(concurrency=1, queue=0))
    async with full.admitted():
        with pytest.raises(Overloaded, match="tool files"):
            await full.call(answer)
    broken = made(breaker=CircuitBreaker(minimum_calls=1, open_for="10s"))
    with pytest.raises(ConnectionResetError):
        await broken.call(fail)
    with pytest.raises(CircuitOpen, match="tool files") as refused:
        await broken.call(answer)
    assert 8 <= (refused.value.retry_after or 0) <= 10
    slow = made(timeout="10ms")
    with pytest.raises(TimedOut, match="tool files"):
        await slow.call(hang)
    assert slow.circuit.snapshot().failures == 1
    with spending(Allowance(0.0, Purse(0))), pytest.raises(OutOfTime, match="tool files"):
        await slow.call(answer)
    for dependency in (full, broken, slow):
        assert is_empty(dependency)


async def test_a_step_that_cannot_be_in_time_is_not_begun() -> None:
    """Less than the quickest recent answer took is too little; a minute later nobody knows how quick it is."""
    clock = FakeClock()
    dependency, begun = made(clock), 0

    async def takes_two() -> None:
        nonlocal begun
        begun += 1
        clock.advance("2s")

    await dependency.call(takes_two)
    for left, allowed in ((1.9, False), (2.1, True)):
        with spending(Allowance(clock.monotonic() + left, Purse(0))):
            if allowed:
                await dependency.call(takes_two)
            else:
                with pytest.raises(OutOfTime) as refused:
                    await dependency.call(takes_two)
                assert (refused.value.left, refused.value.quickest) == (pytest.approx(1.9), 2.0)
    clock.advance("61s")
    with spending(Allowance(clock.monotonic() + 0.5, Purse(0))):
        await dependency.call(takes_two)
    assert begun == 3


async def test_a_steps_time_is_what_is_left() -> None:
    """A request with little time left ends the attempt, and that says nothing about the dependency."""
    dependency = made(timeout="30s")
    with spending(allow("20ms")), pytest.raises(TimedOut):
        await dependency.call(hang)
    assert dependency.circuit.snapshot().calls == 0
    holder = made(bulkhead=Bulkhead(concurrency=1, queue=1, max_wait="30s"))
    async with holder.admitted():
        with spending(allow("20ms")), pytest.raises(OutOfTime):
            await holder.call(answer)
    assert is_empty(holder)


async def test_errors_that_say_nothing_about_it_do_not_count() -> None:
    """The caller's own, as its owner listed them, and those that a request brings about."""
    dependency = made(ignore=(KeyError,), breaker=CircuitBreaker(minimum_calls=1))

    async def missing() -> None:
        raise KeyError("a")

    for _ in range(5):
        with pytest.raises(KeyError):
            await dependency.call(missing)
    assert dependency.circuit.snapshot().calls == 0


@pytest.mark.parametrize("replaceable", [True, False])
async def test_calls_that_hang_open_it_before_they_end(replaceable: bool) -> None:
    """All are given up at once where something else can be turned to; else each keeps its own time limit."""
    dependency = made(
        replaceable=replaceable,
        timeout="400ms",
        breaker=CircuitBreaker(
            slow_call="50ms", slow_rate=1.0, minimum_calls=3, open_for="1h", max_open="1h"
        ),
    )
    tasks = [asyncio.create_task(dependency.call(hang)) for _ in range(4)]
    while dependency.circuit.state == "closed":
        await asyncio.sleep(0.005)
    with pytest.raises(CircuitOpen):
        await dependency.call(answer)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = [task for task in tasks if not task.done()]
    assert bool(waiting) is not replaceable
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {TimedOut}
    assert is_empty(dependency)


async def test_the_log_has_one_line_a_change(caplog: pytest.LogCaptureFixture) -> None:
    """However many calls fail, are refused, or succeed."""
    caplog.set_level("INFO", "seawall.resilience")
    told: list[Event] = []
    clock = FakeClock()
    dependency = Dependency(
        "tool files",
        Protection(retries=NO_RETRIES, breaker=CircuitBreaker(minimum_calls=5, open_for="10s")),
        events=EventBus(told.append),
        clock=clock,
    )
    for _ in range(50):
        with pytest.raises((ConnectionResetError, CircuitOpen)):
            await dependency.call(fail)
    clock.advance("10s")
    for _ in range(50):
        await dependency.call(answer)
    changes = [(event.before, event.after) for event in told if isinstance(event, BreakerChanged)]
    assert changes == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    assert len(caplog.records) == 3


Attempt = Callable[[Dependency], Awaitable[object]]


async def in_a_block(dependency: Dependency) -> None:
    async with dependency.admitted():
        await asyncio.sleep(0)
        await asyncio.sleep(0)


WAYS: dict[str, tuple[dict[str, Any], Attempt]] = {
    "call": ({}, lambda dependency: dependency.call(answer)),
    "block": ({}, in_a_block),
    "retried": (
        {"retries": Retries(share=1.0, most=3, first="1ms", longest="1ms")},
        lambda dependency: dependency.call(fail, idempotent=True),
    ),
    "hedged": (
        {"hedge": Hedge("1ms"), "retries": Retries(share=1.0)},
        lambda d: d.call(hang, idempotent=True),
    ),
    "queued": ({"bulkhead": Bulkhead(concurrency=1, queue=5)}, lambda dependency: dependency.call(answer)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_cancelled_anywhere_it_gives_everything_back(way: tuple[dict[str, Any], Attempt]) -> None:
    """After every number of turns of the loop: no place, no probe, no task is kept, and the next call works."""
    terms, attempt = way
    before = asyncio.all_tasks()
    for turns in range(14):
        dependency = made(**terms)
        others = [asyncio.ensure_future(attempt(dependency)) for _ in range(2 if "bulkhead" in terms else 0)]
        task = asyncio.ensure_future(attempt(dependency))
        for _ in range(turns):
            await asyncio.sleep(0 if turns % 2 else 0.0005)
        task.cancel()
        await asyncio.wait([task, *others])
        if not task.cancelled():
            task.exception()
        assert is_empty(dependency), turns
        assert asyncio.all_tasks() == before
        assert await dependency.call(answer) == "here"


async def test_a_hedge_is_a_second_call_of_which_one_answer_counts() -> None:
    """The slow one is ended; both fail, and the first error is told; unpaid, or not idempotent, there is none."""
    ended: list[str] = []
    asked = 0

    async def slow_at_first() -> str:
        nonlocal asked
        asked += 1
        if asked > 1:
            return "second"
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("first")
        return "first"

    paid = made(hedge=Hedge("10ms"), retries=Retries(share=1.0, most=0))
    assert await paid.call(answer) == "here"
    assert await paid.call(slow_at_first, idempotent=True) == "second"
    assert (asked, ended, is_empty(paid)) == (2, ["first"], True)
    paid.budget.withdraw()
    for dependency, idempotent in ((made(hedge=Hedge("10ms"), timeout="40ms"), True), (paid, False)):
        asked = 0
        with pytest.raises((TimedOut, asyncio.TimeoutError)):
            async with asyncio.timeout(0.1):
                await dependency.call(slow_at_first, idempotent=idempotent)
        assert asked == 1


def test_it_serves_one_loop_after_another() -> None:
    """Nothing of a loop that is closed is waited for in the next."""
    dependency = made(
        timeout="100ms", breaker=CircuitBreaker(slow_call="20ms", slow_rate=1.0, minimum_calls=1, last=1)
    )

    async def once() -> str:
        return await dependency.call(answer)

    assert [asyncio.run(once()) for _ in range(2)] == ["here", "here"]

    async def hanging() -> None:
        with pytest.raises(TimedOut):
            await dependency.call(hang)

    asyncio.run(hanging())
    assert dependency.circuit.state == "open"


def test_a_protection_that_cannot_hold_is_refused() -> None:
    """A hedge after the time limit would never come."""
    with pytest.raises(ConfigError, match="hedge earlier"):
        Protection(hedge=Hedge("30s"), timeout="30s")
