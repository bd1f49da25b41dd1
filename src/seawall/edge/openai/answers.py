"""An agent's answer as an OpenAI client reads it.

Source: OpenAI API reference, "The chat completion object" and "List models".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_ai import DeferredToolRequests
from pydantic_core import to_json

from seawall.edge.openai.errors import ApprovalNeeded
from seawall.foundation.transaction import Transaction


class Answered(Protocol):
    """An agent's output and the ledger row of its run, such as a `HardenedResult`."""

    @property
    def output(self) -> Any:
        """What the agent answered."""
        ...

    @property
    def transaction(self) -> Transaction:
        """What it cost."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """What every piece of one answer says: an id such as `chatcmpl-…`, the agent, seconds since the epoch."""

    id: str
    model: str
    created: int


def completion(answer: Answered, head: Head) -> dict[str, Any]:
    """Return a chat completion: text as it is, any other output as JSON text, and `seawall` (see `extra`).

    ApprovalNeeded where the run only paused: that is no answer.
    """
    message = {"role": "assistant", "content": text_of(answer.output), "refusal": None}
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage(answer.transaction),
        "seawall": extra(answer.transaction),
    }


def text_of(output: object) -> str:
    """Return an output as text that has UTF-8; what is not text is JSON, in which NaN and the infinities are null."""
    if isinstance(output, DeferredToolRequests):
        raise ApprovalNeeded()
    if type(output) is str:
        return output.encode("utf-8", "replace").decode()
    return to_json(output, inf_nan_mode="null").decode()


def usage(row: Transaction) -> dict[str, int]:
    """Return the tokens of a whole run, all its requests of models together; zeros where none was asked."""
    return {
        "prompt_tokens": row.input_tokens,
        "completion_tokens": row.output_tokens,
        "total_tokens": row.input_tokens + row.output_tokens,
    }


def extra(row: Transaction) -> dict[str, Any]:
    """Return what OpenAI has no field for; clients that do not know it pass over it.

    `transaction` is the id of the ledger row, `cost_usd` a decimal in text, null where the price is unknown.
    """
    return {
        "degradation": row.degradation,
        "missing": list(row.missing),
        "transaction": row.id,
        "cost_usd": None if row.cost_usd is None else f"{row.cost_usd:f}",
        "ai_generated": True,
    }


def model_card(name: str, created: int) -> dict[str, Any]:
    """Return an agent as `GET /v1/models/{name}` has it."""
    return {"id": name, "object": "model", "created": created, "owned_by": "seawall"}


def model_list(names: Iterable[str], created: int) -> dict[str, Any]:
    """Return the agents as `GET /v1/models` has them, in the order given."""
    return {"object": "list", "data": [model_card(name, created) for name in names]}
