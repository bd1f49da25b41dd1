"""Tier 2: what may pass, how much, and what happens when a part breaks. `Policy` says it, `harden` does it."""

from seawall.defense import guards
from seawall.defense.abuse import Abuse, Distrusted, Ladder, MemoryTrust, Standing, Tenant, TrustStore
from seawall.defense.approval import Approver, PendingCall
from seawall.defense.chaos import Chaos, Fault
from seawall.defense.degradation import Fallback, Unavailable
from seawall.defense.dependency import Dependency, Protection
from seawall.defense.guards import GuardBlocked, find_injection
from seawall.defense.harden import harden
from seawall.defense.hardened import Hardened, HardenedResult
from seawall.defense.hardened_stream import HardenedStream, StreamStillOpen
from seawall.defense.health import Health
from seawall.defense.limits import (
    Budget,
    BudgetExceeded,
    Caller,
    MemoryStore,
    RateLimit,
    RateLimited,
    SlidingWindow,
)
from seawall.defense.load import Backpressure, Bulkhead, Overloaded
from seawall.defense.pipeline import Guarded
from seawall.defense.policy import Policy
from seawall.defense.protect import protect
from seawall.defense.resilience import CircuitBreaker, CircuitOpen, Hedge, OutOfTime, Retries, TimedOut
from seawall.defense.resume import NothingToResume, StreamInterrupted
from seawall.defense.stores import Stores
from seawall.defense.subagent import SubagentFailed, subagent

__all__ = [
    "Abuse",
    "Approver",
    "Backpressure",
    "Budget",
    "BudgetExceeded",
    "Bulkhead",
    "Caller",
    "Chaos",
    "CircuitBreaker",
    "CircuitOpen",
    "Dependency",
    "Distrusted",
    "Fallback",
    "Fault",
    "GuardBlocked",
    "Guarded",
    "Hardened",
    "HardenedResult",
    "HardenedStream",
    "Health",
    "Hedge",
    "Ladder",
    "MemoryStore",
    "MemoryTrust",
    "NothingToResume",
    "OutOfTime",
    "Overloaded",
    "PendingCall",
    "Policy",
    "Protection",
    "RateLimit",
    "RateLimited",
    "Retries",
    "SlidingWindow",
    "Standing",
    "Stores",
    "StreamInterrupted",
    "StreamStillOpen",
    "SubagentFailed",
    "Tenant",
    "TimedOut",
    "TrustStore",
    "Unavailable",
    "find_injection",
    "guards",
    "harden",
    "protect",
    "subagent",
]
