"""Every way in which text comes to a model, and what becomes of it there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    DeferredToolRequests,
    ModelRetry,
    RunContext,
    ToolReturn,
    messages,
)
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolReturnPart,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import DeferredToolResults, ToolDefinition, ToolDenied
from pydantic_ai.toolsets import ExternalToolset, FunctionToolset

from seawall.agents import Block, marks
from tests.defense.shapes import (
    OPAQUE,
    PICTURE,
    SPOKEN,
    Answer,
    Page,
    Run,
    Sheet,
    after,
    before,
    forged,
    named,
    thought,
    whole,
)
from tests.defense.streams import ScriptedModel


def calls(*names: str, **arguments: Any) -> Answer:
    """Answer with a call of each of the tools at once."""
    return [ToolCallPart(name, arguments, f"c{n}") for n, name in enumerate(names, 1)]


DONE: Answer = (TextPart("done."),)


def result(make: Callable[[str], Any], *, metadata: dict[str, Any] | None = None) -> Callable[[str], Run]:
    """A tool whose result is made of the text, or that raises it."""

    def run(text: str) -> Run:
        def look() -> Any:
            made = make(text)
            if isinstance(made, Exception):
                raise made
            return made

        def equip(agent: Agent[None, Any]) -> None:
            agent.tool_plain(metadata=metadata)(look)

        return Run(answers=[calls("look"), DONE], equip=equip)

    return run


def put_in(make: Callable[[str], Sequence[Any]]) -> Callable[[str], Run]:
    """A tool that puts something into the conversation itself."""

    def run(text: str) -> Run:
        def look(ctx: RunContext[None]) -> str:
            ctx.enqueue(*make(text))
            return "fine"

        return Run(answers=[calls("look"), DONE], equip=lambda agent: agent.tool(look))

    return run


def side_by_side(text: str) -> Run:
    """Two tools at once, one of them with clean words."""

    def equip(agent: Agent[None, Any]) -> None:
        agent.tool_plain(name="first")(lambda: "fine")
        agent.tool_plain(name="second")(lambda: text)

    return Run(answers=[calls("first", "second"), DONE], equip=equip)


def below(text: str) -> Run:
    """Another agent, asked by a tool, whose answer holds the text."""

    async def look() -> str:
        answered = await Agent(ScriptedModel(whole([TextPart(text)])), name="below").run("go")
        return answered.output

    return Run(answers=[calls("look"), DONE], equip=lambda agent: agent.tool_plain(look))


def served(**told: Any) -> Run:
    """A toolset as an MCP server's is: what it says of its tools is its own."""

    def look() -> str:
        return told.get("result", "fine")

    tools = FunctionToolset[None](id="server")
    tools.add_function(look, description=told.get("description", "Looks."), metadata={"annotations": None})
    if "schema" in told:
        tools = tools.prepared(lambda ctx, defs: [_described(one, told["schema"]) for one in defs])
    return Run(answers=[calls("look"), DONE], options={"toolsets": [tools]})


def _described(tool: ToolDefinition, text: str) -> ToolDefinition:
    field_ = {"type": "string", "description": text}
    return replace(tool, parameters_json_schema={"type": "object", "properties": {"to": field_}})


def rejected(text: str) -> Run:
    """An output validator that says the text, once."""
    said: list[str] = []

    def once(output: str) -> str:
        if not said:
            said.append(text)
            raise ModelRetry(text)
        return output

    return Run(equip=lambda agent: agent.output_validator(once), answers=[[TextPart("no.")], DONE])


def misread(text: str) -> Run:
    """Output of the wrong shape, which is quoted to the model."""

    class Number(BaseModel):
        n: int

    wrong, right = ToolCallPart("final_result", {"n": text}), ToolCallPart("final_result", {"n": 1})
    return Run(answers=[[wrong], [right]], options={"output_type": Number})


def handed_in(make: Callable[[str], Any], *, approval: bool = False) -> Callable[[str], Run]:
    """A call that waited, and the caller's word on it."""

    def run(text: str) -> Run:
        word = make(text)
        history = [ModelRequest(parts=[UserPromptPart("hi")]), ModelResponse(parts=calls("look"))]
        words = {"c1": word}
        results = DeferredToolResults(approvals=words) if approval else DeferredToolResults(calls=words)
        tool = ToolDefinition(name="look", kind="unapproved" if approval else "external")
        options = {"toolsets": [ExternalToolset[None]([tool])], "output_type": [str, DeferredToolRequests]}

        def equip(agent: Agent[None, Any]) -> None:
            agent.tool_plain(name="look", requires_approval=True)(lambda: "fine")

        if approval:
            return Run(None, history, results, equip=equip, options={"output_type": options["output_type"]})
        return Run(None, history, results, options=options)

    return run


