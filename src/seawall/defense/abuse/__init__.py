"""Trust: each hit of a guard spends some of it, time gives it back, and who has none is refused for a while."""

from typing import TYPE_CHECKING

from seawall.defense.abuse.fingerprint import fingerprint
from seawall.defense.abuse.policy import Abuse, Ladder
from seawall.defense.abuse.refusal import Distrusted
from seawall.defense.abuse.standing import Standing
from seawall.defense.abuse.store import MemoryTrust, Tenant, TrustStore
from seawall.defense.abuse.turnstile import Turn, Turnstile

if TYPE_CHECKING:
    from seawall.defense.abuse.shared import RedisTrust

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


def __getattr__(name: str) -> object:
    """Load the Redis driver only for who asks for its store."""
    if name == "RedisTrust":
        from seawall.defense.abuse.shared import RedisTrust

        return RedisTrust
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
