"""The policy: what stands between a caller and an agent, as data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.models import Model

from seawall.defense.abuse import Abuse
from seawall.defense.guards import AsyncGuard, Canary, Guard, Pseudonymise
from seawall.defense.limits import RateLimit, SlidingWindow
from seawall.defense.load import Bulkhead
from seawall.defense.pipeline import Guarded
from seawall.defense.resilience import CircuitBreaker
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Composes the mechanisms that `harden` puts round an agent; frozen, validated, printable.

    The order is fixed by mechanism, not by the order of this list: trust, limits, then guards from cheap to dear,
    then for each model endpoint its bulkhead, its breaker and the pseudonyms. `abuse` says what a refused prompt
    does to the trust in its caller; None keeps no account of it. `most_output_tokens` is what a model may answer
    where a limit counts tokens or dollars and the agent itself sets no `max_tokens`. `fallbacks` are tried in order
    when an endpoint refuses or fails. `call_timeout` bounds one call of one endpoint, `deadline` a whole run,
    waiting included; `retention` is how long the run's ledger row can be read.
    """

    guards: Sequence[Guard | AsyncGuard | Guarded | Canary | Pseudonymise] = ()
    limits: Sequence[RateLimit | SlidingWindow] = ()
    abuse: Abuse | None = field(default_factory=Abuse)
    most_output_tokens: int = 4096
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    bulkhead: Bulkhead = field(default_factory=Bulkhead)
    fallbacks: Sequence[Model | str] = ()
    call_timeout: Period = "30s"
    deadline: Period = "60s"
    retention: Period = "30d"

    def __post_init__(self) -> None:
        """Refuse what cannot hold, at construction rather than under load."""
        seconds(self.call_timeout)
        seconds(self.deadline)
        seconds(self.retention)
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
    def pseudonymises(self) -> bool:
        """Whether personal data is replaced before the model sees it."""
        return any(isinstance(guard, Pseudonymise) for guard in self.guards)

    def describe(self) -> dict[str, Any]:
        """Return the composition as plain data, in the order in which it takes effect."""
        return {
            "abuse": None if self.abuse is None else self.abuse.describe(),
            "limits": [limit.describe() for limit in self.limits],
            "guards": [guard.name for guard in self.guards],
            "bulkhead": self.bulkhead.describe(),
            "breaker": self.breaker.describe(),
            "fallbacks": [model if isinstance(model, str) else model.model_name for model in self.fallbacks],
            "most_output_tokens": self.most_output_tokens,
            "call_timeout": str(self.call_timeout),
            "deadline": str(self.deadline),
            "retention": str(self.retention),
        }
