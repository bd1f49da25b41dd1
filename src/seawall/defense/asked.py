"""What a caller hands to a run: its prompt, a history, and its word on calls that waited for one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pydantic_ai import DeferredToolResults
from pydantic_ai.messages import (
    BaseToolCallPart,
    BaseToolReturnPart,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    UserPromptPart,
)
from pydantic_ai.tools import ToolApproved

from seawall.defense.heard import DEVELOPERS_OWN, Heard, Prompt, Words, heard, is_untrusted, spotlit, texts_of
from seawall.defense.streaming.spoken import as_text


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt, the messages before it, and `approvals` of calls in them; made by `Asked.of`.

    What only the developer may say is not in `history`: system prompts and instructions are written anew for each
    run, so that those of a history, which anybody may have written, never count.
    """

    prompt: Prompt | None
    history: tuple[ModelMessage, ...]
    approvals: DeferredToolResults | None

    @classmethod
    def of(
        cls,
        prompt: Prompt | None,
        history: Sequence[ModelMessage] | None,
        approvals: DeferredToolResults | None,
    ) -> "Asked":
        """Take what the caller gave, less what is not the caller's to say."""
        return cls(prompt, tuple(_without_developers(history or ())), approvals)

    @property
    def words(self) -> Words:
        """Who said what of it."""
        own = frozenset(texts_of(spotlit(self.prompt))) if self.prompt is not None else frozenset[str]()
        said = (part for m in self.history for part in m.parts if isinstance(part, UserPromptPart))
        return Words(own, frozenset(text for part in said for text in texts_of(part.content)))

    @property
    def untrusted(self) -> bool:
        """Whether it holds text of strangers; a result that the caller hands in for a tool is one."""
        calls = self.approvals is not None and bool(self.approvals.calls)
        return calls or is_untrusted(self._messages())

    @property
    def resumed(self) -> ModelResponse | None:
        """The answer that the run goes on from without asking a model first, as if it had just given it."""
        if self.approvals is None and self.prompt is not None:
            return None
        answers = (message for message in reversed(self.history) if isinstance(message, ModelResponse))
        last = next(answers, None)
        return last if self.approvals is not None or (self.history and self.history[-1] is last) else None

    def heard(self) -> Iterator[Heard]:
        """Give every text of it, and the names of tools in its history, which a model reads too."""
        yield from heard(self._messages(), self.words)
        called = (part for message in self.history for part in message.parts)
        names = {part.tool_name for part in called if isinstance(part, BaseToolCallPart | BaseToolReturnPart)}
        if names:
            yield Heard("\n".join(sorted(names)), "document")

    def arguments(self) -> Iterator[str]:
        """Give what the caller wants a tool called with in place of what the model wrote."""
        for word in self.approvals.approvals.values() if self.approvals is not None else ():
            if isinstance(word, ToolApproved) and word.override_args is not None:
                yield as_text(word.override_args)

    def _messages(self) -> list[ModelMessage]:
        said = [] if self.prompt is None else [ModelRequest(parts=[UserPromptPart(spotlit(self.prompt))])]
        return [*said, *self.history]


def _without_developers(history: Sequence[ModelMessage]) -> Iterator[ModelMessage]:
    for message in history:
        if isinstance(message, ModelResponse):
            yield message
            continue
        parts = [part for part in message.parts if not _is_developers(part)]
        if parts:
            yield replace(message, parts=parts, instructions=None)


def _is_developers(part: ModelRequestPart) -> bool:
    return getattr(part, "part_kind", None) in DEVELOPERS_OWN