@dataclass
class Adding(AbstractCapability[None]):
    """A capability of the agent that adds to each request."""

    text: str

    async def before_model_request(
        self, ctx: RunContext[None], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        added = ModelRequest(parts=[UserPromptPart(self.text)])
        request_context.messages = [*request_context.messages, added]
        return request_context


# Text on its way to the model, wherever it can come in: judged, and refused before the model reads it.
INWARD: dict[str, Callable[[str], Run]] = {
    "prompt": Run,
    "prompt in pieces": lambda text: Run(["Read this:", text]),
    "block": lambda text: Run(["Read:", Block("d1", "Page", text)]),
    "title of a block": lambda text: Run(["Read:", Block("d1", text, "words")]),
    "id of a block": lambda text: Run(["Read:", Block(text, "Page", "words")]),
    "block whose id has a blank": lambda text: Run(["Read:", Block("my page", "Page", text)]),
    "result: str": result(str),
    "result: dict": result(lambda text: {"page": text}),
    "result: key": result(lambda text: {text: "page"}),
    "result: list": result(lambda text: [text]),
    "result: nested": result(lambda text: {"pages": [{"text": (text,)}]}),
    "result: model": result(lambda text: Page(text=text)),
    "result: dataclass": result(Sheet),
    "result: content of a trusted one": result(
        lambda text: ToolReturn("fine", content=text), metadata=marks(trusted_result=True)
    ),
    "result: failure of a trusted one": result(ModelRetry, metadata=marks(trusted_result=True)),
    "result: value": result(ToolReturn),
    "result: content": result(lambda text: ToolReturn("fine", content=text)),
    "result: content in pieces": result(
        lambda text: ToolReturn("fine", content=[messages.TextContent(text)])
    ),
    "result: retry": result(ModelRetry),
    "result: failure": result(ToolFailed),
    "put in: words": put_in(lambda text: [text]),
    "put in: part": put_in(lambda text: [UserPromptPart(text)]),
    "put in: answer": put_in(lambda text: [_said_so(text), ModelRequest(parts=[UserPromptPart("go")])]),
    "result of two": side_by_side,
    "agent below": below,
    "server: result": lambda text: served(result=text),
    "server: description": lambda text: served(description=text),
    "server: schema": lambda text: served(schema=text),
    "rejected output": rejected,
    "misread output": misread,
    "handed in: str": handed_in(str),
    "handed in: dict": handed_in(lambda text: {"page": text}),
    "handed in: content": handed_in(lambda text: ToolReturn("fine", content=text)),
    "handed in: retry": handed_in(ModelRetry),
    "handed in: denial": handed_in(ToolDenied, approval=True),
    "agent's own capability": lambda text: Run(options={"capabilities": [Adding(text)]}),
    "history: forged block": forged,
    "history: name of a tool": named,
    "history: raw thought": lambda text: Run(history=before(thought(text))),
    "history: resumed": lambda text: Run(None, [ModelRequest(parts=[UserPromptPart(text)])]),
    "history: errors": lambda text: Run(history=after(_errors(text))),
}

# Nothing of it can be read, so nothing of it gets through.
SHUT: dict[str, Callable[[str], Run]] = {
    "result: file": result(lambda text: PICTURE),
    "result: files in a list": result(lambda text: [text, PICTURE]),
    "result: address": result(lambda text: messages.ImageUrl("https://example.com/a.png")),
    "result: file as content": result(lambda text: ToolReturn("fine", content=[PICTURE])),
    "put in: file": put_in(lambda text: [PICTURE]),
    "handed in: file": handed_in(lambda text: PICTURE),
    "history: opaque summary": lambda text: Run(history=before(OPAQUE)),
    "history: speech": lambda text: Run(history=before(SPOKEN)),
    "history: file in a looked-up result": lambda text: Run(
        history=before(NativeToolReturnPart("web_search", [PICTURE], "n1"))
    ),
}

# The developer's own words, which nobody judges: who can write here is trusted with everything.
OWN: dict[str, Callable[[str], Run]] = {
    "instructions": lambda text: Run(options={"instructions": text}),
    "instructions made in the run": lambda text: Run(options={"instructions": lambda: text}),
    "system prompt": lambda text: Run(options={"system_prompt": text}),
    "system prompt beside a history": lambda text: Run(
        history=after(SystemPromptPart("obey")), options={"system_prompt": text}
    ),
    "trusted result": result(lambda text: {"row": text}, metadata=marks(trusted_result=True)),
    "system prompt that a tool puts in": put_in(lambda text: [SystemPromptPart(text)]),
}


def _said_so(text: str) -> ModelMessage:
    return ModelResponse(parts=[TextPart(text)])


def _errors(text: str) -> RetryFeedbackPart:
    error: Any = {"type": "int_parsing", "loc": ("n",), "msg": "no number", "input": text}
    return RetryFeedbackPart(content=[error], retry=RetryInfo(cause="validation_error"))
