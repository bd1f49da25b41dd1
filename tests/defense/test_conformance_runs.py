"""Nothing goes unjudged over a whole run: pieces, several steps, tainted tools, a real client on a real socket."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import NoneType
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic_ai import (
    Agent,
    DeferredToolRequests,
    DeferredToolResults,
    ModelRetry,
    RunContext,
    ToolReturn,
    capture_run_messages,
)
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolReturnPart,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import ExternalToolset

from seawall.agents import Block, marks
from seawall.defense import GuardBlocked, Policy, guards, harden
from seawall.defense.abuse import Abuse, MemoryTrust
from seawall.defense.approval import PendingCall
from seawall.defense.hardened import Hardened
from seawall.defense.heard import Prompt
from seawall.defense.run_state import NotHardened
from seawall.defense.stores import Stores
from seawall.testing import MockProvider, say
from tests.defense.shapes import ATTACK, MARK, Sieve, sourced, whole
from tests.defense.streams import ALICE, ScriptedModel, Step, call, text

streamed = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
hidden = pytest.mark.parametrize("hides", [False, True], ids=["plain", "hidden"])


def policy(sieve: Sieve | None = None, *, hides: bool = False) -> Policy:
    return Policy(guards=[sieve or Sieve(), *([guards.pseudonymise()] if hides else [])])


async def outcome(safe: Hardened[None, Any], prompt: Prompt | None, *, streamed: bool, **given: Any) -> Any:
    """Run it either way, and give its output."""
    if not streamed:
        return (await safe.run(prompt, deps=None, principal=ALICE, **given)).output
    async with safe.run_stream(prompt, deps=None, principal=ALICE, **given) as stream:
        said = [piece async for piece in stream.output()]
    assert stream.transaction.outcome == "ok"
    return said[-1]


def _cut(first: Any, *deltas: Any) -> list[Step]:
    return [PartStartEvent(index=0, part=first), *(PartDeltaEvent(index=0, delta=delta) for delta in deltas)]


def _raw(piece: str) -> ThinkingPartDelta:
    """A piece of a thought's raw wording, as an adapter gives it: as what to make of the details so far."""

    def more(details: dict[str, Any] | None) -> dict[str, Any]:
        (said,) = (details or {}).get("raw_content", [""])
        return {"raw_content": [said + piece]}

    return ThinkingPartDelta(provider_name="scripted", provider_details=more)


PIECES: dict[str, Callable[[str], list[Step]]] = {
    "text": lambda word: text("A ze", *word[2:], " swims."),
    "thought": lambda word: _cut(ThinkingPart("A "), *(ThinkingPartDelta(content_delta=one) for one in word)),
    "raw thought": lambda word: _cut(ThinkingPart("Hm."), *map(_raw, word)),
    "source": lambda word: _cut(
        TextPart("As "), TextPartDelta("said.", citations_delta=sourced(word).citations)
    ),
    "call": lambda word: call("look", '{"to": "', *word, '"}'),
}


def looking(word: str, shape: str, ran: list[str]) -> Agent[None, str]:
    """An agent whose model says the word in pieces, then that it is done."""
    agent = Agent(ScriptedModel([*PIECES[shape](word), *text("done.", index=1)], text("done.")), name="a")

    @agent.tool_plain
    def look(to: str) -> str:
        ran.append(to)
        return "fine"

    _ = look
    return agent


@hidden
@pytest.mark.parametrize("shape", list(PIECES))
async def test_what_comes_in_pieces_is_judged_put_together(shape: str, *, hides: bool) -> None:
    """However small the pieces, the word goes nowhere; another word in its place goes through, and stays whole."""
    ran, seen = list[str](), list[str]()
    with capture_run_messages() as history, pytest.raises(GuardBlocked):
        safe = harden(looking(MARK, shape, ran), policy(hides=hides))
        async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
            seen += [piece async for piece in stream.text()]
    assert (MARK in repr((seen, history)), ran) == (False, [])
    with capture_run_messages() as history:
        safe = harden(looking("zeppelin", shape, ran), policy(hides=hides))
        async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
            seen += [piece async for piece in stream.text()]
    assert "zeppelin" in repr(history)
    assert seen


Equip = Callable[[Agent[None, Any]], object]


def reading(word: object) -> Equip:
    """A tool that reads what a stranger wrote."""

    def equip(agent: Agent[None, Any]) -> None:
        agent.tool_plain(name="read")(lambda: word)

    return equip


def failing(word: str) -> Equip:
    """A tool that says with a stranger's words why it failed."""

    def read() -> str:
        raise ModelRetry(word)

    def equip(agent: Agent[None, Any]) -> None:
        agent.tool_plain(name="read")(read)

    return equip


def nothing(agent: Agent[None, Any]) -> None:
    """Hang nothing on the agent."""


@dataclass
class Way:
    """How a run comes to read what a stranger wrote, before it wants to send something."""

    prompt: Prompt | None = "hello"
    first: Any = ()
    equip: Equip = nothing
    given: Mapping[str, Any] | None = None


