"""Every way a streamed answer can break off, at every place in it, with another model in reserve: what the reader gets."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent

from seawall import (
    CircuitBreaker,
    EventBus,
    Fallback,
    Policy,
    Principal,
    Protection,
    Retries,
    StreamInterrupted,
    Unavailable,
    harden,
)
from seawall.defense.model_stack import endpoints_of
from seawall.foundation.events import Event, TransactionFinished
from seawall.foundation.transaction import Transaction
from seawall.testing import call_output_tool, say
from tests.defense.breaking import Break, Breaking, events_of, place_of
from tests.defense.broken import Broken, chat_model, tasks_left

ALICE = Principal("acme", "alice")
THOUGHT = "What do they ask? "


class Letter(BaseModel):
    """What a typed agent answers; a reader sees it grow."""

    to: str = ""
    body: str = ""


@dataclass(frozen=True)
class Way:
    """One way to break off, and what stands among the attempts of the row for it."""

    how: Break
    said: str
    error: str = "server_error"


WAYS = {
    "cut": Way("cut", "ModelConnectionError"),
    "reset": Way("reset", "ModelConnectionError"),
    "stall": Way("stall", "timeout"),
    "server error": Way("error event", "ModelServerError"),
    "rate limit": Way("error event", "ModelRateLimitError", "rate_limit_exceeded"),
    "truncated": Way("truncated", "ModelConnectionError"),
}


@dataclass(frozen=True)
class Place:
    """Where an answer breaks off: after the event that completes `said`, or after `after` events.

    `shown` is what the reader has of it by then, "" where nobody has seen anything. `request` is the number of the
    model's request in which it happens.
    """

    said: str = ""
    after: int = 0
    shown: str = ""
    request: int = 1


@dataclass(frozen=True)
class Reading:
    """One way to read an agent's stream: what a model of some name answers, and the places in it."""

    reply: Callable[[Mapping[str, Any], str], dict[str, Any]]
    places: Mapping[str, Place]
    output: type[Any] = str
    # What the agent's own tool was called with, on the way to a whole answer.
    calls: int = 0


def thinking(completion: dict[str, Any]) -> dict[str, Any]:
    """Have it think before it answers."""
    completion["choices"][0]["message"]["reasoning_content"] = THOUGHT
    return completion


def words(name: str) -> str:
    """An answer of three sentences, every one of which says whose it is."""
    return f"{name} one. {name} two. {name} three."


