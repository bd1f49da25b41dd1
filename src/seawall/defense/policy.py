"""The policy: what stands between a caller and an agent, as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic_ai.models import Model

from seawall.defense.abuse import Abuse
from seawall.defense.chaos import Chaos
from seawall.defense.degradation import Fallback, Unavailable
from seawall.defense.dependency import Protection
from seawall.defense.guards import AsyncGuard, Canary, Guard, Pseudonymise
from seawall.defense.limits import Budget, RateLimit, SlidingWindow
from seawall.defense.load import Bulkhead
from seawall.defense.pipeline import Guarded
from seawall.defense.profiles import ProfileName, check, guards_under, profile_of
from seawall.defense.resilience import CircuitBreaker, Hedge, Retries
from seawall.foundation.compliance.pseudonyms import Finder
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds
from seawall.foundation.versions import version_of

# Tools may well take long, and no longer than the run: only what fails counts against them.
_TOOLS = Protection(timeout="60s", breaker=CircuitBreaker(slow_call="60s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Composes the mechanisms that `harden` puts round an agent; frozen, validated, printable.

    The order is fixed by mechanism, not by the order of this list: trust, limits, then guards from cheap to dear,
    then for each model endpoint its retries, its bulkhead, its breaker and the pseudonyms. `abuse` says what a refused
    prompt does to the trust in its caller; None keeps no account of it. `most_output_tokens` is what a model may answer
    where a limit counts tokens or dollars and the agent itself sets no `max_tokens`. `call_timeout` bounds one call of
    one endpoint, and is never more than its share of the deadline: of two models each has half; `deadline` bounds a whole run,
    waiting included; a run makes at most `most_retries` retries, whatever it asks.
    `retention` is how long the run's ledger row can be read.

    `tools` stands round every tool, MCP server and agent that the agent calls, unless `dependencies` has another word
    for its name, such as `{"mcp files": Protection(timeout="5s", optional=True)}`.

    When an endpoint refuses or fails, `fallbacks` are tried in order. When none answers, an answer that the same caller
    got to the same question within `stale_if_error` is given again, unless a tool was called for it; next `partial`
    makes what it can, None where it cannot; then the run is refused. `chaos` injects faults, for a test of all this.

    A `profile` switches on what a law asks of this part, and refuses what contradicts it: pseudonyms, and an agreement
    named in `processors` with each provider whose models read people's data, by the name Pydantic AI has for it.
    """

    guards: Sequence[Guard | AsyncGuard | Guarded | Canary | Pseudonymise] = ()
    limits: Sequence[RateLimit | SlidingWindow | Budget] = ()
    abuse: Abuse | None = field(default_factory=Abuse)
    most_output_tokens: int = 4096
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    bulkhead: Bulkhead = field(default_factory=Bulkhead)
    retries: Retries = field(default_factory=Retries)
    hedge: Hedge | None = None
    most_retries: int = 2
    tools: Protection = _TOOLS
    dependencies: Mapping[str, Protection] = field(default_factory=dict[str, Protection])
    fallbacks: Sequence[Model | str | Fallback] = ()
    stale_if_error: Period | None = None
    partial: Callable[[Unavailable], Any] | None = None
    call_timeout: Period = "30s"
    deadline: Period = "60s"
    retention: Period = "30d"
    chaos: Chaos | None = None
    profile: ProfileName | None = None
    processors: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        """Refuse what cannot hold, at construction rather than under load."""
        if self.profile is not None:
            profile = profile_of(self.profile)
            object.__setattr__(self, "guards", guards_under(profile, self.guards))
            chaos = self.chaos is not None
            check(profile, self.guards, retention=self.retention, stale=self.stale_if_error, chaos=chaos)
        seconds(self.deadline)
        seconds(self.retention)
        # Holds together, or says so.
        _ = self.endpoint
        if self.stale_if_error is not None:
            seconds(self.stale_if_error)
        if self.most_retries < 0:
            raise ConfigError(f"most_retries={self.most_retries}: expected 0 (none) or more, such as 2")
        for name in self.dependencies:
            if name.partition(" ")[0] not in {"tool", "mcp", "agent"}:
                raise ConfigError(
                    f"dependencies: {name!r} names nothing that the policy stands round; expected the kind and the name, "
                    "as in 'tool lookup', 'mcp files' or 'agent risk'"
                )
        for guard in self.guards:
            if not isinstance(getattr(guard, "name", None), str):
                raise ConfigError(
                    f"guards: {guard!r} is no guard; call what makes one, as in guards=[guards.injection()]"
                )
        if self.most_output_tokens < 1:
            raise ConfigError(
                f"most_output_tokens={self.most_output_tokens}: expected at least 1, such as 4096"
            )
        names = [limit.name for limit in self.limits]
        if len(set(names)) != len(names):
            raise ConfigError(f"two limits share a name in {names!r}; give each limit a name= of its own")

    @property
    def endpoint(self) -> Protection:
        """What stands round each model: a call leaves the models behind it their share of the deadline."""
        share = seconds(self.deadline) / (1 + len(self.fallbacks))
        alone = not self.fallbacks or seconds(self.call_timeout) <= share
        timeout = self.call_timeout if alone else timedelta(seconds=share)
        return Protection(
            breaker=self.breaker,
            bulkhead=self.bulkhead,
            timeout=timeout,
            retries=self.retries,
            hedge=self.hedge,
        )

    @property
    def pseudonymises(self) -> bool:
        """Whether personal data is replaced before the model sees it."""
        return self.finder is not None

    @property
    def finder(self) -> Finder | None:
        """What finds the personal data that is replaced, None where none is."""
        found = (guard for guard in self.guards if isinstance(guard, Pseudonymise))
        return next((guard.find for guard in found), None)

    @property
    def version(self) -> str:
        """What tells this policy from another, in ledger rows and audit records; the same in every process."""
        return version_of(self.describe())

    def describe(self) -> dict[str, Any]:
        """Return the composition as plain data, in the order in which it takes effect."""
        return {
            "abuse": None if self.abuse is None else self.abuse.describe(),
            "limits": [limit.describe() for limit in self.limits],
            "guards": [guard.name for guard in self.guards],
            "bulkhead": self.bulkhead.describe(),
            "breaker": self.breaker.describe(),
            "retries": self.retries.describe(),
            "hedge": None if self.hedge is None else self.hedge.describe(),
            "most_retries": self.most_retries,
            "tools": self.tools.describe(),
            "dependencies": {name: one.describe() for name, one in self.dependencies.items()},
            "fallbacks": [_described(model) for model in self.fallbacks],
            "stale_if_error": None if self.stale_if_error is None else str(self.stale_if_error),
            "partial": self.partial is not None,
            "profile": self.profile,
            "processors": dict(self.processors),
            "chaos": None if self.chaos is None else self.chaos.describe(),
            "most_output_tokens": self.most_output_tokens,
            "call_timeout": str(self.call_timeout),
            "deadline": str(self.deadline),
            "retention": str(self.retention),
        }


def _described(model: Model | str | Fallback) -> str:
    if isinstance(model, Fallback):
        return f"{_described(model.model)} ({model.level})"
    return model if isinstance(model, str) else model.model_name
