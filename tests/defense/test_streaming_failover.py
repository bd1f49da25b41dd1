"""A stream that breaks: unseen before its first words, said plainly after them, and asked anew by its resume id."""

import asyncio
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, ThinkingPart, ThinkingPartDelta

from seawall import CircuitBreaker, EventBus, Policy, Principal, RateLimit, Retries, harden
from seawall.defense.asked import Asked
from seawall.defense.chaos import Chaos, Fault
from seawall.defense.limits import Caller
from seawall.defense.resume import Interrupted, NothingToResume, StreamInterrupted
from seawall.foundation.events import Event, TransactionFinished
from seawall.foundation.transaction import Transaction
from seawall.testing import FakeClock
from tests.defense.streams import ALICE, ScriptedModel, Step, call, forever, text

BROKEN = ModelHTTPError(503, "primary")
MORE = text("One. ", "Two. ", "Three.")
THINKS: list[Step] = [
    PartStartEvent(index=0, part=ThinkingPart("Let me think. ")),
    *(PartDeltaEvent(index=0, delta=ThinkingPartDelta(content_delta="And on. ")) for _ in range(3)),
]
UNSEEN: dict[str, list[Step]] = {
    "at once": [BROKEN],
    "after its role": [PartStartEvent(index=0, part=TextPart("")), BROKEN],
    "in its first sentence": [*text("One and tw"), BROKEN],
    "after it has thought": [*THINKS, BROKEN],
}
NO_RETRIES = Retries(most=0)


class Rows(list[Transaction]):
    """The rows of finished runs."""

    def __init__(self) -> None:
        super().__init__()
        self.bus = EventBus(self._keep)

    def _keep(self, event: Event) -> None:
        if isinstance(event, TransactionFinished):
            self.append(event.transaction)


def hardened(*models: ScriptedModel, rows: Rows | None = None, clock: Any = None, **policy: Any) -> Any:
    first, *others = models
    terms = Policy(fallbacks=others, retries=policy.pop("retries", NO_RETRIES), **policy)
    options = {} if clock is None else {"clock": clock}
    return harden(Agent(first, name="reader"), terms, events=None if rows is None else rows.bus, **options)


async def read(
    safe: Any, seen: list[str], prompt: str | None = "go", who: Principal = ALICE, **more: Any
) -> None:
    async with safe.run_stream(prompt, deps=None, principal=who, **more) as stream:
        async for delta in stream.text():
            seen += [delta]


@pytest.mark.parametrize("steps", UNSEEN.values(), ids=UNSEEN)
async def test_before_its_first_words_another_model_takes_over_unseen(steps: list[Step]) -> None:
    """The reader gets one whole answer; the row says who failed and who answered, and nothing is held."""
    rows, seen = Rows(), list[str]()
    primary, spare = ScriptedModel(steps), ScriptedModel(MORE, name="spare")
    safe = hardened(primary, spare, rows=rows)
    before = asyncio.all_tasks()
    await read(safe, seen)
    assert "".join(seen) == "One. Two. Three."
    (row,) = rows
    assert row.attempts == ("primary:ModelHTTPError", "spare:ok")
    assert (row.outcome, row.degradation, row.model) == ("ok", "fallback", "spare")
    assert (primary.entered, primary.left) == (1, 1)
    assert safe.circuits["model primary"].snapshot().failures == 1
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("steps", UNSEEN.values(), ids=UNSEEN)
async def test_before_its_first_words_it_is_tried_again_where_that_is_paid_for(steps: list[Step]) -> None:
    """One model alone: the same call is made once more, and the reader notices nothing."""
    rows, seen = Rows(), list[str]()
    primary = ScriptedModel(steps, MORE)
    await read(hardened(primary, rows=rows, retries=Retries(share=1.0, first="1ms")), seen)
    assert "".join(seen) == "One. Two. Three."
    assert rows[0].attempts == ("primary:ModelHTTPError", "primary:ok")


async def test_a_stream_that_hangs_before_its_first_words_is_given_up_for_the_next() -> None:
    """After its time limit, or as soon as its circuit opens because others hang too."""
    rows, seen = Rows(), list[str]()
    primary = ScriptedModel([*THINKS, forever])
    breaker = CircuitBreaker(slow_call="50ms", minimum_calls=3, slow_rate=1.0)
    safe = hardened(
        primary, ScriptedModel(MORE, name="spare"), rows=rows, breaker=breaker, call_timeout="30s"
    )
    await asyncio.gather(*(read(safe, seen) for _ in range(3)))
    assert "".join(sorted(seen)) == "".join(sorted(["One. ", "Two. ", "Three."] * 3))
    assert {row.attempts for row in rows} == {("primary:timeout", "spare:ok")}
    assert safe.circuits["model primary"].state == "open"


