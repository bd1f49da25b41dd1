"""Every way in which text leaves a model: to a reader, to a tool, into a history."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    DeferredToolRequests,
    NativeOutput,
    PromptedOutput,
    RunContext,
)
from pydantic_ai.capabilities import AbstractCapability, WrapModelRequestHandler
from pydantic_ai.messages import (
    CompactionPart,
    FilePart,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    NativeToolCallPart,
    NativeToolReturnPart,
    SpeechPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import DeferredToolResults, ToolApproved, ToolDefinition
from pydantic_ai.toolsets import ExternalToolset

from tests.defense.shapes import MARK, OPAQUE, PICTURE, SPOKEN, Answer, Odd, Run, sourced, thought
from tests.defense.shapes_in import DONE


@dataclass
class Cached(AbstractCapability[None]):
    """A capability of the agent that answers without asking its model, once."""

    answer: Answer
    asked: bool = False

    async def wrap_model_request(
        self, ctx: RunContext[None], *, request_context: ModelRequestContext, handler: WrapModelRequestHandler
    ) -> ModelResponse:
        if self.asked:
            return await handler(request_context)
        self.asked = True
        return ModelResponse(parts=self.answer)


@dataclass
class Rewriting(AbstractCapability[None]):
    """A capability of the agent that changes what its model said."""

    text: str

    async def after_model_request(
        self, ctx: RunContext[None], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        return replace(response, parts=[TextPart(self.text)])


class Note(BaseModel):
    text: str


class Sum(BaseModel):
    n: int


def kept(note: Note) -> str:
    """Take an answer, as an output function does."""
    return note.text


def _typed(output: Any, answer: Answer) -> Run:
    return Run(answers=[answer], options={"output_type": output})


def _final(text: str, name: str = "final_result", **more: Any) -> ToolCallPart:
    return ToolCallPart(name, {"text": text, **more}, "f1")


def _note(text: str) -> TextPart:
    return TextPart(Note(text=text).model_dump_json())


def tools(ran: list[str], *answer: ModelResponsePart, **options: Any) -> Run:
    """A model that answers so, and two tools that say when they ran."""

    def look(to: str, **more: str) -> str:
        ran.append(to)
        return "fine"

    def equip(agent: Agent[None, Any]) -> None:
        agent.tool_plain(name="look")(look)
        agent.tool_plain(name="send")(look)

    return Run(answers=[answer, DONE], options=options, equip=equip)


def resumed(ran: list[str], *answer: ModelResponsePart, word: Any = None) -> Run:
    """The same, but the answer stands at the end of a history that the caller gives."""
    run = tools(ran)
    run.prompt, run.answers = None, [DONE]
    run.history = [ModelRequest(parts=[UserPromptPart("hi")]), ModelResponse(parts=list(answer))]
    run.approvals = None if word is None else DeferredToolResults(approvals={"c1": word})
    return run


def _call(text: str, name: str = "look", call_id: str = "c1") -> ToolCallPart:
    return ToolCallPart(name, {"to": text}, call_id)


# Text on its way out of the model: judged, and refused before a reader, a tool or a history has it. Each is made of
# the text, and of a list that says which tools ran.
OUTWARD: dict[str, Callable[[str, list[str]], Run]] = {
    "text": lambda text, ran: Run(answers=[[TextPart(f"So: {text}")]]),
    "call": lambda text, ran: tools(ran, _call(text)),
    "call: written out": lambda text, ran: tools(ran, ToolCallPart("look", f'{{"to": "{text}"}}', "c1")),
    "call: escaped": lambda text, ran: tools(
        ran, ToolCallPart("look", f'{{"to": "{_escaped(text)}"}}', "c1")
    ),
    "call: name of an argument": lambda text, ran: tools(
        ran, ToolCallPart("look", {text: "x", "to": "y"}, "c1")
    ),
    "second of two calls": lambda text, ran: tools(ran, _call("x"), _call(text, "send", "c2")),
    "call beside text": lambda text, ran: tools(ran, TextPart("One moment."), _call(text)),
    "call that waits": lambda text, ran: Run(
        answers=[[_call(text)]],
        options={
            "toolsets": [ExternalToolset[None]([ToolDefinition(name="look", kind="external")])],
            "output_type": [str, DeferredToolRequests],
        },
    ),
    "output tool": lambda text, ran: _typed(Note, [_final(text)]),
    "output tool: one of two": lambda text, ran: _typed([Sum, Note], [_final(text, "final_result_Note")]),
    "native output": lambda text, ran: _typed(NativeOutput(Note), [_note(text)]),
    "prompted output": lambda text, ran: _typed(PromptedOutput(Note), [_note(text)]),
    "output function": lambda text, ran: _typed(kept, [_final(text)]),
    "output beside a call": lambda text, ran: tools(
        ran, _final("fine"), _call(text), output_type=Note, end_strategy="exhaustive"
    ),
    "thought": lambda text, ran: Run(answers=[[ThinkingPart(text), *DONE]]),
    "raw thought": lambda text, ran: Run(answers=[[thought(text), *DONE]]),
    "call of the provider's own": lambda text, ran: Run(
        answers=[[NativeToolCallPart("web_search", {"q": text}, "n1"), *DONE]]
    ),
    "result of the provider's own": lambda text, ran: Run(
        answers=[[NativeToolReturnPart("web_search", {"page": text}, "n1"), *DONE]]
    ),
    "source": lambda text, ran: Run(answers=[[sourced(text)]]),
    "summary": lambda text, ran: Run(answers=[[CompactionPart(text, provider_name="scripted"), *DONE]]),
    "speech": lambda text, ran: Run(answers=[[SpeechPart(speaker="assistant", transcript=text), *DONE]]),
    "answer given again": lambda text, ran: resumed(ran, TextPart(text)),
    "call given again": lambda text, ran: resumed(ran, _call(text)),
    "call given again, approved": lambda text, ran: resumed(ran, _call(text), word=True),
    "call given other arguments": lambda text, ran: resumed(
        ran, _call("x"), word=ToolApproved(override_args={"to": text})
    ),
}

# The same where an agent's own capabilities stand between model and reader; a stream is out before they speak.
BETWEEN: dict[str, Callable[[str, list[str]], Run]] = {
    "cached text": lambda text, ran: Run(options={"capabilities": [Cached([TextPart(text)])]}),
    "cached call": lambda text, ran: tools(ran, *DONE, capabilities=[Cached([_call(text)])]),
    "rewritten text": lambda text, ran: Run(options={"capabilities": [Rewriting(text)]}),
}

# Nothing of it can be read on its way out.
SEALED: dict[str, ModelResponsePart] = {
    "file": FilePart(PICTURE),
    "file that was looked up": NativeToolReturnPart("web_search", [PICTURE], "n1"),
    "opaque summary": OPAQUE,
    "spoken": SPOKEN,
    "odd": cast("ModelResponsePart", Odd(MARK)),
}


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)
