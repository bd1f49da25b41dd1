"""What OpenAI's clients read, as far as the service's document tells of it."""

from typing import Any, Literal

from pydantic import BaseModel


class ChatError(BaseModel):
    """Why there is no answer."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None
    retry_after: float | None = None


class ChatProblem(BaseModel):
    """A refusal, as OpenAI's clients read it."""

    error: ChatError


class ChatCompletion(BaseModel):
    """An agent's answer, as if a model had given it."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any] | None = None


class ModelList(BaseModel):
    """The agents that may be asked, as models."""

    object: Literal["list"]
    data: list[dict[str, Any]]
