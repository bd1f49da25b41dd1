"""A model's stream with every part of it held until its verdict: the one mount on Pydantic AI's streams.

Source: the technique of Pydantic AI's own wrappers: a `StreamedResponse` whose events are applied to its own
parts before they are given, so that events, snapshots, history and the final result show the same.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime

from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import (
    ModelResponse,
    ModelResponsePart,
    ModelResponsePartDelta,
    ModelResponseStreamEvent,
    NativeToolCallPart,
    PartDeltaEvent,
    PartStartEvent,
    SpeechPartDelta,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.usage import RequestUsage

from seawall.defense.streaming.checkpoint import Channel, Checkpoint
from seawall.defense.streaming.ending import cut_short
from seawall.defense.streaming.held_part import FlowingPart, HeldPart, Piece, Way, WholePart
from seawall.defense.streaming.json_hold import JsonHold, readable
from seawall.defense.streaming.spoken import Refuse, spoken
from seawall.defense.streaming.text_hold import MAX_HOLD, TextHold
from seawall.defense.streaming.upstream import Upstream
from seawall.foundation.compliance.pseudonyms import Vault

# What the model's own stream learns on the way; the other public fields belong to whoever wraps this one.
_MIRRORED = [
    field.name
    for field in fields(StreamedResponse)
    if not field.init
    and not field.name.startswith("_")
    and field.name not in {"final_result_event", "failed_attempts"}
]
_MOST_PRIMED = 1024


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a response is let out.

    `refuse` is called for a part that cannot be read, and may raise. `text_is_json` says that text is
    structured output; `profile` is the model's.
    """

    checkpoint: Checkpoint
    refuse: Refuse
    profile: ModelProfile
    vault: Vault | None = None
    text_is_json: bool = False
    max_hold: int = MAX_HOLD


