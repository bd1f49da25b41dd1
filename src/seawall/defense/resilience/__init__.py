"""Resilience: what to do with a dependency that fails or drags, here the circuit breaker."""

from seawall.defense.resilience.breaker import Breaker, Outcome, Permit, Refusal, Snapshot, State, Transition
from seawall.defense.resilience.config import CircuitBreaker
from seawall.defense.resilience.refusal import CircuitOpen

__all__ = [
    "Breaker",
    "CircuitBreaker",
    "CircuitOpen",
    "Outcome",
    "Permit",
    "Refusal",
    "Snapshot",
    "State",
    "Transition",
]