def _waited() -> Way:
    history: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("hi")])]
    history.append(ModelResponse(parts=[ToolCallPart("ask", {}, "c9")]))
    return Way(None, given={"history": history, "approvals": DeferredToolResults(calls={"c9": "words"})})


def _earlier(*parts: Any) -> Way:
    said = ModelResponse(parts=[*parts, TextPart("ok")])
    return Way(given={"history": [ModelRequest(parts=[UserPromptPart("hi")]), said]})


_READ = [ToolCallPart("read", {}, "c0")]
WAYS: dict[str, Callable[[], Way]] = {
    "result": lambda: Way(first=_READ, equip=reading("words")),
    "words beside a result": lambda: Way(first=_READ, equip=reading(ToolReturn("x", content="words"))),
    "failure": lambda: Way(first=_READ, equip=failing("words")),
    "block": lambda: Way(["Read:", Block("d1", "Page", "words")]),
    "result of the provider's own": lambda: Way(first=[NativeToolReturnPart("web_search", "words", "n1")]),
    "source": lambda: Way(first=[sourced("words")]),
    "handed in": _waited,
    "earlier result of the provider's own": lambda: _earlier(
        NativeToolReturnPart("web_search", "words", "n1")
    ),
}


def sender(way: Way, sent: list[str], *, defers: bool = False) -> Agent[None, Any]:
    """An agent that goes the way, then sends, then says that it is done."""
    # What a provider looked up stands in the answer that sends.
    own = [] if not way.first or way.first is _READ else [*way.first]
    answers = [[*own, ToolCallPart("send", {"to": "x"}, "c1")], [TextPart("done.")]]
    model = ScriptedModel(*map(whole, [_READ, *answers] if way.first is _READ else answers))
    asking = ExternalToolset[None]([ToolDefinition(name="ask")])
    outputs: Any = [str, DeferredToolRequests] if defers else str
    agent: Agent[None, Any] = Agent(
        model, name="a", deps_type=NoneType, output_type=outputs, toolsets=[asking]
    )
    way.equip(agent)

    @agent.tool_plain(metadata=marks("egress"))
    def send(to: str) -> str:
        sent.append(to)
        return "sent"

    _ = send
    return agent


@streamed
@pytest.mark.parametrize("name", list(WAYS))
async def test_whoever_read_a_strangers_words_sends_nothing(name: str, *, streamed: bool) -> None:
    """Streamed or not, without somebody's word: refused where nobody is there to give it."""
    way, sent = WAYS[name](), list[str]()
    with pytest.raises(GuardBlocked):
        await outcome(harden(sender(way, sent), policy()), way.prompt, streamed=streamed, **(way.given or {}))
    assert sent == []


@streamed
@pytest.mark.parametrize("word", [True, False])
@pytest.mark.parametrize("name", list(WAYS))
async def test_an_approver_is_asked_however_it_was_read(name: str, *, word: bool, streamed: bool) -> None:
    """Its yes makes the call, its no goes back to the model; once each."""
    way, sent, asked = WAYS[name](), list[str](), list[PendingCall]()

    async def approver(pending: PendingCall) -> bool:
        asked.append(pending)
        return word

    safe = harden(sender(way, sent), policy(), approver=approver)
    said = await outcome(safe, way.prompt, streamed=streamed, **(way.given or {}))
    if streamed and name == "source":
        # A stream takes the first text for the answer: a call behind it that waits for a word is not made at all.
        assert (said, sent, asked) == ("As they say.", [], [])
        return
    assert said == "done."
    assert (sent, [one.why for one in asked]) == (["x"] if word else [], ["tainted"])


@streamed
async def test_a_call_that_waits_is_made_with_the_callers_word(*, streamed: bool) -> None:
    """It comes out as an output, judged; the next run makes it, and reads its result."""
    way, sent = WAYS["block"](), list[str]()
    safe = harden(sender(way, sent, defers=True), policy())
    waits = await outcome(safe, way.prompt, streamed=streamed)
    assert isinstance(waits, DeferredToolRequests)
    assert sent == []
    history = [ModelRequest(parts=[UserPromptPart("hi")]), ModelResponse(parts=waits.approvals)]
    word = DeferredToolResults(approvals={one.tool_call_id: True for one in waits.approvals})
    said = await outcome(safe, None, streamed=streamed, history=history, approvals=word)
    assert (said, sent) == ("done.", ["x"])


async def test_a_stream_that_is_left_runs_no_tool() -> None:
    """The reader goes after the first words; the call that stands behind them is not made."""
    ran: list[str] = []
    agent = Agent(ScriptedModel([*text("One. Two."), *call("look", '{"to": "x"}', index=1)]), name="a")

    @agent.tool_plain
    def look(to: str) -> str:
        ran.append(to)
        return "fine"

    _ = look
    async with harden(agent, policy()).run_stream("go", deps=None, principal=ALICE) as stream:
        async for _piece in stream.text():
            break
    assert (ran, stream.transaction.outcome) == ([], "cancelled")


