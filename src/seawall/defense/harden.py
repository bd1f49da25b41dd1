"""Harden an agent: one call puts a policy round it."""

from typing import Any, TypeVar, cast

from pydantic_ai import Agent

from seawall.defense.abuse import MemoryTrust, TrustStore, Turnstile
from seawall.defense.approval import Approver
from seawall.defense.capability import GuardCapability
from seawall.defense.chaos import Injector
from seawall.defense.dependency import Dependency, Protection, announcing
from seawall.defense.estimate import check_possible
from seawall.defense.guards import Canary, Pseudonymise, marker_for
from seawall.defense.hardened import Hardened, Parts
from seawall.defense.limits import Budget, MemoryStore
from seawall.defense.meter import Meter
from seawall.defense.model_stack import open_models, stack
from seawall.defense.mounts import Mounts
from seawall.defense.outputs import may_defer
from seawall.defense.pipeline import Pipeline
from seawall.defense.policy import Policy
from seawall.defense.profiles import check_models, profile_of
from seawall.defense.rescue import Rescue
from seawall.defense.resilience import Circuit, CircuitBreaker, Transition
from seawall.defense.resume import Interrupted
from seawall.defense.stores import Stores
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import ConfigError
from seawall.foundation.events import EventBus

DepsT = TypeVar("DepsT")
OutputT = TypeVar("OutputT")


def harden(
    agent: Agent[DepsT, OutputT],
    policy: Policy,
    *,
    stores: Stores | None = None,
    events: EventBus | None = None,
    keyring: Keyring | None = None,
    approver: Approver | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Hardened[DepsT, OutputT]:
    """Put `policy` round `agent` and return the agent that may be shown to the world.

    The agent itself is not changed and, called directly, stays unguarded. Without a `keyring` pseudonyms are
    keyed anew in every process, so rows of different processes cannot be joined. Counters, trust and circuits are of
    this process unless `stores` has shared ones. `approver` is asked about tool calls that need somebody's word;
    without one they come back as `DeferredToolRequests` if that is one of the agent's outputs, and are refused if not.
    ConfigError where the agent has no name or no model, or is guarded already.
    """
    if agent.name is None:
        raise ConfigError("a hardened agent needs a name for its ledger rows: Agent(..., name='reviewer')")
    if agent.model is None:
        raise ConfigError(f"agent {agent.name!r} has no model; give it one, or its name as in 'openai:gpt-5'")
    bus, keys, shared = events or EventBus(), keyring or Keyring.ephemeral(), stores or Stores()
    models = open_models(agent.model, policy)
    pipeline = _pipeline(policy, bus, clock)
    trust = _trust(policy, shared, bus, clock, judges=pipeline is not None)
    works = _Works(agent.name, policy, shared, bus, clock)
    settings = cast("dict[str, Any]", agent.model_settings if isinstance(agent.model_settings, dict) else {})
    plain = [opened.model for opened in models]
    if policy.profile is not None:
        check_models(profile_of(policy.profile), plain, policy.processors)
    _check_somebody_is_asked(policy, approver)
    check_possible(policy.limits, settings.get("max_tokens") or policy.most_output_tokens, plain)
    meter = Meter(shared.counters or MemoryStore(), policy.limits, clock, bus)
    capability = GuardCapability(
        pipeline=pipeline,
        canary=next((guard for guard in policy.guards if isinstance(guard, Canary)), None),
        marker=marker_for(keys.key("canary"), agent.name),
        meter=meter,
        models=plain,
        approver=approver,
        defers=may_defer(agent.output_type),
        most_output_tokens=policy.most_output_tokens,
        mounts=Mounts(policy.tools, policy.dependencies, works.dependency),
    )
    turnstile = None if trust is None or policy.abuse is None else Turnstile(policy.abuse, trust.look)
    rescue = Rescue[Any](policy, keys.key("answers"), clock)
    parts = Parts(capability, meter, trust, turnstile, rescue, Interrupted(clock), shared, bus, keys, clock)
    return Hardened(agent, stack(models, clock, works.dependency), policy, parts)


def _check_somebody_is_asked(policy: Policy, approver: Approver | None) -> None:
    for limit in policy.limits if approver is None else ():
        if isinstance(limit, Budget) and limit.at_limit == "ask":
            raise ConfigError(
                f"budget {limit.name!r} asks at its limit, and nobody is there to be asked: "
                "give harden(..., approver=...) one, or at_limit='refuse'"
            )


class _Works:
    """Makes the dependencies of one agent."""

    def __init__(self, agent: str, policy: Policy, stores: Stores, events: EventBus, clock: Clock) -> None:
        self._agent = agent
        self._circuits = stores.circuits
        self._events = events
        self._clock = clock
        self._injector = None if policy.chaos is None else Injector(policy.chaos, clock=clock)

    def dependency(self, name: str, protection: Protection, *, replaceable: bool = False) -> Dependency:
        """Make one; where circuits are shared, with the same agent's in other processes, each config by itself."""
        circuit = self._circuit(name, protection.breaker)
        return Dependency(
            name,
            protection,
            events=self._events,
            clock=self._clock,
            circuit=circuit,
            injector=self._injector,
            replaceable=replaceable,
        )

    def _circuit(self, name: str, config: CircuitBreaker) -> Circuit | None:
        return None if self._circuits is None else self._circuits.breaker(f"{self._agent}/{name}", config)


def _trust(
    policy: Policy, stores: Stores, events: EventBus, clock: Clock, *, judges: bool
) -> TrustStore | None:
    if stores.trust is not None and policy.abuse is None:
        raise ConfigError(
            "stores have an account of trust, and the policy keeps none; give the policy abuse=Abuse()"
        )
    if stores.trust is None and policy.abuse is not None and judges:
        # Where nothing is judged nobody can lose trust, but for the word of an operator in a store that is given.
        return MemoryTrust(policy.abuse, events=events, clock=clock)
    return stores.trust


def _pipeline(policy: Policy, events: EventBus, clock: Clock) -> Pipeline | None:
    guards = [guard for guard in policy.guards if not isinstance(guard, Pseudonymise | Canary)]
    if not policy.guards:
        return None

    def told(guard: str, changed: Transition) -> None:
        announcing(f"guard {guard}", events)(changed)

    return Pipeline(guards, clock=clock, told=told)
