"""Guards judge text: on its way to a model, and on its way back. Pure: text in, verdict out."""

from seawall.defense.guards.guard import (
    Context,
    Guard,
    GuardBlocked,
    GuardInput,
    Judgement,
    Outcome,
    Pipeline,
    Verdict,
)
from seawall.defense.guards.injection import Hit, find_injection, injection
from seawall.defense.guards.pseudonymise import Pseudonymise, pseudonymise
from seawall.defense.guards.size import size

__all__ = [
    "Context",
    "Guard",
    "GuardBlocked",
    "GuardInput",
    "Hit",
    "Judgement",
    "Outcome",
    "Pipeline",
    "Pseudonymise",
    "Verdict",
    "find_injection",
    "injection",
    "pseudonymise",
    "size",
]
