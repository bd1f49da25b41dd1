"""What several processes may share: counters of limits, trust in callers, and circuits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from seawall.defense.abuse import TrustStore
from seawall.defense.limits import CounterStore
from seawall.defense.resilience import Circuit, CircuitBreaker, State


class Circuits(Protocol):
    """Gives the shared circuit of a name; while it does not answer each process goes by its own."""

    @property
    def answers(self) -> bool:
        """Whether states are shared now."""
        ...

    def breaker(self, name: str, config: CircuitBreaker) -> Circuit:
        """Return the circuit of `name`."""
        ...


class Shown(Protocol):
    """Something with a state, such as a ledger, or the circuit of a memory's dependency."""

    @property
    def state(self) -> State:
        """Closed where it works."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What `harden` is to use in place of this process's own memory; None is this process's own.

    `shown` is what else `health()` is to show, by name, as in `{"ledger": ledger, "memory notes": dependency.circuit}`.
    """

    counters: CounterStore | None = None
    trust: TrustStore | None = None
    circuits: Circuits | None = None
    shown: Mapping[str, Shown] = field(default_factory=dict[str, Shown])

    def states(self) -> dict[str, str]:
        """Say of each shared store whether it answers: `closed`, or `open` where each process goes by itself.

        Of what else is shown, its own state.
        """
        states: dict[str, str] = {
            f"store {name}": "open" if store.degraded else "closed"
            for name, store in (("counters", self.counters), ("trust", self.trust))
            if store is not None
        }
        if self.circuits is not None:
            states["store circuits"] = "closed" if self.circuits.answers else "open"
        return states | {name: one.state for name, one in self.shown.items()}
