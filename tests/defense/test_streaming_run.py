"""A hardened agent streams: one row whatever happens, everything given back, and errors as themselves."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelServerError, RunTimedOut
from pydantic_ai.models import Model

from seawall.defense import (
    Bulkhead,
    CircuitBreaker,
    GuardBlocked,
    Policy,
    RateLimit,
    RateLimited,
    guards,
    harden,
)
from seawall.defense.degradation import Unavailable
from seawall.defense.endpoint import Endpoint
from seawall.defense.hardened import Hardened
from seawall.defense.hardened_stream import HardenedStream, StreamStillOpen
from seawall.defense.resume import StreamInterrupted
from seawall.defense.run_state import NotHardened, RunState, current_run
from seawall.foundation.events import Event, EventBus, TransactionFinished
from seawall.foundation.transaction import Transaction
from seawall.testing import FakeClock
from tests.defense.streams import ALICE, RecordingJudge, ScriptedModel, Step, Suspension, call, forever, text

Stream = HardenedStream[Any]


class Rows:
    """Collects ledger rows."""

    def __init__(self) -> None:
        self.rows: list[Transaction] = []
        self.bus = EventBus(self._take)

    def _take(self, event: Event) -> None:
        if isinstance(event, TransactionFinished):
            self.rows.append(event.transaction)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> RecordingJudge:
    """Every run's output is judged by this."""
    judging = RecordingJudge("secret")

    async def judge_output(_run: RunState, said: str, before: str, channel: Any) -> str:
        return await judging(said, before, channel)

    monkeypatch.setattr(RunState, "judge_output", judge_output)
    return judging


def hardened(
    model: Model, policy: Policy | None = None, rows: Rows | None = None, **options: Any
) -> Hardened[None, str]:
    return harden(Agent(model, name="reader"), policy or Policy(), events=rows and rows.bus, **options)


def first(safe: Hardened[None, Any]) -> Endpoint:
    model = safe.guarded_model
    assert isinstance(model, Endpoint)
    return model


async def read(safe: Hardened[None, str], seen: list[str], prompt: str = "go") -> Transaction:
    async with safe.run_stream(prompt, deps=None, principal=ALICE) as stream:
        async for delta in stream.text():
            seen += [delta]
    return stream.transaction


async def test_text_comes_by_sentences_and_the_row_at_the_end() -> None:
    """Pieces add up to the answer; usage, model and outcome are on the one row, which is the stream's."""
    rows, seen = Rows(), list[str]()
    model = ScriptedModel(text("Hello ", "there. ", "How are", " you?"))
    row = await read(hardened(model, rows=rows), seen)
    assert seen == ["Hello there. ", "How are you?"]
    assert rows.rows == [row]
    assert (row.outcome, row.detail, row.model, row.attempts) == ("ok", "", "primary", ("primary:ok",))
    assert (row.input_tokens, row.output_tokens, row.requests) == (10, 4, 1)
    assert row.seconds >= row.model_seconds > 0


async def test_a_typed_answer_grows_and_ends_whole(judge: RecordingJudge) -> None:
    """Partial values hold judged text only; the last one is validated."""

    class Note(BaseModel):
        title: str
        body: str = ""

    steps = call("final_result", '{"title": "A", "bo', 'dy": "One. Tw', "o. Three", '."}')
    agent = Agent(ScriptedModel(steps), name="typed", output_type=Note)
    safe = harden(agent, Policy())
    partials: list[Note] = []
    async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
        async for partial in stream.output():
            assert partial.body in judge.said("tool_call")
            partials.append(partial)
    assert partials[-1] == Note(title="A", body="One. Two. Three.")
    assert len({partial.body for partial in partials}) >= 3
    assert stream.transaction.outcome == "ok"


async def test_personal_data_never_reaches_the_model_and_comes_back_to_the_reader() -> None:
    """Tokens on the wire in, originals on the stream out."""

    class Echo(ScriptedModel):
        def request_stream(self, messages: Any, *args: Any, **options: Any) -> Any:
            self._scripts = (text("You are ", *messages[-1].parts[0].content, ". Bye."),)
            return super().request_stream(messages, *args, **options)

    model, seen = Echo(text("")), list[str]()
    safe = hardened(model, Policy(guards=[guards.pseudonymise()]))
    row = await read(safe, seen, "zoe@example.com")
    assert seen == ["You are zoe@example.com. ", "Bye."]
    assert "zoe@example.com" not in repr(model.heard)
    assert "pseudonymise:replace" in row.verdicts


