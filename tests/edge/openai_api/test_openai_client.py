"""The official client talks to hardened agents over a real socket, and understands all that it is told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import (
    APIError,
    APIStatusError,
    AsyncOpenAI,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    UnprocessableEntityError,
)
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from seawall.defense import Policy, RateLimit, guards, harden
from seawall.defense.guards import GuardBlocked
from seawall.defense.run_state import RunState
from tests.edge.openai_api.chat_server import Offered, Rows, connected

PIECES = ("One. ", "Two. ", "Drei für\u2028dich. ", "\U0001f30a.")
HELLO: Any = [{"role": "user", "content": "Hello"}]


class Note(BaseModel):
    """A typed answer."""

    title: str
    pages: int


class Speaker:
    """Says its pieces, whole or streamed; keeps what it heard. `fails` comes after the pieces, as a hang or an error."""

    def __init__(self, *pieces: str, fails: Exception | None = None, hangs: bool = False) -> None:
        self.heard: list[list[ModelMessage]] = []
        self.instructions: list[str | None] = []
        self.hanging = asyncio.Event()
        self.cancelled = asyncio.Event()
        self._pieces = pieces
        self._fails = fails
        self._hangs = hangs

    @property
    def model(self) -> Model:
        return FunctionModel(self._whole, stream_function=self._streamed, model_name="speaker")

    def _whole(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self._hear(messages, info)
        return ModelResponse(parts=[TextPart("".join(self._pieces))])

    async def _streamed(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        self._hear(messages, info)
        for piece in self._pieces:
            yield piece
        if self._fails is not None:
            raise self._fails
        if self._hangs:
            self.hanging.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

    def _hear(self, messages: list[ModelMessage], info: AgentInfo) -> None:
        self.heard.append(messages)
        self.instructions.append(info.instructions)


def speaking(
    speaker: Speaker, policy: Policy | None = None, rows: Rows | None = None, **options: Any
) -> Offered:
    agent = Agent(speaker.model, name="reader", **options)
    return Offered(harden(agent, policy or Policy(), events=rows and rows.bus))


def noting() -> Offered:
    def whole(_messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"title": "A — ü", "pages": 3})])

    async def streamed(
        _messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[dict[int, DeltaToolCall]]:
        yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args="", tool_call_id="call-1")}
        for piece in ('{"title": "A', " — ü", '", "pa', 'ges": 3}'):
            yield {0: DeltaToolCall(json_args=piece)}

    agent = Agent(FunctionModel(whole, stream_function=streamed), name="noter", output_type=Note)
    return Offered(harden(agent, Policy()), says_text=False)


async def read(client: AsyncOpenAI, **options: Any) -> str:
    said = ""
    stream = await client.chat.completions.create(model="reader", messages=HELLO, stream=True, **options)
    async for chunk in stream:
        for choice in chunk.choices:
            said += choice.delta.content or ""
    return said


async def test_an_answer_is_a_completion_with_what_it_took() -> None:
    """Text, finish reason, usage and the row's facts arrive as the client's own objects."""
    rows = Rows()
    async with connected(reader=speaking(Speaker(*PIECES), rows=rows)) as client:
        got = await client.chat.completions.create(model="reader", messages=HELLO)
    (row,) = rows.rows
    assert (got.id, got.object, got.model, got.created) == (
        "chatcmpl-1",
        "chat.completion",
        "reader",
        1_800_000_000,
    )
    assert (got.choices[0].message.content, got.choices[0].finish_reason) == ("".join(PIECES), "stop")
    assert got.usage is not None
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (row.input_tokens, row.output_tokens)
    assert got.usage.total_tokens == row.input_tokens + row.output_tokens > 0
    assert got.model_extra is not None
    assert got.model_extra["seawall"] == {
        "degradation": "full",
        "missing": [],
        "transaction": row.id,
        "cost_usd": None,
        "ai_generated": True,
    }


async def test_the_agents_are_the_models() -> None:
    """The client lists what it may ask, by name."""
    async with connected(reader=speaking(Speaker("x")), noter=noting()) as client:
        listed = await client.models.list()
    assert [(one.id, one.owned_by) for one in listed.data] == [("reader", "seawall"), ("noter", "seawall")]


@pytest.mark.parametrize("asked", [True, False])
async def test_a_streamed_answer_comes_in_pieces_and_ends_with_a_reason(asked: bool) -> None:
    """Role first, pieces that add up, one finish reason with the row's facts, and usage last if it was asked for."""
    rows = Rows()
    async with connected(reader=speaking(Speaker(*PIECES), rows=rows)) as client:
        stream = await client.chat.completions.create(
            model="reader", messages=HELLO, stream=True, stream_options={"include_usage": asked}
        )
        got = [chunk async for chunk in stream]
    usages = [chunk.usage for chunk in got if chunk.usage is not None]
    if asked:
        last = got.pop()
        (usage,) = usages
        assert (last.choices, last.usage) == ([], usage)
        assert (usage.prompt_tokens, usage.completion_tokens) == (
            rows.rows[0].input_tokens,
            rows.rows[0].output_tokens,
        )
    else:
        assert not usages
    assert got[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in got) == "".join(PIECES)
    assert len(got) > 3
    assert [chunk.choices[0].finish_reason for chunk in got] == [None] * (len(got) - 1) + ["stop"]
    assert got[-1].model_extra is not None
    assert got[-1].model_extra["seawall"]["transaction"] == rows.rows[0].id
    assert {chunk.id for chunk in got} == {"chatcmpl-1"}


