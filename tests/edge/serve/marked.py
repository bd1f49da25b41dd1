"""A service whose agents repeat what they are told: in answers, tool calls, tool results, streams and errors."""

import asyncio
from collections.abc import AsyncGenerator

from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from seawall import Policy, Retries, Seawall, guards


def _told(messages: list[ModelMessage]) -> str:
    parts = [part for message in messages if isinstance(message, ModelRequest) for part in message.parts]
    return " ".join(str(part.content) for part in parts if isinstance(part, UserPromptPart))


async def _repeats(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart) or not info.function_tools:
        return ModelResponse(parts=[TextPart(f"I was told: {_told(messages)}")])
    return ModelResponse(parts=[ToolCallPart("look_up", {"about": _told(messages)}, "c")])


async def _streams(messages: list[ModelMessage], info: AgentInfo) -> AsyncGenerator[str]:
    for word in _told(messages).split():
        yield f"{word} "


async def _breaks(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise RuntimeError(f"cannot do {_told(messages)}")


async def _waits(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    await asyncio.sleep(600)
    return ModelResponse(parts=[TextPart(_told(messages))])


def look_up(about: str) -> str:
    """Repeat what was asked for."""
    return f"The file says: {about}"


app = Seawall()
_PLAIN = Policy(abuse=None, retries=Retries(most=0))
app.add(Agent(FunctionModel(_repeats), name="clerk", tools=[look_up]), _PLAIN)
app.add(Agent(FunctionModel(_repeats, stream_function=_streams), name="teller"), _PLAIN)
app.add(Agent(FunctionModel(_breaks), name="broken"), _PLAIN)
app.add(Agent(FunctionModel(_waits), name="slow"), Policy(abuse=None, deadline="900s", call_timeout="600s"))
app.add(Agent(FunctionModel(_repeats), name="guarded"), Policy(guards=[guards.injection()], abuse=None))