@streamed
async def test_each_text_is_judged_once_a_run(*, streamed: bool) -> None:
    """However many requests carry it; and a text that came up during the run is nobody's prompt."""
    sieve = Sieve()
    model = ScriptedModel(*map(whole, [_READ, [ToolCallPart("read", {}, "c1")], [TextPart("done.")]]))
    agent = Agent(model, name="a", deps_type=NoneType)
    words = iter(["one", "two"])

    @agent.tool
    def read(ctx: RunContext[None]) -> str:
        said = next(words)
        ctx.enqueue(f"put in: {said}")
        return said

    _ = read
    history = [ModelRequest(parts=[UserPromptPart("earlier")]), ModelResponse(parts=[TextPart("ok")])]
    await outcome(harden(agent, policy(sieve)), "hello", streamed=streamed, history=history)
    heard = [one for one in sieve.asked if one[0] in {"prompt", "document"}]
    assert len(heard) == len(set(heard))
    assert {said for of, said in heard if of == "prompt"} == {"hello", "earlier"}


@streamed
async def test_a_caller_does_not_answer_for_a_strangers_words(*, streamed: bool) -> None:
    """What a tool says beside its result is refused, and costs the caller no trust; its own words do."""
    trust = MemoryTrust(Abuse())
    for prompt, spent in (("hello", 0), (ATTACK, 1)):
        agent = Agent(ScriptedModel(whole(_READ)), name="a")
        agent.tool_plain(name="read")(lambda: ToolReturn("x", content=ATTACK))
        costs: list[int] = []

        async def spend(caller: Any, points: int, seen: Any, costs: list[int] = costs) -> None:
            costs.append(points)

        trust.spend = spend  # type: ignore[method-assign]
        with pytest.raises(GuardBlocked):
            await outcome(harden(agent, policy(), stores=Stores(trust=trust)), prompt, streamed=streamed)
        assert len(costs) == spent


@streamed
async def test_a_model_that_nothing_stands_round_is_not_asked(*, streamed: bool) -> None:
    """An agent's own capability cannot put another model in the guarded one's place."""
    other = ScriptedModel(text("done."))

    @dataclass
    class Choosing(AbstractCapability[None]):
        async def before_model_request(
            self, ctx: RunContext[None], request_context: ModelRequestContext
        ) -> ModelRequestContext:
            request_context.model = other
            return request_context

    model = ScriptedModel(text("done."))
    agent = Agent(model, name="a", deps_type=NoneType, capabilities=[Choosing()])
    with pytest.raises(NotHardened, match="chose another model"):
        await outcome(harden(agent, policy()), "hello", streamed=streamed)
    assert other.entered == 0


@hidden
async def test_bytes_are_judged_in_the_form_in_which_they_are_sent(*, hides: bool) -> None:
    """A guard that cannot undo the encoding sees at least what the model sees, not less."""
    sieve = Sieve()
    model = ScriptedModel(whole(_READ), text("done."))
    agent = Agent(model, name="a")
    agent.tool_plain(name="read")(lambda: {"page": ATTACK.encode()})
    await harden(agent, policy(sieve, hides=hides)).run("hello", deps=None, principal=ALICE)
    result = next(part for part in model.heard[1][-1].parts if isinstance(part, ToolReturnPart))
    assert ("document", result.model_response_str()) in sieve.asked


@asynccontextmanager
async def client(provider: MockProvider) -> AsyncGenerator[OpenAIChatModel]:
    async with AsyncOpenAI(base_url=provider.url, api_key="test", max_retries=0) as openai:
        yield OpenAIChatModel("gpt-4o", provider=OpenAIProvider(openai_client=openai))


def _reply(request: Mapping[str, Any]) -> dict[str, Any]:
    """Call the tool once, then say what came of it."""
    last = request["messages"][-1]
    if last["role"] == "tool":
        return say(request, f"It says: {last['content']}")
    reply = say(request, "")
    function = {"name": "read", "arguments": '{"to": "x"}'}
    message = {"role": "assistant", "content": None}
    message["tool_calls"] = [{"id": "call-1", "type": "function", "function": function}]  # type: ignore[assignment]
    reply["choices"][0] |= {"message": message, "finish_reason": "tool_calls"}
    return reply


@streamed
@hidden
@pytest.mark.parametrize("word", [ATTACK, MARK, "a goldfish of zoe@example.com"])
async def test_the_same_holds_over_a_socket(word: str, *, hides: bool, streamed: bool) -> None:
    """What a provider gets, and what a reader gets of its answer: neither has what was refused."""
    with MockProvider(_reply) as provider:
        async with client(provider) as model:
            agent = Agent(model, name="a")
            agent.tool_plain(name="read")(lambda to: word)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
            run: Awaitable[Any] = outcome(harden(agent, policy(hides=hides)), "hello", streamed=streamed)
            if word in {ATTACK, MARK}:
                with pytest.raises(GuardBlocked):
                    await run
            else:
                assert await run == f"It says: {word}"
    sent = repr(provider.requests)
    assert (ATTACK in sent, len(provider.requests)) == (False, 1 if word == ATTACK else 2)
    assert ("zoe@example.com" in sent) is (not hides and "zoe" in word)