def text(request: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Answer in words."""
    return thinking(say(request, words(name)))


def letter(request: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Answer with a letter."""
    return thinking(call_output_tool(request, {"to": f"{name} one. {name} two.", "body": f"{name} three."}))


def text_after_a_tool(request: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Call the agent's tool, then answer in words."""
    if any(message["role"] == "tool" for message in request.get("messages", ())):
        return text(request, name)
    return thinking(call_output_tool(request, {"what": f"{name} asks"}))


# Before anything is seen; the same for every answer.
AT_FIRST = {
    "before the headers": Place(after=-1),
    "after the headers": Place(after=0),
    "after the role": Place(after=1),
    "while it thinks": Place("What do"),
    "after it has thought": Place(THOUGHT),
}
IN_WORDS = {
    "in its first sentence": Place("first on"),
    "after its first sentence": Place("first one. fir", shown="first one. "),
    "in its last sentence": Place("first thr", shown="first one. first two. "),
    "after all words": Place("first three.", shown="first one. first two. "),
}
READINGS = {
    "text": Reading(text, {**AT_FIRST, **IN_WORDS}),
    "output": Reading(
        letter,
        {
            **AT_FIRST,
            "after the call's name": Place("final_result"),
            "in its first sentence": Place('{"to": "first on'),
            "after its first sentence": Place("first one. fir", shown="first one. "),
            "after its first value": Place('two.", "bo', shown="first one. first two."),
            "after all of the JSON": Place('three."}', shown="first one. first two.first three."),
        },
        output=Letter,
    ),
    "text after a tool": Reading(
        text_after_a_tool,
        {
            **AT_FIRST,
            "after the call's name": Place("look"),
            "in the call": Place('{"what": "first'),
            "after the call": Place('asks"}'),
            **{
                f"{name}, of the answer": Place(place.said, place.after, place.shown, request=2)
                for name, place in {**AT_FIRST, **IN_WORDS}.items()
            },
        },
        calls=1,
    ),
}
CELLS = [
    pytest.param(WAYS[way], reading, place, id=f"{way}-{name}-{where}")
    for name, reading in READINGS.items()
    for where, place in reading.places.items()
    for way in WAYS
]


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncGenerator[None]:
    """Whatever breaks, no task is left of it."""
    yield
    assert not await tasks_left()


@dataclass
class World:
    """An agent with two models, on providers of their own, and what became of its runs."""

    first: Broken
    second: Broken
    safe: Any
    reading: Reading
    calls: list[str]
    rows: list[Transaction] = field(default_factory=list[Transaction])
    seen: str = ""

    async def read(self, prompt: str | None = "How is it?", **more: Any) -> StreamInterrupted | None:
        """Read one answer in this reading's way, and check that nothing is held afterwards; what it broke off with, if it did."""
        self.seen, error = "", None
        try:
            async with self.safe.run_stream(prompt, deps=None, principal=ALICE, **more) as stream:
                async for seen in self._seen(stream):
                    self.seen = seen
        except StreamInterrupted as broken:
            error = broken
        assert [one.dependency.stats().running for one in endpoints_of(self.safe.guarded_model)] == [0, 0]
        assert {circuit.snapshot().probes for circuit in self.safe.circuits.values()} == {0}
        return error

    async def _seen(self, stream: Any) -> AsyncIterator[str]:
        if self.reading.output is str:
            async for delta in stream.text():
                yield self.seen + delta
        else:
            async for one in stream.output():
                yield one.to + one.body

    def failures(self) -> int:
        """How many failures the first model's circuit was told of."""
        return self.safe.circuits["model first"].snapshot().failures


async def opened(
    stack: AsyncExitStack, reading: Reading, place: Place, way: Way, *, only: int | None = None, **terms: Any
) -> World:
    """Open two providers, the first of which breaks off, and harden an agent with both."""
    dry = {"model": "first", "tools": [{"function": {"name": "look" if reading.calls else "final_result"}}]}
    told = {"messages": [{"role": "tool" if place.request == 2 else "user"}]}
    events = events_of(reading.reply({**dry, **told}, "first"))
    after = place_of(events, place.said) if place.said else place.after
    breaking = Breaking(
        way.how, after, lambda request: reading.reply(request, "first"), error=way.error, only=only
    )
    first = await stack.enter_async_context(breaking)
    second = await stack.enter_async_context(Broken(reply=lambda request: reading.reply(request, "second")))
    models = [
        await stack.enter_async_context(chat_model(server, name))
        for server, name in ((first, "first"), (second, "second"))
    ]
    calls: list[str] = []
    agent = Agent(models[0], name="asked", output_type=reading.output)
    if reading.calls:

        @agent.tool_plain
        def look(what: str) -> str:
            calls.append(what)
            return "All is well."

    # Only a stall has to run into its limit.
    patience = "500ms" if way.how == "stall" else "30s"
    spare = Fallback(models[1], protection=Protection(timeout="30s"))
    rows = EventBus(lambda event: keep(world.rows, event))
    policy = Policy(call_timeout=patience, retries=Retries(most=0), fallbacks=[spare], **terms)
    world = World(first, second, harden(agent, policy, events=rows), reading, calls)
    return world


def keep(rows: list[Transaction], event: Event) -> None:
    """Keep the row of a finished run."""
    if isinstance(event, TransactionFinished):
        rows.append(event.transaction)


def whole(reading: Reading, name: str) -> str:
    """What a reader has seen of a whole answer, all of it one model's."""
    return words(name) if reading.output is str else f"{name} one. {name} two.{name} three."


def attempt(way: Way, place: Place) -> str:
    """What stands among the attempts: an answer without any event is known for none by the client itself."""
    nothing = way.how == "truncated" and not place.said and place.after < 1
    return f"first:{'UnexpectedModelBehavior' if nothing else way.said}"


@pytest.mark.parametrize(("way", "reading", "place"), CELLS)
async def test_wherever_it_breaks_off_the_reader_has_one_models_words(
    way: Way, reading: Reading, place: Place
) -> None:
    """Before anything was seen the second model answers, unnoticed; after that it is an error, with what was let out as it was."""
    async with AsyncExitStack() as stack:
        world = await opened(stack, reading, place, way, only=place.request)
        broken = await world.read()
    (row,) = world.rows
    before = ("first:ok",) * (place.request - 1)
    # Its next request goes to the first model again: a step is one model's, and the row tells the least of them.
    after = ("first:ok",) * (reading.calls - len(before))
    answered = "first" if after else "second"
    assert world.seen == (place.shown or whole(reading, answered))
    assert world.failures() == 1
    if place.shown:
        assert broken is not None
        assert broken.released
        assert broken.retry_after
        assert bool(broken.resume_id) is not world.calls
        assert (row.outcome, row.detail, row.degradation) == ("failed", "StreamInterrupted", "refused")
        assert row.attempts == (*before, attempt(way, place))
        assert world.second.requests == 0
    else:
        assert broken is None
        assert (row.outcome, row.degradation, row.model) == ("ok", "fallback", answered)
        assert row.attempts == (*before, attempt(way, place), "second:ok", *after)
    assert world.calls == ([f"{'first' if before else 'second'} asks"] if reading.calls else [])


def said_why(reading: Reading) -> Place:
    """The place right after a model's first answer said why it ended; only its usage is still to come."""
    request = {"model": "first", "tools": [{"function": {"name": "final_result"}}]}
    # All but the usage and the mark of the end.
    return Place(after=len(events_of(reading.reply(request, "first"))) - 2, shown="words")


@pytest.mark.parametrize("reading", [READINGS["text"], READINGS["output"]], ids=["text", "output"])
async def test_an_answer_that_said_why_it_ended_is_whole_though_its_usage_never_came(
    reading: Reading,
) -> None:
    """What is missing is no word of it; only its price is not known."""
    async with AsyncExitStack() as stack:
        world = await opened(stack, reading, said_why(reading), WAYS["truncated"])
        assert await world.read() is None
    assert (world.seen, world.failures()) == (whole(reading, "first"), 0)
    (row,) = world.rows
    assert (row.outcome, row.degradation, row.attempts) == ("ok", "full", ("first:ok",))
    assert row.cost_usd is None


@pytest.mark.parametrize("way", [way for way in WAYS if way != "truncated"])
async def test_one_that_breaks_off_before_its_usage_came_is_not_taken_for_whole(way: str) -> None:
    """The last sentence is held until the end has come, and it never does."""
    reading = READINGS["text"]
    async with AsyncExitStack() as stack:
        world = await opened(stack, reading, said_why(reading), WAYS[way])
        assert await world.read() is not None
    assert (world.seen, world.failures()) == ("first one. first two. ", 1)


async def test_a_provider_known_never_to_say_why_it_ends_is_believed() -> None:
    """Its model's profile says so, and its every answer would be taken for a broken one otherwise."""
    reading = READINGS["text"]
    async with AsyncExitStack() as stack:
        world = await opened(stack, reading, Place("first three."), WAYS["truncated"])
        endpoint, _ = endpoints_of(world.safe.guarded_model)
        cast("Any", endpoint.profile)["openai_chat_streaming_requires_finish_reason"] = False
        assert await world.read() is None
    assert (world.seen, world.failures()) == (words("first"), 0)


@pytest.mark.parametrize("way", WAYS)
async def test_what_broke_off_can_be_asked_anew(way: str) -> None:
    """The same question, by its id, answered from the beginning by the model that has come back."""
    reading = READINGS["output"]
    async with AsyncExitStack() as stack:
        world = await opened(stack, reading, reading.places["after its first sentence"], WAYS[way], only=1)
        broken = await world.read()
        assert broken is not None
        assert await world.read(None, resume=broken.resume_id) is None
    assert world.seen == whole(reading, "first")
    assert [(row.outcome, row.degradation) for row in world.rows] == [("failed", "refused"), ("ok", "full")]


class Form(BaseModel):
    """A typed answer of which nothing can be shown before all of it is there."""

    to: str
    body: str


@pytest.mark.parametrize("way", WAYS)
async def test_of_what_cannot_be_shown_in_parts_nothing_is_shown(way: str) -> None:
    """It is on its way to the reader by then, so no other model is asked: an honest refusal, and not half a form."""
    reading = replace(READINGS["output"], output=Form)
    async with AsyncExitStack() as stack:
        world = await opened(stack, reading, reading.places["after its first sentence"], WAYS[way])
        with pytest.raises(Unavailable) as refused:
            await world.read()
    assert (world.seen, world.second.requests, world.failures()) == ("", 0, 1)
    assert refused.value.retry_after
    assert (world.rows[0].outcome, world.rows[0].degradation) == ("failed", "refused")


async def test_streams_cut_short_open_the_circuit() -> None:
    """Nobody is sent there any more, though every answer came with status 200 and ended like a whole one."""
    reading = READINGS["text"]
    async with AsyncExitStack() as stack:
        place = reading.places["in its first sentence"]
        world = await opened(
            stack, reading, place, WAYS["truncated"], breaker=CircuitBreaker(minimum_calls=3)
        )
        for _ in range(4):
            assert await world.read() is None
            assert world.seen == words("second")
    assert world.first.requests == 3
    assert world.safe.circuits["model first"].state == "open"
    assert [row.attempts[0] for row in world.rows] == [*["first:ModelConnectionError"] * 3, "first:breaker"]


async def test_where_both_break_off_the_reader_has_what_the_second_said() -> None:
    """The first failed unseen; the second may not be followed by anybody, for its words are out."""
    reading = READINGS["text"]
    async with AsyncExitStack() as stack:
        world = await opened(stack, reading, reading.places["in its first sentence"], WAYS["truncated"])
        world.second.kind = "cut"
        broken = await world.read()
    assert broken is not None
    assert broken.resume_id
    assert world.seen == "second one. second two. "
    (row,) = world.rows
    assert row.attempts == ("first:ModelConnectionError", "second:ModelConnectionError")
    assert (row.outcome, row.degradation) == ("failed", "refused")
