"""What callers send and get: the shapes of the service's own API, version 1."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from seawall.edge.served import Answer
from seawall.foundation.transaction import Degradation, Transaction

RunStatus = Literal["queued", "running", "done", "failed", "cancelled", "refused"]

_EXAMPLE = "Either party may terminate this Agreement on thirty days' written notice."


class RunRequest(BaseModel):
    """Work for an agent: its input, and how the answer is wanted."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"input": _EXAMPLE}, {"input": _EXAMPLE, "stream": True}]},
    )

    input: str | None = Field(
        default=None, min_length=1, description="What the agent is asked: the caller's words."
    )
    stream: bool = Field(default=False, description="Answer in server-sent events, as it is written.")
    later: bool = Field(
        default=False,
        alias="async",
        description="Answer at once with status 202; the work goes on without its caller.",
    )
    resume: str | None = Field(
        default=None,
        max_length=64,
        description="The resume_id of a stream that broke off: asks the same question anew, in place of an input.",
    )

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if (self.input is None) == (self.resume is None):
            raise ValueError("give an input, or resume with the resume_id of a stream that broke off")
        if self.stream and self.later:
            raise ValueError("a run is streamed or done later (async), not both")
        if self.resume is not None and not self.stream:
            raise ValueError("resume goes with stream: true")
        return self


class Usage(BaseModel):
    """What a run used."""

    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0


class Run(BaseModel):
    """A run, finished or not. `output` is the agent's typed answer; `cost_usd` is null where the price is unknown."""

    id: str
    agent: str
    status: RunStatus
    created_at: float
    output: Any = None
    degradation: Degradation | None = None
    missing: list[str] = Field(default_factory=list)
    transaction: str | None = None
    model: str | None = None
    usage: Usage | None = None
    cost_usd: str | None = None
    seconds: float | None = None
    ai_generated: bool = Field(default=True, description="Regulation (EU) 2024/1689, article 50.")
    problem: dict[str, Any] | None = None


class AgentCard(BaseModel):
    """An agent that may be asked, and the JSON schema of its answers."""

    name: str
    description: str
    output_schema: dict[str, Any]


class Agents(BaseModel):
    """All agents that this caller may ask."""

    agents: list[AgentCard]


def finished(run_id: str, agent: str, created_at: float, answer: Answer) -> dict[str, Any]:
    """Return a run that came to its end, as `Run` has it."""
    return {
        "id": run_id,
        "agent": agent,
        "status": "done",
        "created_at": created_at,
        "output": answer.output,
    } | ended(answer.transaction)


def ended(row: Transaction) -> dict[str, Any]:
    """Return what the ledger row of a run tells its caller."""
    return {
        "degradation": row.degradation,
        "missing": list(row.missing),
        "transaction": row.id,
        "model": row.model,
        "usage": {
            "input_tokens": row.input_tokens,
            "output_tokens": row.output_tokens,
            "requests": row.requests,
        },
        "cost_usd": None if row.cost_usd is None else f"{row.cost_usd:f}",
        "seconds": round(row.seconds, 6),
        "ai_generated": True,
        "problem": None,
    }
