"""An agent that another agent calls as a tool: its own policy, the same caller, what is left of time and tries."""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic_ai import RunContext, Tool
from pydantic_ai.tools import DeferredToolRequests

from seawall.agents import agent_marks
from seawall.defense.hardened import Hardened, HardenedResult
from seawall.defense.run_state import RunState, current_run
from seawall.foundation.errors import ConfigError, Rejected, SeawallError
from seawall.foundation.patterns import compile_pattern

DepsT = TypeVar("DepsT")

# What providers take for the name of a tool.
_NAME = compile_pattern(r"[A-Za-z0-9_-]{1,64}")


class SubagentFailed(SeawallError):
    """An agent that was called as a tool failed; its own ledger row says more than this, which holds no content."""

    def __init__(self, agent: str, kind: str) -> None:
        super().__init__(f"agent {agent!r} failed with {kind}; see its row in the ledger")
        self.agent = agent
        self.kind = kind

    def __reduce__(self) -> tuple[type["SubagentFailed"], tuple[str, str]]:
        """Rebuild from the facts, where the inherited way would rebuild from the text."""
        return type(self), (self.agent, self.kind)


def subagent(
    hardened: Hardened[DepsT, Any],
    *,
    description: str,
    name: str | None = None,
    deps: Callable[[Any], DepsT] | None = None,
    trusted_result: bool = False,
) -> Tool[Any]:
    """Make a hardened agent a tool of another one that is hardened too: `Agent(..., tools=[subagent(risk, ...)])`.

    The outer agent's model writes the prompt. The inner run is made for the outer run's caller, with what `deps` makes
    of the outer run's (default: the same); it ends with the outer run, shares its retries, has read what the outer run
    has, and has a ledger row of its own. To the outer run it is the dependency `agent NAME`. Its answer is untrusted
    text unless `trusted_result`: what it read may be anybody's. Where the answer was less than full, the outer run's
    row says what was missing, as `agent NAME: mcp files` or `agent NAME: cached`.

    In the outer run: NotHardened where that is not hardened, the inner run's `Rejected` as it is, SubagentFailed for
    what else it raised, ConfigError where it asks for an approval, which nobody could give. ConfigError for a name
    that is none of a tool.
    """
    known = name or hardened.name
    if not _NAME.fullmatch(known):
        raise ConfigError(
            f"subagent(name={known!r}): expected 1 to 64 letters, digits, '_' or '-', as providers want of a tool; give name="
        )

    async def ask(ctx: RunContext[Any], prompt: str) -> Any:
        run = current_run()
        theirs: Any = ctx.deps if deps is None else deps(ctx.deps)
        try:
            result = await hardened.run(prompt, deps=theirs, principal=run.caller)
        except (Rejected, ConfigError):
            raise
        except Exception as error:
            raise SubagentFailed(known, type(error).__name__) from error
        if isinstance(result.output, DeferredToolRequests):
            raise ConfigError(
                f"agent {known!r} asks for an approval that a tool cannot wait for; harden it with an approver"
            )
        _note_less(run, f"agent {known}", result)
        return result.output

    return Tool(
        ask,
        takes_ctx=True,
        name=known,
        description=description,
        metadata=agent_marks(known, trusted_result=trusted_result),
    )


def _note_less(run: RunState, agent: str, result: HardenedResult[Any]) -> None:
    """Note in the outer run what the inner one's answer lacks; another model of the same kind lacks nothing."""
    for missing in result.missing:
        run.go_without(f"{agent}: {missing}")
    if not result.missing and result.degradation not in {"full", "fallback"}:
        run.go_without(f"{agent}: {result.degradation}")
