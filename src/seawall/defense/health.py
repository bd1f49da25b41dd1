"""What works less than it should."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Health:
    """What works less than it should: each breaker's state by its dependency's name, and each shared store's.

    Degraded limits and trust are still kept, each process by itself, as their stores say.
    """

    breakers: dict[str, str] = field(default_factory=dict[str, str])
    stores: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def ok(self) -> bool:
        """Whether nothing is degraded."""
        return all(state == "closed" for state in (self.breakers | self.stores).values())
