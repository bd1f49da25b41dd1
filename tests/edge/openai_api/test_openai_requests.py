"""What of an OpenAI request an agent is given, and what is refused by name."""

import json
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

from seawall.edge.openai import Ask, BadRequest, ChatRequest, read_request, to_ask

USER = {"role": "user", "content": "Hello"}
SECRET = "what the caller wrote"


def asked(*messages: Any, **fields: Any) -> Ask:
    body = {"model": "reader", "messages": messages or (USER,), **fields}
    return to_ask(read_request(json.dumps(body).encode()))


HARMLESS: list[dict[str, Any]] = [
    {"temperature": 0.2, "top_p": 1, "seed": 7, "max_tokens": 5, "max_completion_tokens": 5},
    {"user": "bob", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "of tomorrow": {}},
    {"n": 1, "tools": [], "tool_choice": "none", "logprobs": False, "top_logprobs": 0, "stop": []},
    {"n": None, "stop": None, "logit_bias": {}, "modalities": ["text"], "audio": None},
    {"response_format": {"type": "text"}, "stream": None, "stream_options": None},
]


@pytest.mark.parametrize("fields", HARMLESS)
def test_what_an_answer_is_as_good_without_is_ignored(fields: dict[str, Any]) -> None:
    """Sampling, identity, and unsupported fields at the value that asks for nothing change nothing."""
    assert asked(**fields) == Ask("reader", "Hello")


UNSUPPORTED: list[tuple[str, Any]] = [
    ("n", 2),
    ("n", 0),
    ("tools", [{"type": "function", "function": {"name": SECRET}}]),
    ("tool_choice", "required"),
    ("functions", [{"name": SECRET}]),
    ("function_call", {"name": SECRET}),
    ("logprobs", True),
    ("top_logprobs", 3),
    ("logit_bias", {"50256": -100}),
    ("stop", SECRET),
    ("stop", [SECRET]),
    ("modalities", ["text", "audio"]),
    ("audio", {"voice": SECRET}),
    ("web_search_options", {}),
]


@pytest.mark.parametrize(("name", "value"), UNSUPPORTED)
def test_what_would_change_the_answer_is_refused_by_name(name: str, value: Any) -> None:
    """The field is named, in the text and as `param`; what it holds is not."""
    with pytest.raises(BadRequest, match=f"^{name}: not supported") as refused:
        asked(**{name: value})
    assert (refused.value.param, refused.value.status) == (name, 400)
    assert SECRET not in str(refused.value)


IMAGE = {"type": "image_url", "image_url": {"url": SECRET}}
BAD_MESSAGES: list[tuple[list[Any], str]] = [
    ([{"role": "user", "content": [IMAGE]}], "messages[0].content[0].type"),
    (
        [USER, {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}],
        "messages[1].content[1].type",
    ),
    ([{"role": "user", "content": [{"type": SECRET}]}], "messages[0].content[0].type"),
    ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
    ([{"role": "tool", "content": SECRET, "tool_call_id": "1"}, USER], "messages[0].role"),
    ([{"role": "assistant", "tool_calls": [{"id": SECRET}]}, USER], "messages[0].tool_calls"),
    ([{"role": "assistant", "audio": {"id": SECRET}}, USER], "messages[0].audio"),
    ([USER, {"role": "assistant", "content": SECRET}], "messages[1].role"),
    ([USER, {"role": "system", "content": SECRET}], "messages[1].role"),
    ([{"role": "user", "content": ""}], "messages[0].content"),
    ([{"role": "user", "content": None}], "messages[0].content"),
    ([{"role": "user", "content": 5}], "messages[0].content"),
    ([{"role": "user", "content": [5]}], "messages[0].content[0]"),
    ([{"role": "user", "content": [{"text": SECRET}]}], "messages[0].content[0].type"),
    ([{"role": "user", "content": [{"type": "text", "text": "a"}] * 1001}], "messages[0].content"),
    ([{"role": SECRET, "content": "a"}], "messages[0].role"),
    ([], "messages"),
    ([USER] * 1001, "messages"),
]


@pytest.mark.parametrize(("messages", "param"), BAD_MESSAGES)
def test_a_message_that_cannot_be_read_is_named(messages: list[Any], param: str) -> None:
    """The place is written as OpenAI writes it, and no content is repeated."""
    with pytest.raises(BadRequest) as refused:
        to_ask(read_request(json.dumps({"model": "reader", "messages": messages}).encode()))
    assert refused.value.param == param
    assert param in str(refused.value)
    assert SECRET not in str(refused.value)


