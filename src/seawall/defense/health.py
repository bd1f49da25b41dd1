"""What works less than it should."""

from dataclasses import dataclass, field

_STATES = {"closed": 0, "half_open": 1, "open": 2, "isolated": 3}


@dataclass(frozen=True, slots=True)
class Health:
    """What works less than it should: each breaker's state by its dependency's name, and each shared store's.

    States are `closed` (well), `open`, `half_open` and, by an operator's word, `isolated`. Degraded limits, trust and
    circuits are still kept, each process by itself, as their stores say. Degraded is not dead: it is for readiness
    and for people, never for liveness.
    """

    breakers: dict[str, str] = field(default_factory=dict[str, str])
    stores: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def ok(self) -> bool:
        """Whether nothing is degraded."""
        return not self.degraded

    @property
    def degraded(self) -> dict[str, str]:
        """What is not closed, by name."""
        return {name: state for name, state in (self.breakers | self.stores).items() if state != "closed"}

    def as_json(self) -> dict[str, object]:
        """Return it as `/readyz` shows it."""
        return {"ok": self.ok, "degraded": self.degraded, "breakers": self.breakers, "stores": self.stores}

    def metrics(self) -> list[tuple[str, dict[str, str], float]]:
        """Return `(name, labels, value)` of a gauge a dependency: 0 closed, 1 half-open, 2 open, 3 isolated.

        Their number is bounded by that of the dependencies, of which an agent has at most 512 and its models.
        """
        return [
            ("seawall_breaker_state", {"dependency": name}, float(_STATES[state]))
            for name, state in sorted((self.breakers | self.stores).items())
        ]