async def test_a_typed_answer_is_json_that_the_client_parses() -> None:
    """Asked for a schema or not, a typed agent's answer is its JSON, and `.parse` makes the object of it."""
    async with connected(noter=noting()) as client:
        plain = await client.chat.completions.create(model="noter", messages=HELLO)
        parsed = await client.chat.completions.parse(model="noter", messages=HELLO, response_format=Note)
    assert plain.choices[0].message.content == '{"title":"A — ü","pages":3}'
    assert parsed.choices[0].message.parsed == Note(title="A — ü", pages=3)


async def test_a_typed_answer_streams_as_one_piece_of_whole_json() -> None:
    """What is streamed of a typed answer adds up to valid JSON, with the client's own collecting stream too."""
    async with (
        connected(noter=noting()) as client,
        client.chat.completions.stream(model="noter", messages=HELLO, response_format=Note) as stream,
    ):
        events = [event async for event in stream]
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == Note(title="A — ü", pages=3)
    deltas = [event.delta for event in events if event.type == "content.delta" and event.delta]
    assert deltas == ['{"title":"A — ü","pages":3}']


async def test_a_text_agent_refuses_to_promise_json() -> None:
    """A schema that nothing would hold the answer to is refused by name."""
    async with connected(reader=speaking(Speaker("x"))) as client:
        with pytest.raises(BadRequestError) as refused:
            await client.chat.completions.parse(model="reader", messages=HELLO, response_format=Note)
    assert (refused.value.param, refused.value.code) == ("response_format", "unsupported_value")


async def test_a_conversation_reaches_the_model_and_only_the_developer_instructs() -> None:
    """Earlier turns come in order; a system message is one of the user's, and the agent's own prompt stands."""
    speaker = Speaker("Fine.")
    offered = speaking(speaker, system_prompt="Be brief.", instructions="Answer in English.")
    said: Any = [
        {"role": "system", "content": "Talk like a pirate."},
        {"role": "user", "content": [{"type": "text", "text": "Who"}, {"type": "text", "text": "are you?"}]},
        {"role": "assistant", "content": "A reader."},
        {"role": "developer", "content": "Be loud."},
        {"role": "user", "content": "And now?"},
    ]
    async with connected(reader=offered) as client:
        got = await client.chat.completions.create(model="reader", messages=said)
    assert got.choices[0].message.content == "Fine."
    (messages,) = speaker.heard
    parts = [part for message in messages for part in message.parts]
    users = [part.content for part in parts if isinstance(part, UserPromptPart)]
    systems = [part.content for part in parts if isinstance(part, SystemPromptPart)]
    assert users == ["Talk like a pirate.", "Who\nare you?", "Be loud.", "And now?"]
    assert systems == ["Be brief."]
    assert speaker.instructions == ["Answer in English."]
    kinds = [type(message) for message in messages]
    assert kinds in (
        [ModelRequest, ModelResponse, ModelRequest],
        [ModelRequest, ModelResponse] + [ModelRequest] * 2,
    )
    assert [part.content for part in parts if isinstance(part, TextPart)] == ["A reader."]


async def test_an_unknown_model_is_not_found() -> None:
    """The client raises NotFoundError with OpenAI's own code, and the name is not repeated."""
    async with connected(reader=speaking(Speaker("x"))) as client:
        with pytest.raises(NotFoundError) as refused:
            await client.chat.completions.create(model="gpt-unknown", messages=HELLO)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert "gpt-unknown" not in str(refused.value)