BAD_BODIES: list[tuple[bytes, str | None, str]] = [
    (b"", None, "invalid_json"),
    (b"{", None, "invalid_json"),
    (b"\xff", None, "invalid_json"),
    (b'{"model": "a\\ud800"}', None, "invalid_json"),
    (b"[" * 100_000, None, "invalid_json"),
    (b"[]", None, "invalid_value"),
    (b"7", None, "invalid_value"),
    (b'{"model": "reader"}', "messages", "invalid_value"),
    (b'{"messages": [{"role": "user", "content": "a"}]}', "model", "invalid_value"),
    (b'{"model": "", "messages": [{"role": "user"}]}', "model", "invalid_value"),
    (b'{"model": "a", "messages": [{"role": "user"}], "stream": "yes"}', "stream", "invalid_value"),
    (b'{"model": "a", "messages": [' + b"0," * 50_000 + b"0]}", "messages[0]", "invalid_value"),
]


@pytest.mark.parametrize(("body", "param", "code"), BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_body_that_is_no_request_is_a_bad_request(body: bytes, param: str | None, code: str) -> None:
    """Whatever comes, the error is ours and says where it is wrong."""
    with pytest.raises(BadRequest) as refused:
        read_request(body)
    assert (refused.value.param, refused.value.code) == (param, code)


def test_the_text_says_what_is_wrong_with_it() -> None:
    """Too many parts is not told as a content that is no string."""
    parts = [{"type": "text", "text": "a"}] * 1001
    with pytest.raises(BadRequest, match="at most 1000 items"):
        asked({"role": "user", "content": parts})


def test_how_the_answer_is_wanted_is_read() -> None:
    """Streaming, usage and JSON are what the agent's caller asked for."""
    ask = asked(stream=True, stream_options={"include_usage": True}, response_format={"type": "json_object"})
    assert (ask.stream, ask.include_usage, ask.wants_json) == (True, True, True)
    ask.check_form(says_text=False)
    with pytest.raises(BadRequest) as refused:
        ask.check_form(says_text=True)
    assert refused.value.param == "response_format"
    asked().check_form(says_text=True)


def test_what_was_asked_is_not_printed() -> None:
    """Neither the prompt nor the history is in the representation of an ask."""
    ask = asked({"role": "user", "content": SECRET}, {"role": "assistant", "content": SECRET}, USER)
    assert SECRET not in repr(ask)
    assert "Hello" not in repr(ask)


def test_a_refusal_said_earlier_is_history() -> None:
    """An assistant's refusal, as a field or as a part, is what it said."""
    parts = [{"type": "refusal", "refusal": "No."}]
    ask = asked(
        USER,
        {"role": "assistant", "content": None, "refusal": "Never."},
        {"role": "assistant", "content": parts},
        USER,
    )
    said = [part.content for message in ask.history for part in message.parts if isinstance(part, TextPart)]
    assert said == ["Never.", "No."]


_ROLES = st.sampled_from(["system", "developer", "user", "assistant"])
_TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=5)


@given(st.lists(st.fixed_dictionaries({"role": _ROLES, "content": _TEXTS}), max_size=12))
def test_every_word_is_heard_once_in_order_and_never_as_an_instruction(
    messages: list[dict[str, str]],
) -> None:
    """History and prompt hold all that was said, each by whom it is judged as: the caller, or some assistant."""
    ask = to_ask(ChatRequest.model_validate({"model": "reader", "messages": [*messages, USER]}))
    said: list[tuple[str, object]] = []
    for message in ask.history:
        for part in message.parts:
            assert isinstance(part, UserPromptPart | TextPart)
            said.append(("caller" if isinstance(part, UserPromptPart) else "assistant", part.content))
        if isinstance(message, ModelRequest):
            assert message.instructions is None
    assert ask.prompt == "Hello"
    assert said == [
        ("assistant" if message["role"] == "assistant" else "caller", message["content"])
        for message in messages
        if message["content"]
    ]
    kinds = [type(message) for message in ask.history]
    assert all(pair != (ModelRequest, ModelRequest) for pair in pairwise(kinds))


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["user", "text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "refusal", "tool_calls", "n", "stop"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON, _JSON)
def test_whatever_json_comes_is_asked_or_refused(messages: Any, more: Any) -> None:
    """No request raises anything but BadRequest."""
    fields = cast("dict[str, Any]", more) if isinstance(more, dict) else {"stream_options": more}
    body = {"model": "reader", "messages": messages, **fields}
    try:
        ask = to_ask(read_request(json.dumps(body).encode()))
    except BadRequest:
        return
    assert ask.prompt
    assert all(isinstance(message, ModelRequest | ModelResponse) for message in ask.history)
