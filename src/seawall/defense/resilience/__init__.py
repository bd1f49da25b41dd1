"""Resilience: what to do with a dependency that fails or drags: breaker, deadline, retries, hedge."""

from seawall.defense.resilience.allowance import Allowance, Purse, allow, current_allowance, spending
from seawall.defense.resilience.breaker import (
    Breaker,
    Listener,
    Outcome,
    Permit,
    Refusal,
    Snapshot,
    State,
    Transition,
)
from seawall.defense.resilience.circuit import Circuit
from seawall.defense.resilience.config import CircuitBreaker
from seawall.defense.resilience.hedge import Hedge
from seawall.defense.resilience.refusal import CircuitOpen, OutOfTime, TimedOut
from seawall.defense.resilience.retries import Retries, RetryBudget

__all__ = [
    "Allowance",
    "Breaker",
    "Circuit",
    "CircuitBreaker",
    "CircuitOpen",
    "Hedge",
    "Listener",
    "OutOfTime",
    "Outcome",
    "Permit",
    "Purse",
    "Refusal",
    "Retries",
    "RetryBudget",
    "Snapshot",
    "State",
    "TimedOut",
    "Transition",
    "allow",
    "current_allowance",
    "spending",
]