class Oops(Exception):
    """What a reader raises on its own account."""


async def reads(stream: Stream) -> None:
    async for _ in stream.text():
        pass


async def breaks(stream: Stream) -> None:
    async for _ in stream.text():
        break


async def looks_away(_stream: Stream) -> None:
    pass


async def raises(stream: Stream) -> None:
    async for _ in stream.text():
        raise Oops


async def catches(stream: Stream) -> None:
    with pytest.raises(GuardBlocked):
        await reads(stream)


async def raises_afterwards(stream: Stream) -> None:
    await reads(stream)
    raise Oops


async def dawdles(stream: Stream) -> None:
    async for _ in stream.text():
        await forever()


MORE = text("One. ", "Two. ", "Three.")
HANGS: list[Step] = [*MORE, forever]
FAILS: list[Step] = [*text("One. ", "Tw"), ModelServerError("primary", "boom")]
BLOCKED = text("One. ", "A secret. ", "Three.")
QUICK = Policy(deadline="200ms")
IMPATIENT = Policy(call_timeout="50ms")
Case = tuple[
    Sequence[Step], Callable[[Stream], Awaitable[None]], Policy, type[BaseException] | None, str, str
]
CASES: dict[str, Case] = {
    "read": (MORE, reads, Policy(), None, "ok", "ok"),
    "broken off": (MORE, breaks, Policy(), None, "cancelled", "abandoned"),
    "never read": (MORE, looks_away, Policy(), None, "cancelled", "abandoned"),
    "reader fails": (MORE, raises, Policy(), Oops, "failed", "abandoned"),
    "reader fails after the end": (MORE, raises_afterwards, Policy(), Oops, "ok", "ok"),
    "cancelled": (HANGS, reads, Policy(), asyncio.CancelledError, "cancelled", "cancelled"),
    "past its deadline": (HANGS, reads, QUICK, RunTimedOut, "timeout", "cancelled"),
    "reader dawdles": (MORE, dawdles, QUICK, RunTimedOut, "timeout", "abandoned"),
    "model hangs": (HANGS, reads, IMPATIENT, StreamInterrupted, "failed", "timeout"),
    "model hangs at once": ([forever], reads, IMPATIENT, Unavailable, "failed", "timeout"),
    "model fails": (FAILS, reads, Policy(), StreamInterrupted, "failed", "ModelServerError"),
    "blocked": (BLOCKED, reads, Policy(), GuardBlocked, "blocked", "blocked"),
    "blocked at once": (text("A secret. ", "x"), reads, Policy(), GuardBlocked, "blocked", "blocked"),
    "blocked and caught": (BLOCKED, catches, Policy(), None, "blocked", "blocked"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_whatever_happens_there_is_one_row_and_nothing_is_kept(
    case: Case, judge: RecordingJudge
) -> None:
    """Each way to end has its outcome; slot, permit, task and the model's stream are given back every time."""
    steps, reader, policy, error, outcome, attempt = case
    rows, model = Rows(), ScriptedModel(steps)
    safe = hardened(model, policy, rows)
    before = asyncio.all_tasks()

    async def run() -> None:
        async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
            await reader(stream)

    task = asyncio.create_task(run())
    if error is asyncio.CancelledError:
        await model.waiting.wait()
        task.cancel()
    await asyncio.wait([task])
    raised: Any = asyncio.CancelledError() if task.cancelled() else task.exception()
    assert type(raised) is (error or type(None))
    (row,) = rows.rows
    assert (row.outcome, row.attempts) == (outcome, (f"primary:{attempt}",))
    assert (row.model, row.degradation) == ("" if steps[0] is forever else "primary", row.degradation)
    assert (model.entered, model.left) == (1, 1)
    assert first(safe).dependency.stats().running == 0
    assert first(safe).dependency.circuit.snapshot().calls <= 1
    assert asyncio.all_tasks() == before
    # What was cut off has no final usage, so no price is made up for it.
    assert (row.cost_usd is None) or outcome == "ok"
    assert not judge.said().endswith("secret")


async def test_an_input_guard_refuses_before_anything_streams() -> None:
    """Entering raises what the guard raised; the model is not asked, and the row says blocked."""
    rows, model = Rows(), ScriptedModel(MORE)
    safe = hardened(model, Policy(guards=[guards.size("10 B")]), rows)
    with pytest.raises(GuardBlocked):
        await read(safe, [], "more than ten bytes")
    assert (rows.rows[0].outcome, model.entered) == ("blocked", 0)


async def test_limits_hold_for_streams_too() -> None:
    """A stream over the limit is refused at the door."""
    rows = Rows()
    safe = hardened(ScriptedModel(MORE), Policy(limits=[RateLimit(1, per="1h")]), rows)
    await read(safe, [])
    with pytest.raises(RateLimited):
        await read(safe, [])
    assert [row.outcome for row in rows.rows] == ["ok", "refused"]


async def test_before_the_first_sentence_the_next_model_takes_over() -> None:
    """Held text of a model that failed is thrown away, and the fallback's answer streams."""
    seen: list[str] = []
    primary = ScriptedModel([*text("Half a sent"), ModelServerError("primary", "boom")])
    spare = ScriptedModel(text("All ", "well. "), name="spare")
    row = await read(hardened(primary, Policy(fallbacks=[spare])), seen)
    assert seen == ["All well. "]
    assert row.attempts == ("primary:ModelServerError", "spare:ok")
    assert (row.model, row.degradation) == ("spare", "fallback")
    assert (primary.left, spare.left) == (1, 1)


async def test_a_held_tool_call_that_breaks_off_falls_over_too() -> None:
    """A call is held whole, so an error within its arguments is before the first release."""
    seen: list[str] = []
    primary = ScriptedModel([*call("send", '{"to": "a. b'), ModelServerError("primary", "boom")])
    row = await read(hardened(primary, Policy(fallbacks=[ScriptedModel(MORE, name="spare")])), seen)
    assert ("".join(seen), row.model) == ("One. Two. Three.", "spare")


async def test_after_the_first_sentence_nobody_takes_over() -> None:
    """What is out cannot be taken back, so the reader is told how much it was, and the spare is not asked."""
    rows, seen = Rows(), list[str]()
    spare = ScriptedModel(MORE, name="spare")
    with pytest.raises(StreamInterrupted) as broken:
        await read(hardened(ScriptedModel(FAILS), Policy(fallbacks=[spare]), rows), seen)
    assert broken.value.released == 1
    assert isinstance(broken.value.__cause__, ModelServerError)
    assert seen == ["One. "]
    assert spare.entered == 0
    assert rows.rows[0].attempts == ("primary:ModelServerError",)


async def test_when_no_model_is_left_all_reasons_come() -> None:
    """Every model failing before its first sentence is one error and one row."""
    rows = Rows()
    broken = [ScriptedModel([ModelServerError(name, "boom")], name=name) for name in ("primary", "spare")]
    with pytest.raises(Unavailable) as refused:
        await read(hardened(broken[0], Policy(fallbacks=broken[1:]), rows), [])
    assert refused.value.came_to == (
        ("model primary", "ModelServerError"),
        ("model spare", "ModelServerError"),
    )
    assert rows.rows[0].attempts == ("primary:ModelServerError", "spare:ModelServerError")


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_refused_answer_is_not_asked_for_elsewhere(streaming: bool, judge: RecordingJudge) -> None:
    """A block of the first sentence, or of a whole answer, ends the run: no other model may say it instead."""
    spare = ScriptedModel(MORE, name="spare")
    safe = hardened(ScriptedModel(text("A secret. ", "x")), Policy(fallbacks=[spare]))
    with pytest.raises(GuardBlocked):
        await (read(safe, []) if streaming else safe.run("go", deps=None, principal=ALICE))
    assert spare.entered == 0
    assert judge.asked


async def test_a_slow_reader_does_not_make_a_model_slow() -> None:
    """Only time spent waiting for the model counts against it."""
    clock = FakeClock()
    policy = Policy(breaker=CircuitBreaker(minimum_calls=1, slow_call="5s", open_for="1h", max_open="1h"))

    async def drag() -> None:
        clock.advance(6)

    for steps, dragging, state in (
        (MORE, 60, "closed"),
        ([*text("One. "), drag, *text("T.", index=1)], 0, "open"),
    ):
        safe = hardened(ScriptedModel(steps), policy, clock=clock)
        async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
            async for _ in stream.text():
                clock.advance(dragging)
        assert first(safe).dependency.circuit.state == state
        assert stream.transaction.outcome == "ok"


async def test_a_stream_keeps_its_place_until_it_is_left() -> None:
    """With one place, a second stream is refused while the first is open, and let in after it."""
    safe = hardened(ScriptedModel(MORE), Policy(bulkhead=Bulkhead(concurrency=1, queue=0)))
    async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
        await reads(stream)
        assert first(safe).dependency.stats().running in {0, 1}
    async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
        async for _ in stream.text():
            with pytest.raises(Exception, match="primary") as refused:
                await read(safe, [])
            assert getattr(refused.value, "by", "") == "bulkhead"
            break
    assert await read(safe, [])


async def test_two_streams_in_one_task_keep_to_their_own_run() -> None:
    """Streams read in turns neither mix their rows nor their models, and leave no run behind in the task."""
    one = hardened(ScriptedModel(text("A. ", "B. "), name="one"))
    two = hardened(ScriptedModel([*text("C. "), Suspension()], text("D. ", "E."), name="two"))
    async with (
        one.run_stream("go", deps=None, principal=ALICE) as left,
        two.run_stream("go", deps=None, principal=ALICE) as right,
    ):
        with pytest.raises(NotHardened):
            current_run()
        texts = left.text(), right.text()
        said = [await anext(texts[0]), await anext(texts[1]), await anext(texts[0])]
        said += [delta async for delta in texts[1]]
        said += [delta async for delta in texts[0]]
    assert said == ["A. ", "C. ", "B. ", "D. ", "E."]
    assert (left.transaction.model, right.transaction.model) == ("one", "two")
    assert right.transaction.attempts == ("two:ok", "two:ok")
    assert left.transaction.id != right.transaction.id


async def test_another_task_may_read() -> None:
    """A stream entered here can be read in another task, as web frameworks do."""
    safe = hardened(ScriptedModel(MORE))
    async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
        await asyncio.create_task(reads(stream))
    assert stream.transaction.outcome == "ok"


async def test_many_streams_at_once_do_not_mix_and_leave_nothing() -> None:
    """A hundred runs, every other broken off: each row is its own, and no task, slot or stream is left."""
    rows = Rows()
    model = ScriptedModel([asyncio_pause, *text("One. ", "Two. "), asyncio_pause, *text("Three.", index=1)])
    policy = Policy(bulkhead=Bulkhead(concurrency=8, queue=100, max_wait="60s"))
    safe = hardened(model, policy, rows)
    before = asyncio.all_tasks()

    async def one(number: int) -> str:
        async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
            await (breaks if number % 2 else reads)(stream)
        return stream.transaction.outcome

    outcomes = await asyncio.gather(*(one(number) for number in range(100)))
    assert outcomes == ["ok", "cancelled"] * 50
    assert len({row.id for row in rows.rows}) == 100
    assert (model.entered, model.left) == (100, 100)
    assert first(safe).dependency.stats().running == 0
    assert asyncio.all_tasks() == before


async def asyncio_pause() -> None:
    await asyncio.sleep(0)


async def test_a_stream_says_when_it_is_too_early_or_too_late() -> None:
    """There is no row before the end and nothing to read after it."""
    safe = hardened(ScriptedModel(MORE))
    async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
        with pytest.raises(StreamStillOpen, match="block is left"):
            _ = stream.transaction
        await reads(stream)
    with pytest.raises(StreamStillOpen, match="inside"):
        stream.text()
    assert stream.transaction.outcome == "ok"


async def test_leaving_the_block_ends_its_readers() -> None:
    """A reader that was left half-way, with an answer still to come, is over once the block is."""
    async with hardened(ScriptedModel(MORE)).run_stream("go", deps=None, principal=ALICE) as stream:
        reader = stream.text()
        assert await anext(reader) == "One. "
    assert cast("Any", reader).ag_frame is None
    assert stream.transaction.outcome == "cancelled"
