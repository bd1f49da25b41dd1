"""What several processes may share: counters of limits, trust in callers, and circuits."""

from dataclasses import dataclass
from typing import Protocol

from seawall.defense.abuse import TrustStore
from seawall.defense.limits import CounterStore
from seawall.defense.resilience import Circuit, CircuitBreaker


class Circuits(Protocol):
    """Gives the shared circuit of a name; `degraded` says that each process goes by its own for now."""

    @property
    def degraded(self) -> bool:
        """Whether the shared state is away."""
        ...

    def breaker(self, name: str, config: CircuitBreaker) -> Circuit:
        """Return the circuit of `name`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What `harden` is to use in place of this process's own memory; None is this process's own."""

    counters: CounterStore | None = None
    trust: TrustStore | None = None
    circuits: Circuits | None = None

    def states(self) -> dict[str, str]:
        """Say of each shared store whether it answers: `closed`, or `open` where each process goes by itself."""
        known = {"counters": self.counters, "trust": self.trust, "circuits": self.circuits}
        return {
            f"store {name}": "open" if store.degraded else "closed"
            for name, store in known.items()
            if store is not None
        }
