"""The mount on Pydantic AI's toolsets: every tool, MCP server and agent that an agent calls, as a dependency."""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from pydantic import ValidationError
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
from pydantic_ai.toolsets import AbstractToolset, DynamicToolset, WrapperToolset
from pydantic_ai.toolsets.abstract import ToolsetTool

from seawall.agents import agent_of, may_be_called_again
from seawall.defense.degradation import Unavailable, nothing_answered
from seawall.defense.dependency import UNRECORDED, Dependency, Protection
from seawall.defense.faults import read_fault
from seawall.defense.run_state import run_under_way
from seawall.foundation.errors import Rejected

T = TypeVar("T")

_MOST = 128
# A result in place of one, and arguments that a text may have made wrong, say nothing about a tool.
_OF_THE_CALL = (SkipToolExecution, ValidationError)
# What is said to the model, or to the run, and not gone on without. A failure that it was raised from counts.
_SAID = (
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    ToolFailed,
    ToolFailedError,
    ToolRetryError,
    *_OF_THE_CALL,
)
_WITHOUT = "This tool is not available now. Go on without it, and say so in your answer."

Make = Callable[[str, Protection], Dependency]
_called: ContextVar[str] = ContextVar("seawall_called_tool")


class GoneWithout(ToolFailed):
    """Tells the model, in words of ours alone, to do without a tool."""

    def __init__(self) -> None:
        super().__init__(_WITHOUT)


class Mounts:
    """The dependencies behind an agent's tools, made when they are first called for.

    `tool NAME` for a function, by the name that the model calls it by; `mcp ID` for all tools of a server, by the
    `id` of its toolset or the host of its URL, else `mcp unnamed`; `agent NAME` for another agent. Beyond 128 names
    all others of a kind that have no protection of their own share one, so that no list of tools can grow without bound.
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
        if len(self._made) >= _MOST and name not in self._special:
            name = f"{name.partition(' ')[0]} (others)"
        if name not in self._made:
            protection = self._special.get(name, self._usual)
            protection = replace(protection, ignore=(*protection.ignore, *_OF_THE_CALL))
            self._made[name] = self._make(name, protection)
        return self._made[name]

    def round(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        """Put dependencies round every toolset in `toolset` that lists and calls tools of its own."""
        return Called(toolset.visit_and_replace(self._mounted))

    def _mounted(self, leaf: AbstractToolset[Any]) -> AbstractToolset[Any]:
        if type(leaf) is DynamicToolset:
            dynamic = cast("DynamicToolset[Any]", leaf)
            return DynamicToolset(
                _Making(dynamic, self._mounted), per_run_step=dynamic.per_run_step, id=leaf.id
            )
        return MountedServer(leaf, self) if _is_server(leaf) else MountedTools(leaf, self)


class _Making:
    """Makes the toolset of a run or a step as its function does, mounted; the same one where that gives the same."""

    def __init__(
        self,
        dynamic: DynamicToolset[Any],
        mounted: Callable[[AbstractToolset[Any]], AbstractToolset[Any]],
    ) -> None:
        self._make = dynamic.toolset_func
        self._mounted = mounted
        self._last: tuple[AbstractToolset[Any] | None, AbstractToolset[Any] | None] = None, None

    async def __call__(self, ctx: RunContext[Any]) -> AbstractToolset[Any] | None:
        made = self._make(ctx)
        toolset = await made if inspect.isawaitable(made) else made
        if toolset is not self._last[0]:
            self._last = toolset, None if toolset is None else toolset.visit_and_replace(self._mounted)
        return self._last[1]


@dataclass
class Called(WrapperToolset[Any]):
    """All tools of an agent; remembers a tool by the name that the model calls it by, whatever it is renamed from."""

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Call it."""
        before = _called.set(name)
        try:
            return await super().call_tool(name, tool_args, ctx, tool)
        finally:
            _called.reset(before)


