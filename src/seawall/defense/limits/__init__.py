"""Rate limits: how much each caller may ask for, decided before anything is spent on the answer."""

from seawall.defense.limits.gcra import Quota, Verdict, gcra
from seawall.defense.limits.rate import Key, KeyFunction, RateLimit
from seawall.defense.limits.refusal import RateLimited
from seawall.defense.limits.store import CounterStore, Decision, MemoryStore, Take
from seawall.defense.limits.taking import take_all

__all__ = [
    "CounterStore",
    "Decision",
    "Key",
    "KeyFunction",
    "MemoryStore",
    "Quota",
    "RateLimit",
    "RateLimited",
    "Take",
    "Verdict",
    "gcra",
    "take_all",
]
