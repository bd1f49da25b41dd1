"""Guards judge text: on its way to a model, and on its way back. Pure: text in, verdict out."""

from seawall.defense.guards.canary import Canary, canary, canary_line, find_leak, marker_for
from seawall.defense.guards.exfiltration import exfiltration, find_exfiltration
from seawall.defense.guards.guard import (
    FAILURES,
    NOTHING_SPENT,
    UNKNOWN_SPENT,
    AsyncGuard,
    CannotJudge,
    Context,
    GreyZone,
    Guard,
    GuardBlocked,
    GuardInput,
    Judgement,
    Outcome,
    Spent,
    Verdict,
)
from seawall.defense.guards.injection import (
    Hit,
    InjectionGuard,
    find_attacks,
    find_injection,
    injection,
)
from seawall.defense.guards.pseudonymise import Pseudonymise, pseudonymise
from seawall.defense.guards.secrets import Secret, find_secrets, secrets
from seawall.defense.guards.size import size
from seawall.defense.guards.standard import standard

__all__ = [
    "FAILURES",
    "NOTHING_SPENT",
    "UNKNOWN_SPENT",
    "AsyncGuard",
    "Canary",
    "CannotJudge",
    "Context",
    "GreyZone",
    "Guard",
    "GuardBlocked",
    "GuardInput",
    "Hit",
    "InjectionGuard",
    "Judgement",
    "Outcome",
    "Pseudonymise",
    "Secret",
    "Spent",
    "Verdict",
    "canary",
    "canary_line",
    "exfiltration",
    "find_attacks",
    "find_exfiltration",
    "find_injection",
    "find_leak",
    "find_secrets",
    "injection",
    "marker_for",
    "pseudonymise",
    "secrets",
    "size",
    "standard",
]
