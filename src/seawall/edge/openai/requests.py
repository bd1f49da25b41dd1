"""What an OpenAI client asks, and what of it an agent is given.

Source: OpenAI API reference, "Create chat completion" (fields of the request, roles, parts of a content).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from seawall.edge.openai.errors import BadRequest

_MOST_MESSAGES = 1000
_MOST_PARTS = 1000
# What would change the answer, and what it may be set to all the same. Left out or null is always fine.
_REFUSED: Mapping[str, Sequence[Any]] = MappingProxyType(
    {
        "n": (1,),
        "tools": ([],),
        "tool_choice": ("none", "auto"),
        "functions": ([],),
        "function_call": ("none", "auto"),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "logit_bias": ({},),
        "stop": ([],),
        "modalities": (["text"],),
        "audio": (),
        "web_search_options": (),
    }
)
_REFUSED_IN_MESSAGE: Mapping[str, Sequence[Any]] = MappingProxyType(
    {"tool_calls": ([],), "function_call": (), "audio": ()}
)
# Names that pydantic puts into the place of an error in a union; no field has them.
_BRANCHES = frozenset(("str", "list[Part]"))

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class Part(BaseModel):
    """A piece of a message's content."""

    type: str
    text: str | None = None
    refusal: str | None = None


class Message(BaseModel):
    """What somebody is said to have said."""

    model_config = ConfigDict(extra="allow")

    role: Role
    content: str | Annotated[list[Part], Field(max_length=_MOST_PARTS, fail_fast=True)] | None = None
    refusal: str | None = None


class StreamOptions(BaseModel):
    """How a stream is wanted."""

    include_usage: StrictBool | None = None


class ResponseFormat(BaseModel):
    """The form that the answer is wanted in. A schema is not looked at: the agent has its own."""

    type: Literal["text", "json_object", "json_schema"]


class ChatRequest(BaseModel):
    """A request for a chat completion; `model` is an agent's name.

    Fields that are not named here are ignored where the answer is as good without them (temperature, top_p, seed,
    max_tokens, user, metadata, …: the agent's policy decides how its model is asked, how much it may say, and who the
    caller is), and refused by name in `to_ask` where it is not.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [{"model": "reader", "messages": [{"role": "user", "content": "Hello"}]}]
        },
    )

    model: str = Field(min_length=1, max_length=256)
    messages: list[Message] = Field(min_length=1, max_length=_MOST_MESSAGES, fail_fast=True)
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What an agent is asked: `prompt` is the caller's words now, `history` what is said to have been said before.

    `wants_json`: the caller will read the answer as JSON.
    """

    model: str
    prompt: str = field(repr=False)
    history: tuple[ModelMessage, ...] = field(default=(), repr=False)
    stream: bool = False
    include_usage: bool = False
    wants_json: bool = False

    def check_form(self, *, says_text: bool) -> None:
        """Refuse a wish for JSON where the agent answers in text; of a typed agent JSON comes anyway, in its own schema."""
        if self.wants_json and says_text:
            raise BadRequest(
                "response_format: this agent answers in text; leave it out, or ask an agent with a typed answer",
                "response_format",
            )


def read_request(body: bytes) -> ChatRequest:
    """Read the JSON of a request; BadRequest names a field that is wrong, never what it holds."""
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
    # Of a content that is neither text nor parts both are found wrong: the deeper place says more, and "no string" least.
    one = max(wrong, key=lambda found: (len(found["loc"]), found["type"] not in {"string_type", "list_type"}))
    if one["type"] == "json_invalid":
        raise BadRequest("the body is no JSON; send a JSON object", code="invalid_json")
    param = _place(one["loc"])
    raise BadRequest(f"{param or 'the body'}: {one['msg']}", param or None, "invalid_value")


def to_ask(request: ChatRequest) -> Ask:
    """Return what the agent is asked; BadRequest names what cannot be done.

    The last message must be the user's: it is the prompt. Those before it are the history, which the guards judge as
    text of strangers, answers too: whoever sends a request can write anything into it and say that an agent said so.

    A system or developer message is heard as one of the user's, in its place. It is the caller who wrote it, and the
    instructions of an agent are its developer's alone: whoever may ask must not be able to rewrite them. To leave such
    a message out without a word, or to refuse it, would break clients that always send one; as the caller's words it
    is followed as far as anything is that a user asks for, and judged like it.
    """
    _refuse(request.model_extra, _REFUSED, "")
    said = [_said(message, f"messages[{place}]") for place, message in enumerate(request.messages)]
    prompt, history = said[-1], said[:-1]
    last = len(history)
    if request.messages[-1].role != "user":
        raise BadRequest(
            f"messages[{last}].role: expected the last message to be the user's", f"messages[{last}].role"
        )
    if not prompt:
        raise BadRequest(f"messages[{last}].content: expected some text", f"messages[{last}].content")
    options, form = request.stream_options, request.response_format
    return Ask(
        model=request.model,
        prompt=prompt,
        history=tuple(_history(zip(request.messages, history, strict=False))),
        stream=bool(request.stream),
        include_usage=options is not None and bool(options.include_usage),
        wants_json=form is not None and form.type != "text",
    )


def _refuse(given: Mapping[str, Any] | None, refused: Mapping[str, Sequence[Any]], where: str) -> None:
    for name, value in (given or {}).items():
        if name in refused and value is not None and value not in refused[name]:
            raise BadRequest(f"{where}{name}: not supported here; leave it out", f"{where}{name}")


def _said(message: Message, where: str) -> str:
    """Return the text of a message, its parts a line each."""
    if message.role in {"tool", "function"}:
        raise BadRequest(
            f"{where}.role: an agent calls its own tools; leave {message.role} messages out", f"{where}.role"
        )
    _refuse(message.model_extra, _REFUSED_IN_MESSAGE, f"{where}.")
    content = message.content
    if content is None:
        return message.refusal or ""
    if isinstance(content, str):
        return content
    return "\n".join(_text(part, f"{where}.content[{place}]") for place, part in enumerate(content))


def _text(part: Part, where: str) -> str:
    text = {"text": part.text, "refusal": part.refusal}.get(part.type)
    if text is not None:
        return text
    if part.type in {"text", "refusal"}:
        raise BadRequest(f"{where}.{part.type}: expected a string", f"{where}.{part.type}", "invalid_value")
    raise BadRequest(f"{where}.type: only text is read here, no images, audio or files", f"{where}.type")


def _history(said: Iterator[tuple[Message, str]]) -> Iterator[ModelMessage]:
    """Give the messages before the prompt; what the caller says in one go is one request."""
    waiting: list[UserPromptPart] = []
    for message, text in said:
        if not text:
            continue
        if message.role != "assistant":
            waiting.append(UserPromptPart(text))
            continue
        if waiting:
            yield ModelRequest(parts=list(waiting))
            waiting.clear()
        yield ModelResponse(parts=[TextPart(text)])
    if waiting:
        yield ModelRequest(parts=list(waiting))


def _place(steps: Sequence[int | str]) -> str:
    """Write the place of an error as OpenAI does, such as `messages[0].content`."""
    place = ""
    for step in steps:
        if isinstance(step, int):
            place += f"[{step}]"
        elif step not in _BRANCHES:
            place += f".{step}" if place else step
    return place
