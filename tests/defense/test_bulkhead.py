"""The bulkhead: bounded, fair, and without a leak under any interleaving."""

import asyncio
import copy
import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_ai.exceptions import ConcurrencyLimitExceeded, ModelUnavailableError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel

from seawall.defense.load import Bulkhead, Gate, Overloaded, Refused, Slot
from seawall.foundation.errors import ConfigError, Rejected
from seawall.testing import FakeClock

Asking = asyncio.Task[Slot | Refused]


async def settle() -> None:
    """Let every task that can go on, go on."""
    for _ in range(3):
        await asyncio.sleep(0)


async def slot_of(gate: Gate) -> Slot:
    """Acquire where there must be room."""
    slot = await gate.acquire()
    assert isinstance(slot, Slot)
    return slot


def ask(gate: Gate) -> Asking:
    """Start asking in a task of its own."""
    return asyncio.create_task(gate.acquire())


class Crowd:
    """Callers of one gate who ask, give up and finish as a test tells them."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.asking: list[Asking] = []
        self.held: list[Slot] = []

    async def do(self, step: str, index: int) -> None:
        """Take one step; only `run` lets the event loop turn."""
        if step == "ask":
            self.asking.append(ask(self.gate))
        elif step == "cancel" and self.asking:
            self.asking[index % len(self.asking)].cancel()
        elif step == "release" and self.held:
            self.held.pop(index % len(self.held)).release()
        elif step == "run":
            await settle()
        self.collect()

    def collect(self) -> None:
        """Hold what was granted."""
        for task in [task for task in self.asking if task.done()]:
            self.asking.remove(task)
            if not task.cancelled() and isinstance(got := task.result(), Slot):
                self.held.append(got)

    async def go_home(self) -> None:
        """Give up or release until nobody is left."""
        while self.held or self.asking:
            for task in self.asking:
                task.cancel()
            for slot in self.held:
                slot.release()
            self.held.clear()
            await self.do("run", 0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "cancel", "release", "release", "run"]), st.integers(0, 50)),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(concurrency=st.integers(1, 3), queue=st.integers(0, 4), steps=STEPS)
def test_no_interleaving_exceeds_the_bounds_or_leaks(
    concurrency: int, queue: int, steps: list[tuple[str, int]]
) -> None:
    """Asking, cancelling and releasing in any order, with the loop run or not between, keeps every promise."""

    async def scenario() -> None:
        gate = Gate(Bulkhead(concurrency, queue, "1h"), FakeClock())
        crowd = Crowd(gate)
        for step, index in steps:
            await crowd.do(step, index)
            stats = gate.stats()
            assert len(crowd.held) <= stats.running <= concurrency
            assert stats.queued <= queue
            assert not stats.queued or stats.running == concurrency
        await crowd.do("run", 0)
        assert len(crowd.held) == gate.stats().running
        await crowd.go_home()
        assert (gate.stats().running, gate.stats().queued) == (0, 0)
        assert len(asyncio.all_tasks()) == 1
        assert isinstance(await gate.acquire(), Slot)

    asyncio.run(scenario())


async def test_the_queue_is_first_come_first_served() -> None:
    """Slots go to waiters in the order of their arrival, and a newcomer does not overtake."""
    gate, order = Gate(Bulkhead(1, 10)), list[int]()

    async def work(number: int) -> None:
        with await slot_of(gate):
            order.append(number)

    first = await slot_of(gate)
    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    await settle()
    first.release()
    tasks.append(asyncio.create_task(work(5)))
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4, 5]


async def test_a_slot_granted_to_a_waiter_as_it_is_cancelled_is_passed_on() -> None:
    """Grant and cancellation in one tick of the loop: the next waiter gets the slot."""
    gate = Gate(Bulkhead(1, 10))
    slot = await slot_of(gate)
    doomed, patient = ask(gate), ask(gate)
    await settle()
    slot.release()
    doomed.cancel()
    await settle()
    assert doomed.cancelled()
    assert isinstance(await patient, Slot)
    assert gate.stats().running == 1


async def test_a_waiter_cancelled_first_is_skipped_by_the_grant() -> None:
    """Cancellation and release in one tick, the other way round: no slot goes to the dead."""
    gate = Gate(Bulkhead(1, 10))
    slot = await slot_of(gate)
    doomed, patient = ask(gate), ask(gate)
    await settle()
    doomed.cancel()
    slot.release()
    assert isinstance(await patient, Slot)
    assert gate.stats().running == 1


async def test_a_full_queue_refuses_at_once_with_an_estimate() -> None:
    """The refusal says when a newcomer would start: measured service time, times the queue, over the slots."""
    clock = FakeClock()
    gate = Gate(Bulkhead(2, 3, "30s"), clock)
    with await slot_of(gate):
        clock.advance("4s")
    running = [await slot_of(gate) for _ in range(2)]
    waiting = [ask(gate) for _ in range(3)]
    await settle()
    refused = await gate.acquire()
    assert refused == Refused("full", 4.0 * (3 + 1) / 2, 0.0, 2, 3)
    for slot in running:
        clock.advance("1s")
        slot.release()
    granted = [await task for task in waiting[:2]]
    assert [slot.queue_seconds for slot in granted] == [1.0, 2.0]
    waiting[2].cancel()


async def test_a_wait_ends_at_its_limit() -> None:
    """A waiter nobody serves is refused after max_wait, leaves the queue and takes no slot later."""
    gate = Gate(Bulkhead(1, 1, "1ms"))
    slot = await slot_of(gate)
    refused = await gate.acquire()
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.queued) == ("timeout", 0)
    assert refused.queue_seconds >= 0.001
    assert refused.retry_after == pytest.approx(0.001)
    slot.release()
    stats = gate.stats()
    assert (stats.running, stats.queued, stats.admitted, stats.refused_timeout, stats.refused_full) == (
        0,
        0,
        1,
        1,
        0,
    )


async def test_a_wait_that_is_over_leaves_no_timer_behind() -> None:
    """Once its waiters are served nothing in the event loop holds on to the gate."""
    gate = Gate(Bulkhead(1, 1, "1h"))
    slot = await slot_of(gate)
    waiting = ask(gate)
    await settle()
    slot.release()
    await waiting
    remains = weakref.ref(gate)
    del gate, slot, waiting
    # The loop's present step still holds the task that woke this one.
    await settle()
    gc.collect()
    assert remains() is None


async def test_a_wait_that_is_closed_with_its_loop_leaks_nothing() -> None:
    """A coroutine thrown away half-way takes its place in the queue with it."""
    gate = Gate(Bulkhead(1, 1, "1h"))
    slot = await slot_of(gate)
    waiting = gate.acquire()
    waiting.send(None)
    waiting.close()
    assert gate.stats().queued == 0
    slot.release()
    assert gate.stats().running == 0


async def test_releasing_twice_gives_one_slot_back() -> None:
    """A slot released by hand inside its block is not freed again."""
    gate = Gate(Bulkhead(1, 0))
    with await slot_of(gate) as slot:
        slot.release()
    assert gate.stats().running == 0


async def _overloaded(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise Overloaded("primary", Refused("full", 1.5, 0.0, 64, 256))


async def _answers(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return ModelResponse(parts=[TextPart("from the second")])


async def test_a_fallback_model_moves_on_from_a_full_bulkhead() -> None:
    """Overloaded needs no setting of FallbackModel."""
    agent = Agent(FallbackModel(FunctionModel(_overloaded), FunctionModel(_answers)))
    assert (await agent.run("hello")).output == "from the second"


def test_the_refusal_says_what_limit_observed_and_what_to_do() -> None:
    """Overloaded is Rejected and both Pydantic AI errors it resembles, and survives a copy."""
    error = copy.copy(Overloaded("primary", Refused("timeout", 1.5, 2.0, 64, 9)))
    assert isinstance(error, Rejected)
    assert isinstance(error, ConcurrencyLimitExceeded)
    assert isinstance(error, ModelUnavailableError)
    assert (error.by, error.retry_after, error.model_name) == ("bulkhead", 1.5, "primary")
    assert str(error) == (
        "bulkhead of 'primary': 64 running and 9 waiting, no room within 2 s; use another model, or try again in 1.5 s"
    )


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"queue": -1}, {"max_wait": "a while"}], ids=str)
def test_settings_that_cannot_hold_are_refused(wrong: dict[str, object]) -> None:
    """A mistake shows at construction."""
    with pytest.raises(ConfigError):
        Bulkhead(**wrong)  # pyright: ignore[reportArgumentType]
    assert Bulkhead().describe() == {"concurrency": 64, "queue": 256, "max_wait": "2s"}
