"""What a service offers, declared: agents under their policies, and other work. `seawall serve module:app` runs it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_ai import Agent

from seawall.defense import Abuse, Approver, Policy, RateLimit, SlidingWindow
from seawall.defense.load import Backpressure
from seawall.edge.served import Served
from seawall.foundation.errors import ConfigError
from seawall.foundation.patterns import compile_pattern
from seawall.foundation.principal import Principal

if TYPE_CHECKING:
    from fastapi import APIRouter

    from seawall.edge.site import Site

# What stands in a path, and as the model's name in a chat completion.
_NAME = compile_pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_EVERYBODY = (RateLimit(600, "1m"), RateLimit(6000, "1m", key="tenant"))


@dataclass(frozen=True, slots=True)
class Added:
    """An agent as it was declared; hardened in each worker process, with what that process shares."""

    agent: Agent[Any, Any]
    policy: Policy
    deps: Callable[[Principal], Any] | None
    approver: Approver | None
    description: str


@dataclass(frozen=True, slots=True)
class Offered:
    """Other work as it was declared."""

    make: "Callable[[Site], AbstractAsyncContextManager[Served]]"
    policy: Policy | None
    description: str


class Seawall:
    """A service: declared in a module, run by `seawall serve module:app`.

    >>> from pydantic_ai.models.test import TestModel
    >>> app = Seawall()
    >>> app.add(Agent(TestModel(), name="clerk"), Policy())
    >>> list(app.agents)
    ['clerk']

    `limits` are on requests of every caller, all agents together, and count before a policy's own; `abuse` is the account
    of trust that all policies share which keep one. `backpressure` says how one worker meets more work than it can do.
    """

    def __init__(
        self,
        *,
        title: str = "Seawall",
        limits: Sequence[RateLimit | SlidingWindow] = _EVERYBODY,
        abuse: Abuse | None = None,
        backpressure: Backpressure | None = None,
    ) -> None:
        self.title = title
        self.limits = tuple(limits)
        self.abuse = abuse or Abuse()
        self.backpressure = backpressure or Backpressure()
        self.agents: dict[str, Added] = {}
        self.offers: dict[str, Offered] = {}
        self.routes: list[Callable[[Site], APIRouter]] = []
        self.uploads: set[str] = set()

    def add(
        self,
        agent: Agent[Any, Any],
        policy: Policy,
        *,
        deps: Callable[[Principal], Any] | None = None,
        approver: Approver | None = None,
        description: str = "",
    ) -> None:
        """Offer an agent under a policy; `deps` makes its dependencies for each caller.

        ConfigError where it has no name, one that is taken, or one that cannot stand in a path.
        """
        self._check(agent.name or "")
        self.agents[agent.name or ""] = Added(agent, policy, deps, approver, description)

    def offer(
        self,
        name: str,
        make: "Callable[[Site], AbstractAsyncContextManager[Served]]",
        *,
        policy: Policy | None = None,
        description: str = "",
    ) -> None:
        """Offer other work than an agent's; `make` opens it in each worker process, under `policy` if it has one."""
        self._check(name)
        self.offers[name] = Offered(make, policy, description)

    def include(self, routes: "Callable[[Site], APIRouter]", *, uploads: Sequence[str] = ()) -> None:
        """Add routes of your own, behind the same authentication, limits and admission.

        `uploads` are the paths of those that take whole files: bodies there may have `max_upload` bytes.
        """
        self.routes.append(routes)
        self.uploads.update(uploads)

    def _check(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"add(agent named {name!r}): expected 1 to 64 letters, digits, '.', '_' or '-'; give Agent(..., name=)"
            )
        if name in self.agents or name in self.offers:
            raise ConfigError(f"add(agent named {name!r}): another one has that name; give each its own")
