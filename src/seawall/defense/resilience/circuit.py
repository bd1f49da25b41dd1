"""What every circuit breaker can do, whether its state is of this process or shared with others."""

from typing import Protocol

from seawall.defense.resilience.breaker import Listener, Outcome, Permit, Refusal, Snapshot, State
from seawall.defense.resilience.config import CircuitBreaker


class Circuit(Protocol):
    """The surface of `Breaker` and `SharedBreaker`; see there for what each promises."""

    config: CircuitBreaker

    @property
    def state(self) -> State:
        """Closed, open, half-open or isolated."""
        ...

    async def enter(self) -> Permit | Refusal:
        """Ask to make one call."""
        ...

    def record(self, permit: Permit, outcome: Outcome, *, retry_after: float | None = None) -> None:
        """Report what a call came to."""
        ...

    def overdue(self, permit: Permit) -> None:
        """Count a call as slow that is still under way."""
        ...

    def isolate(self, why: str = ...) -> None:
        """Refuse every call until `reset`."""
        ...

    def reset(self, why: str = ...) -> None:
        """Close it, with nothing remembered."""
        ...

    def snapshot(self) -> Snapshot:
        """Return the present counts and state."""
        ...

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of every change of state from now on."""
        ...
