"""The risk agent as a typed agent, and the policy it goes to work under."""

from pydantic_ai import Agent
from pydantic_ai.models import Model

from seawall import Bulkhead, CircuitBreaker, Policy
from seawall_contracts.agent import document_guards
from seawall_contracts.risk.question import INSTRUCTIONS, Answer

NAME = "contract-risk"


def build_risk_agent(model: Model | str) -> Agent[None, Answer]:
    """Make the agent; any Pydantic AI model, by name or as an object."""
    return Agent(
        model, output_type=Answer, instructions=INSTRUCTIONS, name=NAME, retries=1, defer_model_check=True
    )


def build_risk_policy(
    *, concurrency: int, retention: str = "30d", breaker: CircuitBreaker | None = None
) -> Policy:
    """Make its policy: quick to give up and quick to ask again, because reviews go on without it.

    It has limits of its own, so that its dependency's failure is nobody else's, and no other model to fall back to: the
    row without it says so.
    """
    return Policy(
        guards=document_guards(),
        abuse=None,
        breaker=breaker or RISK_BREAKER,
        bulkhead=Bulkhead(concurrency=concurrency, queue=concurrency, max_wait="1s"),
        call_timeout="20s",
        deadline="45s",
        retention=retention,
    )


RISK_BREAKER = CircuitBreaker(
    failure_rate=0.5, slow_call="15s", window="1m", minimum_calls=3, open_for="5s", max_open="1m"
)
