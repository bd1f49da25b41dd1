"""Stores, memories and clients behind a dependency, method by method."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

import pytest

from seawall import Bulkhead, CircuitBreaker, CircuitOpen, Dependency, Protection, Retries, TimedOut
from seawall.defense.protect import protect
from seawall.foundation.errors import ConfigError


class Notes:
    """A memory that can be made to fail."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = 0
        self.hangs = False
        self.closed = False

    async def read(self, key: str) -> str:
        self.calls.append(f"read {key}")
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            self.fails -= 1
            raise ConnectionResetError
        return f"note {key}"

    async def write(self, key: str, value: str) -> None:
        self.calls.append(f"write {key} {value}")
        if self.fails:
            self.fails -= 1
            raise ConnectionResetError

    async def all(self) -> AsyncIterator[str]:
        try:
            for key in "abc":
                yield await self.read(key)
        finally:
            self.closed = True

    def size(self) -> int:
        return len(self.calls)


def behind(notes: Notes, **terms: object) -> tuple[Notes, Dependency]:
    plain: dict[str, object] = {"timeout": "200ms", "retries": Retries(share=1.0, first="1ms"), **terms}
    dependency = Dependency("memory notes", Protection(**plain))  # type: ignore[arg-type]
    return protect(notes, dependency, idempotent=["read"]), dependency


async def test_it_is_used_as_before() -> None:
    """Coroutines, iterators, plain methods, attributes and the class are the target's own."""
    notes, dependency = behind(Notes())
    assert await notes.read("a") == "note a"
    await notes.write("a", "x")
    assert [note async for note in notes.all()] == ["note a", "note b", "note c"]
    assert (notes.size(), notes.closed, isinstance(notes, Notes)) == (5, True, True)
    assert dependency.circuit.snapshot().calls == 6
    assert dependency.stats().running == 0


async def test_what_may_happen_twice_is_tried_again_and_nothing_else() -> None:
    """Reading is made again after a lost connection; writing is not: nobody knows whether it was done."""
    target = Notes()
    notes, _ = behind(target)
    target.fails = 1
    assert await notes.read("a") == "note a"
    target.fails = 1
    with pytest.raises(ConnectionResetError):
        await notes.write("a", "x")
    assert target.calls == ["read a", "read a", "write a x"]


async def test_a_memory_that_hangs_costs_its_time_limit_and_is_then_left_alone() -> None:
    """Every method of it shares the circuit."""
    target = Notes()
    notes, dependency = behind(
        target, timeout="20ms", breaker=CircuitBreaker(minimum_calls=2), retries=Retries(most=0)
    )
    target.hangs = True
    for _ in range(2):
        with pytest.raises(TimedOut):
            await notes.read("a")
    with pytest.raises(CircuitOpen, match="memory notes"):
        await notes.write("a", "x")
    assert len(target.calls) == 2
    assert dependency.stats().running == 0


async def test_an_iterator_that_is_left_is_closed_and_keeps_no_place() -> None:
    """Whoever stops reading leaves nothing behind, and between items no place is held."""
    target = Notes()
    notes, dependency = behind(target, bulkhead=Bulkhead(concurrency=1, queue=0))
    items = cast("AsyncGenerator[str]", notes.all())
    assert await anext(items) == "note a"
    assert await notes.read("x") == "note x"
    await items.aclose()
    assert target.closed
    assert dependency.stats().running == 0


def test_a_method_that_is_none_is_refused() -> None:
    """The error says what there is."""
    with pytest.raises(ConfigError, match="all, read, write"):
        protect(Notes(), Dependency("memory notes"), methods=["size"])


def test_what_would_protect_nothing_is_refused() -> None:
    """A target without coroutine methods, one that is protected already, a retry of what is not protected."""
    notes, dependency = behind(Notes())
    for target in (notes, object()):
        with pytest.raises(ConfigError, match="nothing would be protected"):
            protect(target, dependency)
    with pytest.raises(ConfigError, match="among methods"):
        protect(Notes(), dependency, methods=["write"], idempotent=["read"])


async def test_what_is_set_on_it_is_set_on_the_target() -> None:
    """A setting that its owner changes is changed."""
    target = Notes()
    notes, _ = behind(target)
    notes.fails = 1
    with pytest.raises(ConnectionResetError):
        await notes.write("a", "x")
    assert target.fails == 0
