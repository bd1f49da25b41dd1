"""What a model's response says, part by part, in the words a guard judges."""

import json
from collections.abc import Callable
from dataclasses import replace

from pydantic_ai.messages import (
    ModelResponse,
    ModelResponsePart,
    NativeToolCallPart,
    NativeToolReturnPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)

from seawall.defense.streaming.checkpoint import Channel, Checkpoint, Judge
from seawall.defense.streaming.json_hold import readable

Refuse = Callable[[], None]


def spoken(part: ModelResponsePart, *, text_is_json: bool = False) -> tuple[Channel, str] | None:
    r"""Return what a whole part says and in which channel; None where it cannot be read, as a picture cannot.

    JSON is given with the escapes in its strings decoded, so that nothing hides behind `\u0069`. What a
    provider's own tools returned counts as text: it goes out like the model's.
    """
    match part:
        case TextPart():
            return "text", readable(part.content) if text_is_json else part.content
        case ThinkingPart():
            return "thinking", part.content
        case ToolCallPart() | NativeToolCallPart():
            args = part.args
            raw = args if isinstance(args, str) else json.dumps(args or {}, ensure_ascii=False, default=str)
            return "tool_call", readable(raw)
        case NativeToolReturnPart() if not part.files:
            return "text", part.model_response_str()
        case _:
            return None


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
        if said is None:
            refuse()
        elif isinstance(part, TextPart) and not text_is_json:
            parts[at] = replace(part, content=await checkpoint.let_out(part.content, "text"))
        else:
            channel, text = said
            await checkpoint.let_out_unchanged(text, channel)
    return replace(response, parts=parts)
