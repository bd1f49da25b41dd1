"""Seawall takes a typed Pydantic AI agent to production: `harden(agent, policy)`."""

from seawall.agents import Block, marks
from seawall.defense import (
    Abuse,
    Approver,
    Bulkhead,
    Caller,
    CircuitBreaker,
    CircuitOpen,
    Distrusted,
    GuardBlocked,
    Guarded,
    Hardened,
    HardenedResult,
    HardenedStream,
    Health,
    Overloaded,
    PendingCall,
    Policy,
    RateLimit,
    RateLimited,
    SlidingWindow,
    guards,
    harden,
)
from seawall.edge.local import local_principal, open_keyring
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.economics.ledger import Ledger
from seawall.foundation.errors import ConfigError, Rejected, SeawallError, StoreError
from seawall.foundation.events import Event, EventBus, TransactionFinished
from seawall.foundation.principal import Principal
from seawall.foundation.transaction import Transaction
from seawall.orchestration import AlreadyRunning, DbosEngine, Engine, Json, Work, run_batch

__all__ = [
    "Abuse",
    "AlreadyRunning",
    "Approver",
    "Block",
    "Bulkhead",
    "Caller",
    "CircuitBreaker",
    "CircuitOpen",
    "ConfigError",
    "DbosEngine",
    "Distrusted",
    "Engine",
    "Event",
    "EventBus",
    "GuardBlocked",
    "Guarded",
    "Hardened",
    "HardenedResult",
    "HardenedStream",
    "Health",
    "Json",
    "Keyring",
    "Ledger",
    "Overloaded",
    "PendingCall",
    "Policy",
    "Principal",
    "RateLimit",
    "RateLimited",
    "Rejected",
    "SeawallError",
    "SlidingWindow",
    "StoreError",
    "Transaction",
    "TransactionFinished",
    "Work",
    "guards",
    "harden",
    "local_principal",
    "marks",
    "open_keyring",
    "run_batch",
]
