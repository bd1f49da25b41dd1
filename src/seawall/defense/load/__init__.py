"""Load: how much may run at once, and what happens to the rest."""

from seawall.defense.load.adaptive import AdaptiveLimit, Outcome
from seawall.defense.load.admission import AdmissionControl, LoadStats, Pass, Shed, Ticket
from seawall.defense.load.backpressure import LANES, Backpressure, Lane
from seawall.defense.load.bulkhead import Bulkhead, Gate, GateStats, Refused, Slot
from seawall.defense.load.refusal import Overloaded

__all__ = [
    "LANES",
    "AdaptiveLimit",
    "AdmissionControl",
    "Backpressure",
    "Bulkhead",
    "Gate",
    "GateStats",
    "Lane",
    "LoadStats",
    "Outcome",
    "Overloaded",
    "Pass",
    "Refused",
    "Shed",
    "Slot",
    "Ticket",
]
