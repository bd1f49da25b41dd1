"""What a model is about to read, piece by piece, in the words a guard judges."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_ai.messages import (
    CachePoint,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    RetryFeedbackPart,
    SystemPromptPart,
    TextContent,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext

from seawall.agents import Block, fence, unfence
from seawall.defense.guards import Context

Prompt = str | Sequence[str | Block]
UNTRUSTED = "seawall-untrusted"


@dataclass(frozen=True, slots=True)
class Heard:
    """A text on its way to the model; `text` None where nobody can read it, as a picture.

    `by_caller` says that the caller itself wrote it, and answers for it.
    """

    text: str | None
    context: Context
    by_caller: bool = False


def heard(
    messages: Sequence[ModelMessage], run_id: str | None, trusted: frozenset[str] = frozenset()
) -> Iterator[Heard]:
    """Give every text of the messages that this run did not write itself; instructions are the developer's.

    So are the results of the tools named `trusted`, of this run. What came in a history counts as a document, the
    model's answers in it too: nobody can say who wrote them.
    """
    for message in messages:
        if isinstance(message, ModelRequest):
            own = message.run_id == run_id
            for part in message.parts:
                if not (own and isinstance(part, ToolReturnPart) and part.tool_name in trusted):
                    yield from _of_part(part, by_caller=own)
        elif message.run_id != run_id:
            yield from _of_answer(message)


def is_untrusted(messages: Sequence[ModelMessage], run_id: str | None) -> bool:
    """Say whether the messages hold text of strangers: a block in the prompt, or a history with a tool's result."""
    return any(
        _holds_block(part) or (isinstance(part, ToolReturnPart) and message.run_id != run_id)
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
    )


def hidden_texts(request: ModelRequestContext) -> tuple[str, ...]:
    """Give what only the model is meant to read: the instructions and system prompts of a request."""
    parts = request.model_request_parameters.instruction_parts or ()
    said = [part.content for part in parts]
    for message in request.messages:
        if isinstance(message, ModelRequest):
            said += [part.content for part in message.parts if isinstance(part, SystemPromptPart)]
    return tuple(said)


def spotlit(prompt: Prompt) -> str | list[UserContent]:
    """Turn a prompt into what Pydantic AI takes: words of the caller, and blocks each between marks that it cannot hold."""
    if isinstance(prompt, str):
        return prompt
    return [
        piece if isinstance(piece, str) else TextContent(fence([piece]), metadata=UNTRUSTED)
        for piece in prompt
    ]


def _of_part(part: ModelRequestPart, *, by_caller: bool) -> Iterator[Heard]:
    match part:
        case UserPromptPart(content=str(text)):
            yield Heard(text, "prompt", by_caller)
        case UserPromptPart():
            for item in part.content:
                yield from _of_content(item, by_caller=by_caller)
        case ToolReturnPart():
            yield Heard(None if part.files else part.model_response_str(), "document")
        case RetryFeedbackPart():
            # It can quote what the model said, which may be what a document made it say.
            yield Heard(_as_text(part.content), "document")
        case SystemPromptPart():
            return
        case _:
            yield Heard(None, "document")


def _of_content(item: Any, *, by_caller: bool) -> Iterator[Heard]:
    if isinstance(item, CachePoint):
        return
    if isinstance(item, TextContent) and item.metadata == UNTRUSTED:
        for block in unfence(item.content):
            yield Heard(block.title, "document", by_caller)
            yield Heard(block.text, "document", by_caller)
    elif isinstance(item, str | TextContent):
        yield Heard(item if isinstance(item, str) else item.content, "prompt", by_caller)
    else:
        yield Heard(None, "prompt", by_caller)


def _of_answer(message: ModelResponse) -> Iterator[Heard]:
    for part in message.parts:
        content = getattr(part, "content", None)
        args = getattr(part, "args", None)
        if content is not None:
            yield Heard(content if isinstance(content, str) else None, "document")
        elif args is not None:
            yield Heard(_as_text(args), "document")


def _holds_block(part: ModelRequestPart) -> bool:
    if not isinstance(part, UserPromptPart) or isinstance(part.content, str):
        return False
    return any(isinstance(item, TextContent) and item.metadata == UNTRUSTED for item in part.content)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
