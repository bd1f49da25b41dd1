"""Load: how much may run at once, and what happens to the rest."""

from seawall.defense.load.bulkhead import Bulkhead, Gate, GateStats, Refused, Slot
from seawall.defense.load.refusal import Overloaded

__all__ = ["Bulkhead", "Gate", "GateStats", "Overloaded", "Refused", "Slot"]