@pytest.mark.parametrize("stream", [True, False])
async def test_what_a_guard_refuses_is_refused_before_anything_is_said(stream: bool) -> None:
    """Streamed or not, the status says it; the model hears nothing, and the text names no content."""
    speaker = Speaker(*PIECES)
    offered = speaking(speaker, Policy(guards=[guards.size("4 B")]))
    async with connected(reader=offered) as client:
        with pytest.raises(UnprocessableEntityError) as refused:
            await client.chat.completions.create(model="reader", messages=HELLO, stream=stream)
    assert refused.value.code == "content_filter"
    assert refused.value.type == "invalid_request_error"
    assert "Hello" not in str(refused.value)
    assert speaker.heard == []


async def test_an_earlier_turn_is_judged_too() -> None:
    """What is only said to have been said before meets the guards."""
    speaker = Speaker(*PIECES)
    offered = speaking(speaker, Policy(guards=[guards.size("20 B")]))
    said: Any = [{"role": "assistant", "content": "much more than twenty bytes"}, *HELLO]
    async with connected(reader=offered) as client:
        with pytest.raises(UnprocessableEntityError):
            await client.chat.completions.create(model="reader", messages=said)
    assert speaker.heard == []


@pytest.mark.parametrize("stream", [True, False])
async def test_a_limit_is_told_with_the_time_to_wait(stream: bool) -> None:
    """The client raises RateLimitError; header and body say when."""
    offered = speaking(Speaker(*PIECES), Policy(limits=[RateLimit(1, per="1h")]))
    async with connected(reader=offered) as client:
        await client.chat.completions.create(model="reader", messages=HELLO)
        with pytest.raises(RateLimitError) as refused:
            await client.chat.completions.create(model="reader", messages=HELLO, stream=stream)
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "rate_limit_exceeded")
    assert 3500 < int(refused.value.response.headers["Retry-After"]) <= 3600
    body: Any = refused.value.body
    assert 3500 < body["retry_after"] <= 3600


async def test_a_model_that_is_away_is_the_servers_failure() -> None:
    """Where nothing could answer, streaming has not begun: the status is 503."""
    offered = speaking(Speaker(fails=ModelHTTPError(500, "speaker", "secret body")))
    async with connected(reader=offered) as client:
        with pytest.raises(InternalServerError) as refused:
            await client.chat.completions.create(model="reader", messages=HELLO, stream=True)
    assert (refused.value.status_code, refused.value.code) == (503, "unavailable")
    assert refused.value.type == "server_error"
    assert "secret body" not in str(refused.value)


async def test_a_stream_that_breaks_off_raises_in_the_client() -> None:
    """What was out has arrived; then the client raises APIError with the code, and never sees an end."""
    rows, said = Rows(), list[str]()
    speaker = Speaker("One. ", "Two. ", fails=ModelHTTPError(500, "speaker", "secret body"))
    async with connected(reader=speaking(speaker, rows=rows)) as client:
        stream = await client.chat.completions.create(model="reader", messages=HELLO, stream=True)
        with pytest.raises(APIError) as broken:
            async for chunk in stream:
                said.append(chunk.choices[0].delta.content or "")
                assert chunk.choices[0].finish_reason is None
    assert "".join(said) == "One. Two. "
    assert not isinstance(broken.value, APIStatusError)
    assert (broken.value.code, broken.value.type) == ("interrupted", "server_error")
    assert "secret body" not in str(broken.value.body)
    assert rows.rows[0].outcome == "failed"


async def test_a_sentence_that_may_not_go_out_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block after the first sentence is an error event with the code of a block."""

    async def judge_output(_run: RunState, said: str, _before: str, _channel: Any) -> str:
        if "secret" in said:
            raise GuardBlocked()
        return said

    monkeypatch.setattr(RunState, "judge_output", judge_output)
    async with connected(reader=speaking(Speaker("One. ", "A secret. ", "Two."))) as client:
        with pytest.raises(APIError) as broken:
            await read(client)
    assert broken.value.code == "content_filter"


async def test_a_client_that_leaves_ends_the_request_of_the_model() -> None:
    """Closing the connection mid-stream cancels the model under way, and the row says cancelled."""
    rows, speaker = Rows(), Speaker("One. ", "Two. ", hangs=True)
    async with connected(reader=speaking(speaker, rows=rows)) as client:
        stream = await client.chat.completions.create(model="reader", messages=HELLO, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        async with asyncio.timeout(20):
            await speaker.hanging.wait()
            assert not speaker.cancelled.is_set()
            await stream.close()
            await speaker.cancelled.wait()
            await rows.written.wait()
    assert [row.outcome for row in rows.rows] == ["cancelled"]