async def test_cancelled_while_it_falls_over_it_leaves_nothing() -> None:
    """Whoever gives up in between gives back every place, and no model is left open."""
    primary, spare = ScriptedModel([BROKEN]), ScriptedModel([forever], name="spare")
    safe = hardened(primary, spare)
    task = asyncio.create_task(read(safe, []))
    await spare.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (primary.left, spare.left) == (1, 1)
    assert {circuit.snapshot().probes for circuit in safe.circuits.values()} == {0}


async def test_what_broke_off_is_asked_anew_by_its_id() -> None:
    """The question need not be sent again; the answer begins anew, with a row of its own, and the id holds once."""
    rows, seen = Rows(), list[str]()
    primary = ScriptedModel([*text("One. ", "Tw"), BROKEN], MORE)
    safe = hardened(primary, rows=rows)
    with pytest.raises(StreamInterrupted) as broken:
        await read(safe, seen, "What are the terms?")
    assert (seen, broken.value.released, broken.value.by) == (["One. "], 1, "stream")
    again: list[str] = []
    await read(safe, again, None, resume=broken.value.resume_id)
    assert "".join(again) == "One. Two. Three."
    assert "What are the terms?" in str(primary.heard[-1])
    assert [(row.outcome, row.detail) for row in rows] == [("failed", "StreamInterrupted"), ("ok", "")]
    with pytest.raises(NothingToResume):
        await read(safe, [], None, resume=broken.value.resume_id)


@pytest.mark.parametrize("thief", [Principal("acme", "bob"), Principal("evil", ALICE.subject)])
async def test_nobody_else_can_have_it_asked(thief: Principal) -> None:
    """Neither a colleague nor another tenant, and their trying takes it from nobody."""
    safe = hardened(ScriptedModel([*text("One. ", "Tw"), BROKEN], MORE))
    with pytest.raises(StreamInterrupted) as broken:
        await read(safe, [])
    with pytest.raises(NothingToResume) as stolen:
        await read(safe, [], None, thief, resume=broken.value.resume_id)
    with pytest.raises(NothingToResume) as made_up:
        await read(safe, [], None, resume="made-up")
    assert str(stolen.value) == str(made_up.value)
    await read(safe, [], None, resume=broken.value.resume_id)


async def test_a_resumed_run_is_a_run_like_any_other() -> None:
    """Limits count it, and the five minutes are five minutes."""
    clock = FakeClock()
    script: list[Step] = [*text("One. ", "Tw"), BROKEN]
    safe = hardened(ScriptedModel(script), clock=clock, limits=[RateLimit(2, per="1h")])
    ids: list[str] = []
    for resume in (None, 0):
        with pytest.raises(StreamInterrupted) as broken:
            await read(
                safe, [], None if resume is not None else "go", resume=None if resume is None else ids[0]
            )
        ids.append(broken.value.resume_id)
    with pytest.raises(Exception, match="limit"):
        await read(safe, [], None, resume=ids[1])
    clock.advance("5m")
    with pytest.raises(NothingToResume):
        await read(hardened(ScriptedModel(MORE), clock=clock), [], None, resume=ids[1])


async def test_what_a_tool_was_called_for_is_not_asked_anew() -> None:
    """It may have done something, and would do it again."""
    done: list[str] = []
    model = ScriptedModel(call("pay", "{}"), [*text("One. ", "Tw"), BROKEN])
    agent = Agent(model, name="reader")

    @agent.tool_plain
    def pay() -> str:
        done.append("paid")
        return "paid"

    safe = harden(agent, Policy(retries=NO_RETRIES))
    with pytest.raises(StreamInterrupted, match="ask again") as broken:
        await read(safe, [])
    assert (broken.value.resume_id, done) == ("", ["paid"])


async def test_injected_garbage_takes_the_place_of_what_is_streamed() -> None:
    """As long as what the model said, and nothing of it; the model's stream is closed as ever."""
    seen = list[str]()
    model = ScriptedModel(MORE)
    safe = hardened(model, guards=[], chaos=Chaos([Fault("garbage", 1.0, "model *")]))
    await read(safe, seen)
    said = "".join(seen)
    assert len(said) == len("One. Two. Three.")
    assert "One" not in said
    assert (model.entered, model.left) == (1, 1)


def test_what_is_kept_is_bounded() -> None:
    """256 questions, 16 million characters, five minutes; the oldest go first, and too long a one is not kept."""
    clock = FakeClock()
    kept, caller = Interrupted(clock), Caller.of(ALICE)
    short = [kept.keep(caller, Asked.of(f"question {number}", None, None)) for number in range(300)]
    with pytest.raises(NothingToResume):
        kept.take(short[43], caller)
    assert kept.take(short[44], caller).prompt == "question 44"
    assert kept.keep(caller, Asked.of("x" * 16_000_001, None, None)) == ""
    long = kept.keep(caller, Asked.of("x" * 15_999_990, None, None))
    with pytest.raises(NothingToResume):
        kept.take(short[299], caller)
    clock.advance("5m")
    with pytest.raises(NothingToResume):
        kept.take(long, caller)
    assert "question" not in repr(kept._kept)
