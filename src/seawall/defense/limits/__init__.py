"""Rate limits: how much each caller may ask for, decided before anything is spent on the answer."""

from typing import TYPE_CHECKING

from seawall.defense.limits.budget import AtLimit, Budget
from seawall.defense.limits.gcra import Bucket, Quota, Verdict, gcra
from seawall.defense.limits.keys import Caller, Key, KeyFunction
from seawall.defense.limits.memory import MemoryStore
from seawall.defense.limits.purses import Purses
from seawall.defense.limits.rate import Limit, RateLimit, SlidingWindow
from seawall.defense.limits.refusal import BudgetExceeded, RateLimited
from seawall.defense.limits.spend import Spend, Unit
from seawall.defense.limits.store import CounterStore, Decision, Receipt, Take
from seawall.defense.limits.taking import Reservation, reserve_all, take_all
from seawall.defense.limits.window import Log, Window

if TYPE_CHECKING:
    from seawall.defense.limits.redis_store import RedisStore

__all__ = [
    "AtLimit",
    "Bucket",
    "Budget",
    "BudgetExceeded",
    "Caller",
    "CounterStore",
    "Decision",
    "Key",
    "KeyFunction",
    "Limit",
    "Log",
    "MemoryStore",
    "Purses",
    "Quota",
    "RateLimit",
    "RateLimited",
    "Receipt",
    "RedisStore",
    "Reservation",
    "SlidingWindow",
    "Spend",
    "Take",
    "Unit",
    "Verdict",
    "Window",
    "gcra",
    "reserve_all",
    "take_all",
]


def __getattr__(name: str) -> object:
    """Load the Redis driver only for who asks for its store: it takes longer to load than all the rest."""
    if name == "RedisStore":
        from seawall.defense.limits.redis_store import RedisStore

        return RedisStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
