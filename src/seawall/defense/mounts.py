"""The mount on Pydantic AI's toolsets: every tool, MCP server and agent that an agent calls, as a dependency."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from pydantic_ai import RunContext
from pydantic_ai.exceptions import (
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    SkipToolExecution,
    ToolFailed,
    ToolFailedError,
    ToolRetryError,
)
from pydantic_ai.toolsets import AbstractToolset, WrapperToolset
from pydantic_ai.toolsets.abstract import ToolsetTool

from seawall.agents import agent_of, may_be_called_again
from seawall.defense.degradation import nothing_answered
from seawall.defense.dependency import UNRECORDED, Dependency, Protection
from seawall.defense.faults import read_fault
from seawall.defense.run_state import run_under_way

_MOST = 512
# What a tool says to the model or to the run in this way says nothing about how it is.
_SAID = (
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    SkipToolExecution,
    ToolFailed,
    ToolFailedError,
    ToolRetryError,
)
_WITHOUT = "This tool is not available now. Go on without it, and say so in your answer."

Make = Callable[[str, Protection], Dependency]


class Mounts:
    """The dependencies behind an agent's tools, made when they are first called for.

    `tool NAME` for a function, `mcp ID` for all tools of a server, `agent NAME` for another agent. Beyond 512 names
    all others share one, so that no list of tools can grow without bound.
    """

    def __init__(self, usual: Protection, special: Mapping[str, Protection], make: Make) -> None:
        self._usual = usual
        self._special = dict(special)
        self._make = make
        self._made: dict[str, Dependency] = {}

    def __iter__(self) -> Iterator[Dependency]:
        """Give those made so far."""
        return iter(tuple(self._made.values()))

    def named(self, name: str) -> Dependency:
        """Return the dependency of a name."""
        found = self._made.get(name)
        if found is not None:
            return found
        if len(self._made) >= _MOST:
            name = f"{name.partition(' ')[0]} (others)"
        if name not in self._made:
            protection = self._special.get(name, self._usual)
            self._made[name] = self._make(name, replace(protection, ignore=(*protection.ignore, *_SAID)))
        return self._made[name]

    def round(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        """Put dependencies round every toolset in `toolset` that lists and calls tools of its own."""
        return toolset.visit_and_replace(
            lambda leaf: MountedServer(leaf, self) if _is_server(leaf) else MountedTools(leaf, self)
        )


@dataclass
class MountedTools(WrapperToolset[Any]):
    """Tools of this process, each a dependency of its own."""

    mounts: Mounts

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Call it through its dependency; ToolFailed where the run may go on without it and has to."""
        metadata = tool.tool_def.metadata
        agent = agent_of(metadata)
        dependency = self.mounts.named(f"agent {agent}" if agent else f"tool {tool.tool_def.name}")
        call = partial(self.wrapped.call_tool, name, tool_args, ctx, tool)
        return await _through(dependency, call, idempotent=may_be_called_again(metadata))


@dataclass
class MountedServer(WrapperToolset[Any]):
    """An MCP server, one dependency for connecting, listing and calling."""

    mounts: Mounts
    connected: bool = False

    @property
    def dependency(self) -> Dependency:
        """The server's; by the id that its toolset was given, else by its label."""
        return self.mounts.named(f"mcp {self.wrapped.id or self.wrapped.label}")

    async def __aenter__(self) -> Self:
        """Connect; a server that the run may go on without may be away."""
        dependency = self.dependency
        with _Dispensable(dependency):
            await dependency.call(self.wrapped.__aenter__, trail=run_under_way() or UNRECORDED)
            self.connected = True
        return self

    async def __aexit__(self, *args: object) -> bool | None:
        """Disconnect, if it was connected."""
        if not self.connected:
            return None
        self.connected = False
        return await self.wrapped.__aexit__(*args)

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """List its tools; none, where the run may go on without it and has to."""
        dependency, run = self.dependency, run_under_way()
        if run is not None and dependency.name in run.missing:
            return {}
        list_tools = partial(self.wrapped.get_tools, ctx)
        with _Dispensable(dependency):
            return await dependency.call(list_tools, idempotent=True, trail=run or UNRECORDED)
        return {}

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Call one of its tools; ToolFailed where the run may go on without it and has to."""
        call = partial(self.wrapped.call_tool, name, tool_args, ctx, tool)
        return await _through(self.dependency, call, idempotent=may_be_called_again(tool.tool_def.metadata))


async def _through(dependency: Dependency, call: Callable[[], Any], *, idempotent: bool) -> Any:
    with _Dispensable(dependency):
        return await dependency.call(call, idempotent=idempotent, trail=run_under_way() or UNRECORDED)
    raise ToolFailed(_WITHOUT)


class _Dispensable:
    """A block at whose failure the run goes on, where the dependency is optional and is what failed."""

    __slots__ = ("_dependency",)

    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        protection = self._dependency.protection
        if not isinstance(error, Exception) or not protection.optional:
            return False
        if isinstance(error, protection.ignore) or not (nothing_answered(error) or read_fault(error).counts):
            return False
        run = run_under_way()
        if run is not None:
            run.go_without(self._dependency.name)
        return True


def _is_server(toolset: AbstractToolset[Any]) -> bool:
    # By name: the MCP client is an optional extra, and importing it takes half a second.
    return any(kind.__name__ in {"MCPToolset", "MCPServer"} for kind in type(toolset).__mro__)
