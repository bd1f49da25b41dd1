"""Seawall takes a typed Pydantic AI agent to production: `harden(agent, policy)`."""

from seawall.defense import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpen,
    GuardBlocked,
    Hardened,
    HardenedResult,
    Overloaded,
    Policy,
    RateLimit,
    RateLimited,
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
    "AlreadyRunning",
    "Bulkhead",
    "CircuitBreaker",
    "CircuitOpen",
    "ConfigError",
    "DbosEngine",
    "Engine",
    "Event",
    "EventBus",
    "GuardBlocked",
    "Hardened",
    "HardenedResult",
    "Json",
    "Keyring",
    "Ledger",
    "Overloaded",
    "Policy",
    "Principal",
    "RateLimit",
    "RateLimited",
    "Rejected",
    "SeawallError",
    "StoreError",
    "Transaction",
    "TransactionFinished",
    "Work",
    "guards",
    "harden",
    "local_principal",
    "open_keyring",
    "run_batch",
]
