"""Instructions smuggled into text: signatures, a classifier, and the guard that joins them."""

from seawall.defense.guards.injection.find import Hit, find_injection
from seawall.defense.guards.injection.guard import InjectionGuard, find_attacks, injection

__all__ = ["Hit", "InjectionGuard", "find_attacks", "find_injection", "injection"]
