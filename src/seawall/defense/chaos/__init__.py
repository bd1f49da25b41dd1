"""Chaos: faults put into calls of dependencies on purpose, to see that what stands round them holds."""

from seawall.defense.chaos.config import Chaos, Fault, Kind
from seawall.defense.chaos.error import ChaosError
from seawall.defense.chaos.injector import Injected, Injector
from seawall.defense.chaos.plan import Plan, garble_text

__all__ = ["Chaos", "ChaosError", "Fault", "Injected", "Injector", "Kind", "Plan", "garble_text"]
