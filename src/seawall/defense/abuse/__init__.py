"""Trust: each hit of a guard spends some of it, time gives it back, and who has none is refused for a while."""

from seawall.defense.abuse.fingerprint import fingerprint
from seawall.defense.abuse.policy import Abuse, Ladder
from seawall.defense.abuse.refusal import Distrusted
from seawall.defense.abuse.shared import RedisTrust
from seawall.defense.abuse.standing import Standing
from seawall.defense.abuse.store import MemoryTrust, Tenant, TrustStore
from seawall.defense.abuse.turnstile import Turn, Turnstile

__all__ = [
    "Abuse",
    "Distrusted",
    "Ladder",
    "MemoryTrust",
    "RedisTrust",
    "Standing",
    "Tenant",
    "TrustStore",
    "Turn",
    "Turnstile",
    "fingerprint",
]
