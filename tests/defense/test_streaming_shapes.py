"""Every shape a response comes in: judged with tokens in it before anything of it goes out, then restored exactly."""

import json
from types import AsyncGeneratorType
from typing import Any, cast

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, PromptedOutput, capture_run_messages
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import (
    FilePart,
    FinalResultEvent,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    NativeToolCallPart,
    NativeToolReturnPart,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters, StreamedResponse

from seawall.defense.guards import GuardBlocked
from seawall.defense.run_state import RunState, running
from seawall.defense.streaming import HeldStream
from tests.defense.streams import (
    RecordingJudge,
    ScriptedModel,
    Step,
    call,
    endpoint,
    run_state,
    text,
    vault,
)

ODD = 'zoe@example.com, "Zed"\\ 😀'


class Contact(BaseModel):
    name: str
    note: str


async def read(agent: Agent[None, str], seen: list[str]) -> None:
    """Stream an agent's text; what came is in `seen`, whatever happens after."""
    async with agent.run_stream("go") as result:
        async for said in result.stream_text(delta=True, debounce_by=None):
            seen += [said]


async def streamed(steps: list[Step], run: RunState) -> list[str]:
    """Stream an agent's text through a guarded model."""
    seen: list[str] = []
    with running(run):
        await read(Agent(endpoint(ScriptedModel(steps))), seen)
    return seen


async def whole(parts: list[ModelResponsePart], run: RunState) -> ModelResponse:
    """Ask a guarded model without streaming."""
    steps: list[Step] = [PartStartEvent(index=n, part=part) for n, part in enumerate(parts)]
    with running(run):
        ask: list[Any] = [ModelRequest([UserPromptPart("go")])]
        return await endpoint(ScriptedModel(steps)).request(ask, None, ModelRequestParameters())


async def events_of(steps: list[Step], run: RunState) -> tuple[list[Any], StreamedResponse]:
    with running(run):
        opening = endpoint(ScriptedModel(steps)).request_stream([], None, ModelRequestParameters())
        async with opening as stream:
            return [event async for event in stream], stream


async def test_streamed_text_goes_out_a_sentence_at_a_time_after_its_verdict() -> None:
    """At every moment what is out is the start of what was judged, and the delay is one sentence."""
    judge = RecordingJudge()
    pieces = ["Hel", "lo there. How", " are you? ", "I am", " fine."]
    agent = Agent(endpoint(ScriptedModel(text(*pieces))))
    out = ""
    with running(run_state(judge)):
        async with agent.run_stream("go") as result:
            async for delta in result.stream_text(delta=True, debounce_by=None):
                out += delta
                assert judge.said().startswith(out)
                assert judge.said() == out
    assert [said for said, _, _ in judge.asked] == ["Hello there. ", "How are you? ", "I am fine."]
    assert [before for _, before, _ in judge.asked] == ["", "Hello there. ", "Hello there. How are you? "]
    assert out == "".join(pieces)


async def test_a_judge_gets_the_last_four_hundred_characters_as_context() -> None:
    """The context is bounded, and is of the same channel."""
    judge = RecordingJudge()
    await streamed(text("a" * 399 + ". ", "b. ", "c."), run_state(judge))
    assert [len(before) for _, before, _ in judge.asked] == [0, 400, 400]
    assert judge.asked[2][1].endswith("a. b. ")


async def test_blocked_text_ends_the_stream_and_history_holds_what_went_out() -> None:
    """The refusal comes as itself, unwrapped; neither reader nor history sees the refused sentence."""
    judge = RecordingJudge("secret")
    agent = Agent(endpoint(model := ScriptedModel(text("Fine. ", "It is sec", "ret. ", "More."))))
    seen: list[str] = []
    with running(run_state(judge)), capture_run_messages() as history, pytest.raises(GuardBlocked):
        await read(agent, seen)
    assert seen == ["Fine. "]
    response = history[-1]
    assert isinstance(response, ModelResponse)
    assert [part.content for part in response.parts if isinstance(part, TextPart)] == ["Fine. "]
    assert response.state == "interrupted"
    assert (model.entered, model.left) == (1, 1)


async def test_a_guard_that_crashes_lets_nothing_out() -> None:
    """Its error goes through as it is, and the sentence stays in."""
    judge = RecordingJudge("sec", crash=ZeroDivisionError("boom"))
    seen: list[str] = []
    with running(run_state(judge)), pytest.raises(ZeroDivisionError):
        await read(Agent(endpoint(ScriptedModel(text("Fine. ", "A secret. ")))), seen)
    assert seen == ["Fine. "]


async def test_text_comes_back_with_its_originals_and_the_judge_saw_tokens_only() -> None:
    """A token cut anywhere is whole again, in streams and in whole responses alike."""
    kept = vault()
    said = kept.pseudonymise("Write to zoe@example.com. Or call +1 415 555 0134 now.")
    for size in (1, 7, 100):
        judge = RecordingJudge()
        out = await streamed(
            text(*(said[at : at + size] for at in range(0, len(said), size))), run_state(judge, kept)
        )
        assert "".join(out) == kept.restore(said)
        assert judge.said() == said
    judge = RecordingJudge()
    response = await whole([TextPart(said)], run_state(judge, kept))
    assert response.parts == [TextPart(kept.restore(said))]
    assert judge.said() == said


async def test_a_whole_response_is_judged_before_it_is_given() -> None:
    """Text, arguments and thinking of a response that was not streamed pass the same judge, escapes decoded."""
    judge = RecordingJudge()
    parts: list[ModelResponsePart] = [
        ThinkingPart("hm"),
        TextPart("so"),
        ToolCallPart("f", r'{"a": "\u0069gnore"}'),
        ToolCallPart("f", {"a": "x\ny"}),
    ]
    await whole(parts, run_state(judge))
    assert [(said, channel) for said, _, channel in judge.asked] == [
        ("hm", "thinking"),
        ("so", "text"),
        ('{"a": "ignore"}', "tool_call"),
        ('{"a": "x\ny"}', "tool_call"),
    ]
    for part in parts:
        with pytest.raises(GuardBlocked):
            await whole([part], run_state(RecordingJudge("")))


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("as_object", [True, False])
async def test_a_tool_gets_originals_and_its_result_goes_back_as_tokens(
    escaped: bool, as_object: bool
) -> None:
    """A function tool's call is held whole, judged, restored, run; what it returns is hidden from the model."""
    kept, judge = vault(), RecordingJudge()
    hidden = kept.pseudonymise("zoe@example.com")
    arguments = json.dumps({"to": f'"{hidden}" 😀'}, ensure_ascii=escaped)
    pieces = [arguments[at : at + 5] for at in range(0, len(arguments), 5)]
    steps: list[Step] = call("send", *pieces)
    if as_object:
        steps = [PartStartEvent(index=0, part=ToolCallPart("send", json.loads(arguments), "call-0"))]
    agent = Agent(endpoint(model := ScriptedModel(steps, text("Done."))))
    sent: list[str] = []

    @agent.tool_plain
    def send(to: str) -> str:
        sent.append(to)
        return f"sent to {to}"

    _ = send
    with running(run_state(judge, kept)):
        async with agent.run_stream("go") as result:
            assert await result.get_output() == "Done."
    assert sent == ['"zoe@example.com" 😀']
    assert judge.asked[0] == (f'{{"to": ""{hidden}" 😀"}}', "", "tool_call")
    assert hidden in repr(model.heard[1])
    assert "zoe@example.com" not in repr(model.heard[1])


async def test_a_refused_tool_call_never_runs() -> None:
    """Text before it went out, the call did not, and no tool ran."""
    agent = Agent(endpoint(ScriptedModel([*text("Let me. "), *call("send", '{"to": "ev', 'il"}', index=1)])))
    ran: list[str] = []

    @agent.tool_plain
    def send(to: str) -> str:
        ran.append(to)
        return to

    _ = send
    with running(run_state(RecordingJudge("evil"))), pytest.raises(GuardBlocked):
        async with agent.run_stream("go") as result:
            await result.get_output()
    assert ran == []


@pytest.mark.parametrize("shape", ["tool", "native", "prompted"])
@pytest.mark.parametrize("escaped", [True, False])
async def test_structured_output_streams_with_originals_in_it(shape: str, escaped: bool) -> None:
    """Output tools, native and prompted output give growing values, quotes and all, and never a token."""
    kept, judge = vault(), RecordingJudge()
    name, note = f"{ODD}", "One from zoe@example.com. Two. Three."
    raw = json.dumps({"name": kept.pseudonymise(name), "note": kept.pseudonymise(note)}, ensure_ascii=escaped)
    pieces = [raw[at : at + 3] for at in range(0, len(raw), 3)]
    output: Any = {"tool": Contact, "native": NativeOutput(Contact), "prompted": PromptedOutput(Contact)}[
        shape
    ]
    steps = call("final_result", *pieces) if shape == "tool" else text(*pieces)
    model = ScriptedModel(steps)
    model._profile = {"supports_json_schema_output": True}
    agent: Agent[None, Contact] = Agent(endpoint(model), output_type=output)
    partials: list[Contact] = []
    with running(run_state(judge, kept)):
        async with agent.run_stream("go") as result:
            async for partial in result.stream_output(debounce_by=None):
                partials.append(partial)
                assert "⟦" not in repr(partial)
    assert partials[-1] == Contact(name=name, note=note)
    assert len({partial.note for partial in partials}) >= 3
    assert "zoe@example.com" not in "".join(said for said, _, _ in judge.asked)
    assert "".join(said for said, _, _ in judge.asked).count("⟦EMAIL_ADDRESS:") == 2


@pytest.mark.parametrize("mode", ["native", "prompted"])
async def test_whole_structured_text_keeps_its_quotes(mode: Any) -> None:
    """An original with a quote in it does not break JSON text that came whole."""
    kept = vault()
    original = '{"to": "' + "mail zoe@example.com"
    said = json.dumps({"to": kept.pseudonymise(original)})
    model = ScriptedModel(text(said))
    model._profile = {"supports_json_schema_output": True}
    parameters = ModelRequestParameters(output_mode=mode)
    with running(run_state(RecordingJudge(), kept)):
        response = await endpoint(model).request([], None, parameters)
    (part,) = response.parts
    assert isinstance(part, TextPart)
    assert json.loads(part.content) == {"to": original}


async def test_thinking_is_judged_and_stays_as_signed() -> None:
    """Thinking goes out by sentences, tokens in it stay, and the signature comes after the text it covers."""
    kept, judge = vault(), RecordingJudge()
    hidden = kept.pseudonymise("I write to zoe@example.com")
    steps: list[Step] = [
        PartStartEvent(index=0, part=ThinkingPart(hidden[:9])),
        PartDeltaEvent(index=0, delta=ThinkingPartDelta(content_delta=hidden[9:])),
        PartDeltaEvent(index=0, delta=ThinkingPartDelta(signature_delta="sig", provider_name="scripted")),
        *text("Done.", index=1),
    ]
    _, stream = await events_of(steps, run_state(judge, kept))
    assert stream.get().parts == [
        ThinkingPart(hidden, signature="sig", provider_name="scripted"),
        TextPart("Done."),
    ]
    assert judge.said("thinking") == hidden
    with pytest.raises(GuardBlocked):
        await events_of(steps, run_state(RecordingJudge("write"), kept))


async def test_a_part_that_cannot_be_read_is_refused_where_guards_stand() -> None:
    """A picture is blocked, streamed or whole; without guards it passes."""
    picture = FilePart(BinaryContent(b"\x89PNG", media_type="image/png"))
    steps: list[Step] = [PartStartEvent(index=0, part=picture)]
    refusing = run_state(RecordingJudge())
    with pytest.raises(GuardBlocked):
        await events_of(steps, refusing)
    assert refusing.verdicts == ["shape:block"]
    with pytest.raises(GuardBlocked):
        await whole([picture], run_state(RecordingJudge()))
    _, stream = await events_of(steps, run_state())
    assert stream.get().parts == [picture]
    assert (await whole([picture], run_state())).parts == [picture]


async def test_what_a_providers_own_tool_did_is_judged_and_left_as_it_is() -> None:
    """A native call is held whole and its result read; tokens stay, as the provider wrote them."""
    kept, judge = vault(), RecordingJudge()
    hidden = kept.pseudonymise("zoe@example.com")
    steps: list[Step] = [
        PartStartEvent(index=0, part=NativeToolCallPart("web_search", '{"q": ', "n-1")),
        PartDeltaEvent(index=0, delta=ToolCallPartDelta(args_delta=f'"{hidden}"}}')),
        PartStartEvent(index=1, part=NativeToolReturnPart("web_search", "found it", "n-1")),
        *text("Done.", index=2),
    ]
    _, stream = await events_of(steps, run_state(judge, kept))
    first, second, third = stream.get().parts
    assert isinstance(first, NativeToolCallPart)
    assert first.args == f'{{"q": "{hidden}"}}'
    assert isinstance(second, NativeToolReturnPart)
    assert third == TextPart("Done.")
    assert [channel for _, _, channel in judge.asked] == ["tool_call", "returned", "text"]
    for forbidden in (hidden, "found"):
        with pytest.raises(GuardBlocked):
            await events_of(steps, run_state(RecordingJudge(forbidden), kept))


async def test_parts_keep_their_order_and_the_grammar_of_events() -> None:
    """Calls that take turns, then text: contiguous starts, one end a part equal to its deltas, in the model's order."""
    steps: list[Step] = [
        *text("Two calls.", index=0),
        *call("a", '{"x":', index=1),
        *call("b", '{"y":', index=2),
        PartDeltaEvent(index=1, delta=ToolCallPartDelta(args_delta="1}")),
        PartDeltaEvent(index=2, delta=ToolCallPartDelta(args_delta="2}")),
        *text("And. ", "text", index=3),
    ]
    events, stream = await events_of(steps, run_state(RecordingJudge()))
    starts = [event for event in events if isinstance(event, PartStartEvent)]
    ends = [event for event in events if isinstance(event, PartEndEvent)]
    assert [event.index for event in starts] == [0, 1, 2, 3] == [event.index for event in ends]
    assert [event.part for event in ends] == stream.get().parts
    assert sum(isinstance(event, FinalResultEvent) for event in events) <= 1
    calls = [part for part in stream.get().parts if isinstance(part, ToolCallPart)]
    assert [(part.tool_name, part.args) for part in calls] == [("a", '{"x":1}'), ("b", '{"y":2}')]
    assert stream.get().parts[3] == TextPart("And. text")


async def test_a_stream_carries_what_its_provider_said_of_it() -> None:
    """Finish reason, id, usage and names are those of the model's own stream."""
    _, stream = await events_of(text("Hello. ", "Bye."), run_state(RecordingJudge()))
    response = stream.get()
    assert (response.finish_reason, response.provider_response_id) == ("stop", "response-1")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 2)
    assert (response.model_name, response.provider_name, response.state) == (
        "primary",
        "scripted",
        "complete",
    )


