"""The contract reviewer as a typed agent, and the policy it goes to work under."""

from pydantic_ai import Agent
from pydantic_ai.models import Model

from seawall import Bulkhead, CircuitBreaker, Fallback, Policy, RateLimit, guards
from seawall_contracts.reading import INSTRUCTIONS, Reading

NAME = "contract-reviewer"
_PER_SECOND = 200


def build_agent(model: Model | str) -> Agent[None, Reading]:
    """Make the agent; any Pydantic AI model, by name or as an object."""
    return Agent(
        model, output_type=Reading, instructions=INSTRUCTIONS, name=NAME, retries=1, defer_model_check=True
    )


def document_guards() -> tuple[guards.Guard | guards.Pseudonymise, ...]:
    """Make the guards of every agent that reads contracts."""
    return (
        guards.size("2 MB"),
        guards.injection(context="document", classify=False),
        guards.pseudonymise(),
    )


def build_policy(
    *,
    concurrency: int,
    fallbacks: tuple[Model | str | Fallback, ...] = (),
    retention: str = "30d",
    processes: int = 1,
) -> Policy:
    """Make the policy of a batch review by one person on one machine.

    The rate is what one person's batch may use of a tenant's share, divided by the processes that count apart; a
    batch that is refused waits as long as it is told to and goes on.
    """
    share = -(-_PER_SECOND // processes)
    return Policy(
        guards=document_guards(),
        limits=(RateLimit(share, per="1s", key="subject"), RateLimit(2 * share, per="1s", key="tenant")),
        # Its one caller is the person at the terminal, who answers for no contract's author.
        abuse=None,
        breaker=CircuitBreaker(
            failure_rate=0.5, slow_call="60s", window="60s", minimum_calls=10, open_for="10s"
        ),
        bulkhead=Bulkhead(concurrency=concurrency, queue=256, max_wait="120s"),
        fallbacks=fallbacks,
        deadline="180s",
        retention=retention,
    )
