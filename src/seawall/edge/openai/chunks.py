"""An agent's answer on its way, as the server-sent events that an OpenAI client reads.

Source: OpenAI API reference, "The chat completion chunk object"; `stream_options.include_usage` for the usage chunk.
"""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

from seawall.defense import HardenedStream
from seawall.edge.openai.answers import Answered, Head, extra, text_of, usage
from seawall.edge.openai.errors import failure_of
from seawall.foundation.transaction import Transaction

DONE = b"data: [DONE]\n\n"
_OPENING = {"role": "assistant", "content": "", "refusal": None}


async def chunks(
    opening: AbstractAsyncContextManager[HardenedStream[Any]],
    head: Head,
    *,
    says_text: bool,
    include_usage: bool = False,
) -> AsyncGenerator[bytes]:
    """Run what `run_stream` opens and give its answer: who speaks, what it says, why it ends, what it took, [DONE].

    Nothing is given before the first sentence has its verdict, and until then errors come out as themselves: take
    the first event before the status of the response is sent. Afterwards an error is an event of its own,
    on which the official client raises APIError; no [DONE] follows it. That an answer is at its end (`finish_reason`) is
    said only when its run is over and on record.

    Text comes as it is let out. A typed answer (`says_text` false) comes whole, in one delta, when it is validated:
    of what it is on the way, the pieces could not be put together to its JSON.

    Everything must be taken, and the generator closed, by one task; cancelling that task, or closing the generator,
    ends the run and its request of the model.
    """
    begun = False
    deserted = False
    try:
        async with opening as stream:
            begun = True
            try:
                yield _chunk(head, _OPENING, with_usage=include_usage)
                async with aclosing(_pieces(stream, says_text=says_text)) as pieces:
                    async for piece in pieces:
                        yield _chunk(head, {"content": piece}, with_usage=include_usage)
            except GeneratorExit:
                # The reader left. Left without an error, the run is on record as cancelled, which it is.
                deserted = True
        if deserted:
            return
    except Exception as error:
        if not begun:
            raise
        yield error_event(error)
        return
    for last in _ending(stream.transaction, head, include_usage=include_usage):
        yield last


def whole(answer: Answered, head: Head, *, include_usage: bool = False) -> Iterator[bytes]:
    """Give an answer that is there already as a stream of one delta, for work that has no other way to stream."""
    text = text_of(answer.output)
    yield _chunk(head, _OPENING, with_usage=include_usage)
    yield _chunk(head, {"content": text}, with_usage=include_usage)
    yield from _ending(answer.transaction, head, include_usage=include_usage)


def event(data: dict[str, Any]) -> bytes:
    """Write JSON as one event, in ASCII: some clients take U+2028 and its like for the end of a line, and half of a
    character that a model splits between two pieces has no other way to go over the wire.
    """
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def error_event(error: BaseException) -> bytes:
    """Write what the caller is told of an error that came when the status was sent already."""
    return event(failure_of(error).body)


async def _pieces(stream: HardenedStream[Any], *, says_text: bool) -> AsyncGenerator[str]:
    if says_text:
        async for piece in stream.text():
            if piece:
                yield piece
        return
    answers: list[Any] = []
    async for answer in stream.output():
        answers[:] = [answer]
    if answers:
        yield text_of(answers[0])


def _ending(row: Transaction, head: Head, *, include_usage: bool) -> Iterator[bytes]:
    """Give why the answer ends, what it took if that is asked for, and the end of the stream."""
    yield _chunk(head, {}, finish_reason="stop", with_usage=include_usage, seawall=extra(row))
    if include_usage:
        yield event(_body(head) | {"choices": [], "usage": usage(row)})
    yield DONE


def _chunk(
    head: Head, delta: dict[str, Any], *, with_usage: bool, finish_reason: str | None = None, **more: Any
) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    # Where usage is asked for, every chunk has the field, null in all but the last.
    asked = {"usage": None} if with_usage else {}
    return event(_body(head) | {"choices": [choice]} | asked | more)


def _body(head: Head) -> dict[str, Any]:
    return {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
    }