@dataclass
class MountedTools(WrapperToolset[Any]):
    """Tools of this process, each a dependency of its own."""

    mounts: Mounts

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Call it through its dependency; GoneWithout where the run may go on without it and has to.

        A function that is no coroutine runs in a thread, which no time limit can end: the call is given up, and the
        thread goes on.
        """
        metadata = tool.tool_def.metadata
        agent = agent_of(metadata)
        dependency = self.mounts.named(f"agent {agent}" if agent else f"tool {_called.get(name)}")
        call = partial(self.wrapped.call_tool, name, tool_args, ctx, tool)
        return await _through(dependency, call, idempotent=may_be_called_again(metadata))


@dataclass
class MountedServer(WrapperToolset[Any]):
    """An MCP server, one dependency for connecting, listing and calling."""

    mounts: Mounts
    connected: bool = False

    @property
    def dependency(self) -> Dependency:
        """The server's. Not by its label: that can hold its whole command line."""
        return self.mounts.named(f"mcp {self.wrapped.id or 'unnamed'}")

    async def __aenter__(self) -> Self:
        """Connect; a server that the run may go on without may be away."""
        with _Dispensable(self.dependency):
            shared = getattr(self.wrapped, "is_running", False)
            await self._reach(self.wrapped.__aenter__, proves=not shared)
            self.connected = True
        return self

    async def __aexit__(self, *args: object) -> bool | None:
        """Disconnect, if it was connected; what goes wrong then is nothing to a run that may go on without the server.

        A connection that broke in a call says so here once more, when the answer already tells what it lacks.
        """
        if not self.connected:
            return None
        self.connected = False
        try:
            return await self.wrapped.__aexit__(*args)
        except Exception:
            if not self.dependency.protection.optional:
                raise
            return None

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """List its tools; none, where the run may go on without it and has to."""
        dependency, run = self.dependency, run_under_way()
        if run is not None and dependency.name in run.missing:
            return {}
        with _Dispensable(dependency):
            return await self._reach(partial(self.wrapped.get_tools, ctx), proves=False)
        return {}

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Call one of its tools; GoneWithout where the run may go on without it and has to."""
        call = partial(self.wrapped.call_tool, name, tool_args, ctx, tool)
        again = may_be_called_again(tool.tool_def.metadata)
        return await _through(self.dependency, call, idempotent=again, translated=True)

    async def _reach(self, ask: Callable[[], Awaitable[T]], *, proves: bool) -> T:
        """Connect or list. That it works says nothing of a server whose calls fail, and a list may come from memory.

        So only a failure counts; a new connection, where `proves`, closes a circuit that waits for a sign of life.
        """
        dependency = self.dependency
        async with dependency.admitted(run_under_way() or UNRECORDED) as admission:
            if admission.plan is not None:
                await admission.plan.before()
            answer = await ask()
            if dependency.circuit.state == "closed" or not proves:
                admission.report("ignored", "ok")
            return answer


async def _through(
    dependency: Dependency, call: Callable[[], Awaitable[T]], *, idempotent: bool, translated: bool = False
) -> T:
    with _Dispensable(dependency, translated=translated):
        return await dependency.call(call, idempotent=idempotent, trail=run_under_way() or UNRECORDED)
    raise GoneWithout


class _Dispensable:
    """A block at whose failure the run goes on, where the dependency is optional and is what failed.

    `translated` says that a client tells the model of failures in words that nobody chose for it, as that of MCP does.
    """

    __slots__ = ("_dependency", "_translated")

    def __init__(self, dependency: Dependency, *, translated: bool = False) -> None:
        self._dependency = dependency
        self._translated = translated

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        protection = self._dependency.protection
        if not isinstance(error, Exception) or not protection.optional:
            return False
        said = isinstance(error, _SAID) and not (self._translated and read_fault(error).counts)
        if said or isinstance(error, protection.ignore) or not _is_away(error):
            return False
        run = run_under_way()
        if run is not None:
            run.go_without(self._dependency.name)
        return True


def _is_away(error: Exception) -> bool:
    """Whether a dependency failed or was not asked, rather than that the caller may not ask it, or asks amiss."""
    if isinstance(error, BaseExceptionGroup):
        several = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return all(isinstance(one, Exception) and _is_away(one) for one in several)
    if isinstance(error, Rejected):
        # A limit or a guard is nothing to go on without.
        return nothing_answered(error) or isinstance(error, Unavailable)
    fault = read_fault(error)
    return fault.counts or fault.kind in {"out_of_time", "held_back"}


def _is_server(toolset: AbstractToolset[Any]) -> bool:
    # By name: the MCP client is an optional extra, and importing it takes half a second.
    return any(kind.__name__ in {"MCPToolset", "MCPServer"} for kind in type(toolset).__mro__)
