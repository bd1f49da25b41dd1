"""The models of a policy, each behind its endpoint, joined so that one stands in for another."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.fallback import FallbackModel

from seawall.defense.degradation import Fallback, moves_on
from seawall.defense.dependency import Dependency, Protection
from seawall.defense.endpoint import Endpoint
from seawall.defense.policy import Policy
from seawall.foundation.clock import Clock
from seawall.foundation.errors import ConfigError
from seawall.foundation.transaction import Degradation


class MakeDependency(Protocol):
    """Makes the dependency of a name; `replaceable` where something else can stand in for it."""

    def __call__(self, name: str, protection: Protection, *, replaceable: bool) -> Dependency:
        """Make it."""
        ...


class Opened(NamedTuple):
    """A model, what its answers are worth, and what stands round it."""

    model: Model
    level: Degradation
    protection: Protection


def open_models(model: Model | str, policy: Policy) -> list[Opened]:
    """Return the agent's own model and the policy's fallbacks, in order."""
    models = [Opened(infer_model(model), "full", policy.endpoint)]
    for one in policy.fallbacks:
        fallback = one if isinstance(one, Fallback) else Fallback(one)
        protection = fallback.protection or policy.endpoint
        models.append(Opened(infer_model(fallback.model), fallback.level, protection))
    return models


def stack(models: Sequence[Opened], clock: Clock, make: MakeDependency) -> Model:
    """Put an endpoint round each model; `make` gives the dependency of each."""
    endpoints: list[Model] = []
    seen: Counter[str] = Counter()
    for place, (model, level, protection) in enumerate(models, start=1):
        if isinstance(model, Endpoint):
            raise ConfigError(f"model {model.model_name!r} is guarded already; harden an agent once")
        # Two endpoints may serve a model of one name.
        seen[model.model_name] += 1
        number = seen[model.model_name]
        name = model.model_name if number == 1 else f"{model.model_name} #{number}"
        dependency = make(f"model {name}", protection, replaceable=place < len(models))
        endpoints.append(Endpoint(model, dependency, level=level, clock=clock))
    if len(endpoints) == 1:
        return endpoints[0]
    return FallbackModel(endpoints[0], *endpoints[1:], fallback_on=moves_on)


def endpoints_of(model: Model) -> list[Endpoint]:
    """Return the endpoints that a stack consists of."""
    models = model.models if isinstance(model, FallbackModel) else [model]
    return [one for one in models if isinstance(one, Endpoint)]
