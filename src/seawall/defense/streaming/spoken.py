"""What a model's response says, part by part, in the words a guard judges."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic_ai.messages import (
    BaseToolReturnPart,
    CompactionPart,
    ModelResponse,
    ModelResponsePart,
    ModelResponsePartDelta,
    NativeToolCallPart,
    NativeToolReturnPart,
    SpeechPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_core import to_jsonable_python

from seawall.defense.streaming.checkpoint import Channel, Checkpoint, Judge
from seawall.defense.streaming.json_hold import readable

Refuse = Callable[[], None]


def spoken(part: ModelResponsePart, *, text_is_json: bool = False) -> tuple[Channel, str] | None:
    r"""Return what a whole part says and in which channel; None where it cannot be read, as a picture cannot.

    JSON is given with the escapes in its strings decoded, so that nothing hides behind `\u0069`. What a
    provider's own tools returned is a channel of its own: the model reads it, and it goes out like the model's words.
    """
    match part:
        case TextPart():
            return "text", readable(part.content) if text_is_json else part.content
        case ThinkingPart():
            return "thinking", "\n".join(filter(None, (part.content, unsaid(part))))
        case ToolCallPart() | NativeToolCallPart():
            args = part.args
            return "tool_call", readable(args) if isinstance(args, str) else as_text(args or {})
        case NativeToolReturnPart():
            text = returned(part)
            return None if text is None else ("returned", text)
        case CompactionPart(content=str(text)) | SpeechPart(transcript=str(text), audio=None):
            return "text", text
        case _:
            return None


def returned(part: BaseToolReturnPart[Any]) -> str | None:
    """Return what a tool's result says; None where a file in it cannot be read."""
    if part.files:
        return None
    text = part.model_response_str()
    return text if text == part.content else readable(text)


def cited(part: ModelResponsePart | ModelResponsePartDelta) -> str:
    """Return what a text's sources say: addresses, titles and passages that the model did not write; "" for none."""
    sources = getattr(part, "citations", None) or getattr(part, "citations_delta", None)
    return as_text(sources) if sources else ""


def unsaid(part: ModelResponsePart) -> str:
    """Return a thought's raw wording, which some providers keep beside it and are sent again; "" where there is none."""
    details = part.provider_details if isinstance(part, ThinkingPart) else None
    raw = (details or {}).get("raw_content")
    return as_text(raw) if raw else ""


def as_text(value: Any) -> str:
    """Write plain data, or objects, as JSON with the escapes in its strings decoded."""
    return readable(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    return to_jsonable_python(value, fallback=str, bytes_mode="base64")


async def judge_response(
    response: ModelResponse, judge: Judge, refuse: Refuse, *, text_is_json: bool = False
) -> ModelResponse:
    """Judge a response that came whole, and give what of it may go out; `refuse` is called for a part that cannot be
    read, and may raise.
    """
    checkpoint = Checkpoint(judge)
    parts = list(response.parts)
    for at, part in enumerate(parts):
        said = spoken(part, text_is_json=text_is_json)
        await checkpoint.let_out_unchanged(cited(part), "returned")
        if said is None:
            refuse()
        elif isinstance(part, TextPart) and not text_is_json:
            parts[at] = replace(part, content=await checkpoint.let_out(part.content, "text"))
        else:
            channel, text = said
            await checkpoint.let_out_unchanged(text, channel)
    return replace(response, parts=parts)
