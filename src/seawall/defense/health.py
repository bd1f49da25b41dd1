"""What works less than it should."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """What works less than it should: shared stores that are away, and each breaker's state by its name.

    Degraded limits and trust are still kept, each process by itself, as their stores say.
    """

    limits_degraded: bool
    trust_degraded: bool
    breakers: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether nothing is degraded."""
        closed = all(state == "closed" for state in self.breakers.values())
        return closed and not (self.limits_degraded or self.trust_degraded)