class HeldStream(StreamedResponse):
    """Gives a model's events once they are judged, with pseudonyms restored; parts are numbered as they go out.

    Text, thinking and the arguments of output tools come sentence by sentence, other tool calls whole. A part
    of another kind is judged by what can be read of it. Once cancelled, nothing that was held goes out.
    """

    def __init__(self, inner: StreamedResponse, upstream: Upstream, terms: Terms) -> None:
        super().__init__(inner.model_request_parameters)
        self._inner = inner
        self._upstream = upstream
        self._terms = terms
        self._open: dict[int, HeldPart] = {}
        self._numbers: dict[int, int] = {}
        self._begun = 0
        self._cut = False
        self._output_tools = {tool.name for tool in inner.model_request_parameters.output_tools}
        self._running: AsyncGenerator[ModelResponseStreamEvent] | None = None
        self._primed: deque[ModelResponseStreamEvent] = deque()

    @property
    def model_name(self) -> str:
        """As the provider says."""
        return self._inner.model_name

    @property
    def provider_name(self) -> str | None:
        """As the provider says."""
        return self._inner.provider_name

    @property
    def provider_url(self) -> str | None:
        """As the provider says."""
        return self._inner.provider_url

    @property
    def timestamp(self) -> datetime:
        """As the provider says."""
        return self._inner.timestamp

    @property
    def usage(self) -> RequestUsage:
        """What the provider counted so far; most count at the end."""
        return self._inner.usage

    @property
    def begun(self) -> bool:
        """Whether anything was let out."""
        return self._begun > 0

    @property
    def _stopped(self) -> bool:
        return self._cut or self.cancelled or self._inner.cancelled

    def get_stream_cancel_errors(self) -> tuple[type[BaseException], ...]:
        """As the provider's transport raises them."""
        return self._inner.get_stream_cancel_errors()

    async def close_stream(self) -> None:
        """Close the provider's stream; what is held goes nowhere."""
        # Whoever wraps this stream may close it without saying that it was cancelled.
        self._cut = True
        await self._inner.close_stream()

    def get(self) -> ModelResponse:
        """Return what was let out so far, with the provider's own marks."""
        for name in _MIRRORED:
            learnt = getattr(self._inner, name)
            # A wrapper may have left its own mark in the metadata.
            if learnt is not None and not (name == "metadata" and self.metadata):
                setattr(self, name, learnt)
        return super().get()

    async def prime(self) -> None:
        """Wait for the first event that its reader sees anything of, or for the end: whatever fails until then, nobody
        has seen anything of this stream, and another may take its place.

        Thinking goes before, calls of the agent's own tools, and text that is no answer; at most 1,024 events of them
        are waited for. A stream that ends without any event is an empty answer, no failure.
        """
        self._running = self._judged_events()
        while len(self._primed) < _MOST_PRIMED:
            event = await anext(self._running, None)
            if event is None:
                return
            self._primed.append(event)
            if self._is_seen(event):
                return

    async def aclose(self) -> None:
        """Stop, wherever it stands; nothing that is held goes out."""
        if self._running is not None:
            await self._running.aclose()

    def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._running is None:
            self._running = self._judged_events()
        return self._given(self._running)

    async def _given(
        self, following: AsyncGenerator[ModelResponseStreamEvent]
    ) -> AsyncGenerator[ModelResponseStreamEvent]:
        while self._primed:
            if self._cut or self.cancelled:
                return
            yield self._known(self._primed.popleft())
        async for event in following:
            yield self._known(event)

    def _known(self, event: ModelResponseStreamEvent) -> ModelResponseStreamEvent:
        # Only now: whoever reads both its parts and its events would get twice what was known before it was given.
        self._parts_manager.apply_event(event)
        return event

    def _is_seen(self, event: ModelResponseStreamEvent) -> bool:
        """Whether a reader sees anything of an event: words of the answer, its arguments, or what a provider's own tool
        does. Tools of the agent are called when the response has ended, so a call alone shows nothing.
        """
        if isinstance(event, PartStartEvent):
            part = event.part
            if isinstance(part, ToolCallPart):
                return part.tool_name in self._output_tools
            if isinstance(part, TextPart):
                return bool(part.content) and self.model_request_parameters.allow_text_output
            return not isinstance(part, ThinkingPart)
        if isinstance(event, PartDeltaEvent):
            delta = event.delta
            if isinstance(delta, TextPartDelta):
                return bool(delta.content_delta) and self.model_request_parameters.allow_text_output
            return isinstance(delta, ToolCallPartDelta)
        return False

    async def _judged_events(self) -> AsyncGenerator[ModelResponseStreamEvent]:
        while not self._upstream.ended:
            event = await self._upstream.next()
            if event is None and not self._stopped and cut_short(self._inner, self._terms.profile):
                raise self._upstream.cut_short()
            for index, step in self._steps(event):
                for piece in await step:
                    yield self._number(index, piece)

    def _steps(self, event: ModelResponseStreamEvent | None) -> Iterator[tuple[int, Awaitable[list[Piece]]]]:
        """What the event asks for, one part after another, each to be awaited before the next."""
        if isinstance(event, PartStartEvent):
            for index in self._over(event.part):
                yield index, self._open[index].close()
            yield event.index, self._begin(event.index, event.part)
        elif isinstance(event, PartDeltaEvent):
            yield event.index, self._go_on(event.index, event.delta)
        # A stream without a connection to cut ends as if it were complete; what is held then goes nowhere.
        elif event is None and not self._stopped:
            for index, part in self._open.items():
                yield index, part.close()

    def _over(self, following: ModelResponsePart) -> list[int]:
        """Which parts are over now. Calls may take turns, so only something else ends them."""
        calls = isinstance(following, ToolCallPart)
        return [index for index, part in self._open.items() if not (calls and isinstance(part, WholePart))]

    async def _begin(self, index: int, part: ModelResponsePart) -> list[Piece]:
        self._numbers.pop(index, None)
        self._open.pop(index, None)
        if isinstance(part, ToolCallPart | NativeToolCallPart) and not self._flows(part):
            restore = self._restore_json if isinstance(part, ToolCallPart) else None
            self._open[index] = WholePart(part, self._terms.checkpoint, restore)
            return []
        if isinstance(part, TextPart | ThinkingPart | ToolCallPart):
            flowing = FlowingPart(part, self._way(part))
            self._open[index] = flowing
            return await flowing.open()
        said = spoken(part)
        if said is None:
            self._terms.refuse()
        else:
            channel, text = said
            await self._terms.checkpoint.let_out_unchanged(text, channel)
        return [replace(part)]

    async def _go_on(self, index: int, delta: ModelResponsePartDelta) -> list[Piece]:
        part = self._open.get(index)
        if part is not None:
            return await part.feed(delta)
        self._terms.refuse()
        return [delta]

    def _number(self, index: int, piece: Piece) -> ModelResponseStreamEvent:
        """Make the piece an event of this stream's own numbering."""
        event: ModelResponseStreamEvent
        if isinstance(piece, TextPartDelta | ThinkingPartDelta | ToolCallPartDelta | SpeechPartDelta):
            if index not in self._numbers:
                raise UnexpectedModelBehavior("the model went on with a part that it never began")
            event = PartDeltaEvent(index=self._numbers[index], delta=piece)
        else:
            self._numbers[index] = self._begun
            self._begun += 1
            event = PartStartEvent(index=self._numbers[index], part=piece)
        return event

    def _flows(self, part: ToolCallPart | NativeToolCallPart) -> bool:
        # An output tool that comes after calls that are still held keeps its place behind them.
        return (
            isinstance(part, ToolCallPart)
            and part.tool_name in self._output_tools
            and not isinstance(part.args, dict)
            and not any(isinstance(held, WholePart) and not held.closed for held in self._open.values())
        )

    def _way(self, part: TextPart | ThinkingPart | ToolCallPart) -> Way:
        terms = self._terms
        if isinstance(part, ThinkingPart):
            # It may be signed as it is, so nothing is put back.
            return Way(TextHold(terms.max_hold), terms.checkpoint, "thinking", str, str)
        channel: Channel = "text" if isinstance(part, TextPart) else "tool_call"
        if channel == "text" and not terms.text_is_json:
            restore = str if terms.vault is None else terms.vault.restore
            return Way(TextHold(terms.max_hold), terms.checkpoint, channel, str, restore)
        return Way(JsonHold(terms.max_hold), terms.checkpoint, channel, readable, self._restore_json)

    def _restore_json(self, raw: str) -> str:
        vault = self._terms.vault
        return raw if vault is None else vault.restore_json_text(raw)
