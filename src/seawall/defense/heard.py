"""What a model is about to read, piece by piece, in the words a guard judges."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pydantic_ai.messages import (
    BaseToolReturnPart,
    CachePoint,
    CompactionPart,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    RetryFeedbackPart,
    StructuredContent,
    SystemPromptPart,
    TextContent,
    ToolAvailabilityDeltaPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext

from seawall.agents import Block, fence, unfence
from seawall.defense.guards import Context
from seawall.defense.streaming.spoken import as_text, returned, spoken

Prompt = str | Sequence[str | Block]
UNTRUSTED = "seawall-untrusted"
# What the developer says to the model, and the framework's own records of it. `asked` takes them out of a history, so
# that what is left of them was written during the run. By name: not every version has all of them.
DEVELOPERS_OWN = frozenset(
    (
        "system-prompt",
        "instruction-baseline",
        "instruction-delta",
        "model-settings-delta",
        "capability-load-delta",
    )
)


@dataclass(frozen=True, slots=True)
class Heard:
    """A text on its way to the model; `text` None where nobody can read it, as a picture.

    `by_caller` says that the caller itself wrote it, and answers for it.
    """

    text: str | None
    context: Context
    by_caller: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """Whose the words of a user are: `own` were said for this run, `earlier` stand in the history that it was given.

    What stands in neither came up during the run: a tool returned it, or something put it in.
    """

    own: frozenset[str] = frozenset()
    earlier: frozenset[str] = frozenset()


def heard(
    messages: Sequence[ModelMessage], words: Words, vouched: AbstractSet[tuple[str, str]] = frozenset()
) -> Iterator[Heard]:
    """Give every text of the messages; system prompts and instructions are the developer's (see `asked`), and so are
    the results of this run's own calls that are `vouched` for, each known by its tool and its id.

    Only what a user said is judged as a prompt, and only what the caller says now is charged to it. All else counts
    as a document, answers too: those of this run were judged when they were let out, and are known as `told` gives
    them; nobody can say who wrote the others.
    """
    for message in messages:
        if isinstance(message, ModelResponse):
            yield from told(message)
            continue
        for part in message.parts:
            if not (isinstance(part, ToolReturnPart) and (part.tool_name, part.tool_call_id) in vouched):
                yield from _of_part(part, words)


def told(response: ModelResponse) -> Iterator[Heard]:
    """Give every text of an answer as the model reads it again."""
    for part in response.parts:
        said = spoken(part)
        yield Heard(None if said is None else said[1], "document")


def texts_of(content: str | Sequence[UserContent]) -> Iterator[str]:
    """Give the texts in what a user said that can be read."""
    for said in _of_content(content):
        if said.text is not None:
            yield said.text


def is_untrusted(messages: Sequence[ModelMessage]) -> bool:
    """Say whether messages that a run is given hold text of strangers: a block, or what a tool returned."""
    return any(
        _holds_block(part) or isinstance(part, BaseToolReturnPart) for m in messages for part in m.parts
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


def _of_part(part: ModelRequestPart, words: Words) -> Iterator[Heard]:
    match part:
        case UserPromptPart():
            for said in _of_content(part.content):
                own = said.text in words.own
                context = said.context if own or said.text in words.earlier else "document"
                yield Heard(said.text, context, own)
        case ToolReturnPart():
            yield Heard(returned(part), "document")
        case RetryFeedbackPart(content=str(text)):
            # It can quote what the model said, which may be what a document made it say.
            yield Heard(text, "document")
        case RetryFeedbackPart():
            yield Heard(as_text(part.content), "document")
        case CompactionPart(content=str(text)):
            yield Heard(text, "document")
        case ToolAvailabilityDeltaPart():
            yield Heard("\n".join(part.tools_added), "document")
        case _ if getattr(part, "part_kind", None) not in DEVELOPERS_OWN:
            yield Heard(None, "document")
        case _:
            return


def _of_content(content: str | Sequence[UserContent]) -> Iterator[Heard]:
    for item in [content] if isinstance(content, str) else content:
        match item:
            case CachePoint():
                continue
            case str(text):
                yield Heard(text, "prompt")
            case TextContent(metadata=mark, content=text) if mark == UNTRUSTED:
                yield from _of_blocks(text)
            case StructuredContent(content=text, value=value):
                # Some models read the value, which need not be what the text says.
                yield Heard(text, "prompt")
                yield Heard(as_text(value), "prompt")
            case TextContent(content=text):
                yield Heard(text, "prompt")
            case _:
                yield Heard(None, "prompt")


def _of_blocks(text: str) -> Iterator[Heard]:
    blocks = unfence(text)
    if fence(blocks) != text:
        # Something stands round the blocks, or only says that it is one: whoever wrote it, nothing is left out.
        yield Heard(text, "document")
        return
    for block in blocks:
        yield Heard(f"{block.id} {block.title}".rstrip(), "document")
        yield Heard(block.text, "document")


def _holds_block(part: ModelRequestPart | ModelResponsePart) -> bool:
    if not isinstance(part, UserPromptPart) or isinstance(part.content, str):
        return False
    return any(isinstance(item, TextContent) and item.metadata == UNTRUSTED for item in part.content)
