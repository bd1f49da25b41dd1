"""Tier 2: what may pass, how much, and what happens when a part breaks. `Policy` says it, `harden` does it."""

from seawall.defense import guards
from seawall.defense.abuse import Abuse, Distrusted, Ladder, MemoryTrust, Standing, Tenant, TrustStore
from seawall.defense.approval import Approver, PendingCall
from seawall.defense.guards import GuardBlocked, find_injection
from seawall.defense.harden import Hardened, HardenedResult, harden
from seawall.defense.hardened_stream import HardenedStream, StreamStillOpen
from seawall.defense.health import Health
from seawall.defense.limits import Caller, MemoryStore, RateLimit, RateLimited, SlidingWindow
from seawall.defense.load import Bulkhead, Overloaded
from seawall.defense.pipeline import Guarded
from seawall.defense.policy import Policy
from seawall.defense.resilience import CircuitBreaker, CircuitOpen

__all__ = [
    "Abuse",
    "Approver",
    "Bulkhead",
    "Caller",
    "CircuitBreaker",
    "CircuitOpen",
    "Distrusted",
    "GuardBlocked",
    "Guarded",
    "Hardened",
    "HardenedResult",
    "HardenedStream",
    "Health",
    "Ladder",
    "MemoryStore",
    "MemoryTrust",
    "Overloaded",
    "PendingCall",
    "Policy",
    "RateLimit",
    "RateLimited",
    "SlidingWindow",
    "Standing",
    "StreamStillOpen",
    "Tenant",
    "TrustStore",
    "find_injection",
    "guards",
    "harden",
]
