"""A chat completion as the server-sent events that a provider streams it in."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

Split = Callable[[str], Sequence[str]]

END = b"data: [DONE]\n\n"


def in_fours(text: str) -> list[str]:
    """Split into pieces of four characters, about a token each."""
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def stream_events(completion: Mapping[str, Any], split: Split, *, with_usage: bool) -> list[bytes]:
    """Write a whole completion as events: its text and tool arguments in pieces, then why it ended, then its usage.

    The last event is `[DONE]`. `split` may give empty pieces.
    """
    choice = completion["choices"][0]
    deltas = [*_deltas(choice["message"], split)]
    chunks = [_chunk(completion, [_choice(delta)]) for delta in deltas]
    chunks.append(_chunk(completion, [_choice({}, choice["finish_reason"])]))
    if with_usage:
        chunks.append({**_chunk(completion, []), "usage": completion["usage"]})
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [END]


def _deltas(message: Mapping[str, Any], split: Split) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant"}
    for piece in split(message.get("content") or ""):
        yield {"content": piece}
    for index, call in enumerate(cast("list[dict[str, Any]]", message.get("tool_calls") or [])):
        function = call["function"]
        begun = {"name": function["name"], "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": begun}]}
        for piece in split(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _chunk(completion: Mapping[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    kept = {name: completion[name] for name in ("id", "created", "model")}
    return {**kept, "object": "chat.completion.chunk", "choices": choices}
