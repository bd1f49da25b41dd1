"""Tier 2: what may pass, how much, and what happens when a part breaks. `Policy` says it, `harden` does it."""

from seawall.defense import guards
from seawall.defense.guards import GuardBlocked, find_injection
from seawall.defense.harden import Hardened, HardenedResult, harden
from seawall.defense.limits import RateLimit, RateLimited
from seawall.defense.load import Bulkhead, Overloaded
from seawall.defense.policy import Policy
from seawall.defense.resilience import CircuitBreaker, CircuitOpen

__all__ = [
    "Bulkhead",
    "CircuitBreaker",
    "CircuitOpen",
    "GuardBlocked",
    "Hardened",
    "HardenedResult",
    "Overloaded",
    "Policy",
    "RateLimit",
    "RateLimited",
    "find_injection",
    "guards",
    "harden",
]
