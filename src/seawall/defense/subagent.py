"""An agent that another agent calls as a tool: its own policy, the same caller, what is left of time and tries."""

from typing import Any, TypeVar

from pydantic_ai import RunContext, Tool

from seawall.agents import agent_marks
from seawall.defense.hardened import Hardened
from seawall.defense.run_state import current_run

DepsT = TypeVar("DepsT")


def subagent(
    hardened: Hardened[DepsT, Any],
    *,
    description: str,
    deps: DepsT = None,
    name: str | None = None,
    trusted_result: bool = False,
) -> Tool[Any]:
    """Make a hardened agent a tool of another one that is hardened too: `Agent(..., tools=[subagent(risk, ...)])`.

    The outer agent's model writes the prompt; the inner run is made for the outer run's caller, ends with its
    deadline, shares its retries, and has a ledger row of its own. To the outer run it is the dependency
    `agent NAME`. Its answer is untrusted text unless `trusted_result`: what it read may be anybody's. NotHardened
    where the outer agent is not.
    """
    known = name or hardened.name

    async def ask(ctx: RunContext[Any], prompt: str) -> Any:
        """Ask the agent."""
        del ctx
        result = await hardened.run(prompt, deps=deps, principal=current_run().caller)
        run = current_run()
        for missing in result.missing:
            run.go_without(missing)
        return result.output

    return Tool(
        ask,
        takes_ctx=True,
        name=known.replace("-", "_"),
        description=description,
        metadata=agent_marks(known, trusted_result=trusted_result),
    )