async def test_an_empty_part_is_there_all_the_same() -> None:
    """Empty text and a call without arguments keep their place."""
    steps = [*text("", index=0), *call("ping", index=1)]
    _, stream = await events_of(steps, run_state(RecordingJudge()))
    assert [type(part) for part in stream.get().parts] == [TextPart, ToolCallPart]
    assert stream.get().tool_calls[0].args is None


@pytest.mark.parametrize(
    "steps",
    [
        [PartDeltaEvent(index=3, delta=ToolCallPartDelta(args_delta="{}"))],
        [
            *call("a", "{}"),
            *text("x", index=1),
            PartDeltaEvent(index=0, delta=ToolCallPartDelta(args_delta="{}")),
        ],
        [*text("x"), PartDeltaEvent(index=0, delta=ToolCallPartDelta(args_delta="{}"))],
    ],
    ids=["never begun", "over", "of another kind"],
)
async def test_a_model_that_breaks_the_grammar_gets_nowhere(steps: list[Step]) -> None:
    """A piece of no part, of a part that is over, or of another kind is an error, not a way past the judge."""
    with pytest.raises((UnexpectedModelBehavior, AssertionError, ValueError)):
        await events_of(steps, run_state(RecordingJudge()))


async def test_cancelling_a_response_lets_nothing_out_that_was_held() -> None:
    """After `cancel` the half sentence that waited is gone, even where the model's stream ends as if complete."""
    judge = RecordingJudge()
    agent = Agent(endpoint(model := ScriptedModel(text("One. ", "Half a", " secret"))))
    with running(run_state(judge)):
        async with agent.run_stream("go") as result:
            out: list[str] = []
            async for delta in result.stream_text(delta=True, debounce_by=None):
                out.append(delta)
                await result.cancel()
    assert out == ["One. "]
    assert judge.said() == "One. "
    assert (model.closed, model.left) == (1, 1)


async def test_leaving_a_stream_closes_every_iteration_below_it() -> None:
    """Neither the held stream's own events nor the model's stay suspended once the stream is left early."""
    with running(run_state(RecordingJudge())):
        opening = endpoint(ScriptedModel(text("One. ", "Two. "))).request_stream(
            [], None, ModelRequestParameters()
        )
        async with opening as stream:
            await anext(aiter(stream))
    assert isinstance(stream, HeldStream)
    for events in (stream._running, stream._upstream._events):
        assert isinstance(events, AsyncGeneratorType)
        assert cast("Any", events).ag_frame is None
