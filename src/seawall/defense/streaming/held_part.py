"""One part of a response on its way out: as it comes, sentence by sentence, or whole at its end."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import (
    ModelResponsePart,
    ModelResponsePartDelta,
    NativeToolCallPart,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)

from seawall.defense.streaming.checkpoint import Channel, Checkpoint
from seawall.defense.streaming.spoken import cited, spoken, unsaid
from seawall.defense.streaming.text_hold import TextHold

Piece = ModelResponsePart | ModelResponsePartDelta


class HeldPart(Protocol):
    """Takes the pieces of one part and gives those that may go out; the first it gives is a part."""

    async def feed(self, delta: ModelResponsePartDelta) -> list[Piece]:
        """Take a piece."""
        ...

    async def close(self) -> list[Piece]:
        """Give what is left: the part is over."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """How text goes out: through which hold, past the judge as which channel, and with what put back."""

    hold: TextHold
    checkpoint: Checkpoint
    channel: Channel
    read: Callable[[str], str]
    restore: Callable[[str], str]

    async def out(self, text: str) -> str:
        """Return the text as it may be seen, once it is judged."""
        if self.read is str:
            return self.restore(await self.checkpoint.let_out(text, self.channel))
        await self.checkpoint.let_out_unchanged(self.read(text), self.channel)
        return self.restore(text)


class FlowingPart:
    """Text, thinking, or the arguments of an output tool: let out sentence by sentence.

    The part is not begun before its first sentence may go out. A delta that also carries a signature,
    citations or a provider's details closes what was said before it. A provider's details of a thought, where its
    raw wording may stand, wait for its end.
    """

    def __init__(self, part: TextPart | ThinkingPart | ToolCallPart, way: Way) -> None:
        self._way = way
        self._field = "args" if isinstance(part, ToolCallPart) else "content"
        self._call_id = part.tool_call_id if isinstance(part, ToolCallPart) else None
        self._first = getattr(part, self._field)
        self._details = part.provider_details
        self._aside: ThinkingPart | None = None
        self._unsent: Any = replace(cast("Any", part), **{self._field: "" if self._first else self._first})

    async def open(self) -> list[Piece]:
        """Take what the part began with."""
        await self._way.checkpoint.let_out_unchanged(cited(self._unsent), "returned")
        await self._way.checkpoint.let_out_unchanged(unsaid(self._unsent), "thinking")
        return await self._say(self._way.hold.feed(self._first or ""))

    async def feed(self, delta: ModelResponsePartDelta) -> list[Piece]:
        """Take a piece; UnexpectedModelBehavior where it is no text."""
        said = _said(delta)
        await self._way.checkpoint.let_out_unchanged(cited(delta), "returned")
        if isinstance(delta, ThinkingPartDelta) and delta.provider_details is not None:
            aside = replace(delta, content_delta=None, signature_delta=None)
            self._aside = aside.apply(self._aside or ThinkingPart("", provider_details=self._details))
            delta = replace(delta, provider_details=None)
        text = self._way.hold.feed(said or "")
        if _carries_more(delta):
            return await self._say(text + self._way.hold.rest(), delta)
        return await self._say(text)

    async def close(self) -> list[Piece]:
        """Give what is left, and the part itself where it was empty."""
        pieces = await self._say(self._way.hold.rest())
        if self._aside is not None:
            await self._way.checkpoint.let_out_unchanged(unsaid(self._aside), "thinking")
            named, details = self._aside.provider_name, self._aside.provider_details
            pieces += await self._say("", ThinkingPartDelta(provider_name=named, provider_details=details))
            self._aside = None
        if self._unsent is not None:
            pieces.append(self._unsent)
            self._unsent = None
        return pieces

    async def _say(self, text: str, more: ModelResponsePartDelta | None = None) -> list[Piece]:
        shown = await self._way.out(text) if text else ""
        if self._unsent is not None:
            if more is not None:
                self._unsent = self._with(more, "").apply(self._unsent)
            if not shown:
                return []
            begun, self._unsent = replace(self._unsent, **{self._field: shown}), None
            return [begun]
        if more is not None:
            return [self._with(more, shown)]
        return [self._delta(shown)] if shown else []

    def _with(self, more: ModelResponsePartDelta, shown: str) -> Any:
        if isinstance(more, ToolCallPartDelta):
            return replace(more, args_delta=shown or None)
        return replace(cast("Any", more), content_delta=shown)

    def _delta(self, shown: str) -> Piece:
        if self._field == "args":
            return ToolCallPartDelta(args_delta=shown, tool_call_id=self._call_id)
        if self._way.channel == "thinking":
            return ThinkingPartDelta(content_delta=shown)
        return TextPartDelta(content_delta=shown)


class WholePart:
    """A tool call that is let out when all of it is there: no tool runs before the response ends anyway."""

    def __init__(
        self,
        part: ToolCallPart | NativeToolCallPart,
        checkpoint: Checkpoint,
        restore: Callable[[str], str] | None,
    ) -> None:
        self._part = part
        self._more: list[str] = []
        self._checkpoint = checkpoint
        self._restore = restore
        self.closed = False

    async def feed(self, delta: ModelResponsePartDelta) -> list[Piece]:
        """Take a piece; nothing goes out. UnexpectedModelBehavior where the call was over."""
        if self.closed or not isinstance(delta, ToolCallPartDelta):
            raise UnexpectedModelBehavior("the model went on with a tool call that was over")
        if isinstance(delta.args_delta, str) and not isinstance(self._part.args, dict):
            self._more.append(delta.args_delta)
            delta = replace(delta, args_delta=None)
        self._part = delta.apply(self._part)
        return []

    async def close(self) -> list[Piece]:
        """Judge the call and give it, once."""
        if self.closed:
            return []
        self.closed = True
        if self._more:
            self._part = replace(self._part, args=cast("str", self._part.args or "") + "".join(self._more))
        channel, text = cast("tuple[Channel, str]", spoken(self._part))
        await self._checkpoint.let_out_unchanged(text, channel)
        args, restore = self._part.args, self._restore
        if not args or restore is None:
            return [self._part]
        shown = restore(args) if isinstance(args, str) else json.loads(restore(json.dumps(args)))
        return [replace(self._part, args=shown)]


def _said(delta: ModelResponsePartDelta) -> str | None:
    if isinstance(delta, TextPartDelta | ThinkingPartDelta):
        return delta.content_delta
    if isinstance(delta, ToolCallPartDelta) and not isinstance(delta.args_delta, dict):
        return delta.args_delta
    raise UnexpectedModelBehavior("a part that began as text went on as something else")


def _carries_more(delta: ModelResponsePartDelta) -> bool:
    names = ("signature_delta", "citations_delta", "provider_details", "tool_name_delta")
    return any(getattr(delta, name, None) for name in names)
