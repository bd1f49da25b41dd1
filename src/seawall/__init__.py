"""Seawall takes a typed Pydantic AI agent to production: `harden(agent, policy)`."""

from importlib import import_module
from typing import TYPE_CHECKING

from seawall.agents import Block, marks
from seawall.defense import (
    Abuse,
    Approver,
    Backpressure,
    Budget,
    BudgetExceeded,
    Bulkhead,
    Caller,
    Chaos,
    CircuitBreaker,
    CircuitOpen,
    Dependency,
    Distrusted,
    Fallback,
    Fault,
    GuardBlocked,
    Guarded,
    Hardened,
    HardenedResult,
    HardenedStream,
    Health,
    Hedge,
    NothingToResume,
    OutOfTime,
    Overloaded,
    PendingCall,
    Policy,
    Protection,
    RateLimit,
    RateLimited,
    Retries,
    SlidingWindow,
    Stores,
    StreamInterrupted,
    SubagentFailed,
    TimedOut,
    Unavailable,
    guards,
    harden,
    protect,
    subagent,
)
from seawall.edge.app import Seawall
from seawall.edge.local import local_principal, open_keyring
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.economics.ledger import Ledger
from seawall.foundation.errors import ConfigError, Rejected, SeawallError, StoreError
from seawall.foundation.events import Event, EventBus, TransactionFinished
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Degradation, Transaction
from seawall.foundation.units import seconds
from seawall.orchestration import AlreadyRunning, DbosEngine, Engine, Json, Work, run_batch

if TYPE_CHECKING:
    from seawall.defense.abuse.shared import RedisTrust
    from seawall.defense.limits.redis_store import RedisStore
    from seawall.edge.shared import SharedStores, open_shared
    from seawall.foundation.storage.redis import RedisScripts

# What needs the Redis driver loads it only for who asks.
_SHARED = {
    "RedisScripts": "seawall.foundation.storage.redis",
    "RedisStore": "seawall.defense.limits.redis_store",
    "RedisTrust": "seawall.defense.abuse.shared",
    "SharedStores": "seawall.edge.shared",
    "open_shared": "seawall.edge.shared",
}

__all__ = [
    "Abuse",
    "AlreadyRunning",
    "Approver",
    "Backpressure",
    "Block",
    "Budget",
    "BudgetExceeded",
    "Bulkhead",
    "Caller",
    "Chaos",
    "CircuitBreaker",
    "CircuitOpen",
    "ConfigError",
    "DbosEngine",
    "Degradation",
    "Dependency",
    "Distrusted",
    "Engine",
    "Event",
    "EventBus",
    "Fallback",
    "Fault",
    "GuardBlocked",
    "Guarded",
    "Hardened",
    "HardenedResult",
    "HardenedStream",
    "Health",
    "Hedge",
    "Json",
    "Keyring",
    "Ledger",
    "NothingToResume",
    "OutOfTime",
    "Overloaded",
    "PendingCall",
    "Policy",
    "Principal",
    "Protection",
    "RateLimit",
    "RateLimited",
    "RedisScripts",
    "RedisStore",
    "RedisTrust",
    "Rejected",
    "Retries",
    "Seawall",
    "SeawallError",
    "SharedStores",
    "SlidingWindow",
    "StoreError",
    "Stores",
    "StreamInterrupted",
    "SubagentFailed",
    "TimedOut",
    "Transaction",
    "TransactionFinished",
    "Unavailable",
    "Work",
    "guards",
    "harden",
    "local_principal",
    "marks",
    "open_keyring",
    "open_shared",
    "protect",
    "run_batch",
    "seconds",
    "subagent",
]


def __getattr__(name: str) -> object:
    """Load what only shared stores need."""
    if name in _SHARED:
        return getattr(import_module(_SHARED[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
