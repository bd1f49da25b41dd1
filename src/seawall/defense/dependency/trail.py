"""Who is told what became of each attempt."""

from typing import Protocol


class Trail(Protocol):
    """Collects what a request went through; a run's ledger row is one."""

    def queued(self, seconds: float) -> None:
        """Time was spent waiting for a place."""
        ...

    def tried(self, dependency: str, outcome: str) -> None:
        """An attempt came to `outcome`: `ok`, `timeout`, `cancelled`, the name of its error, or who held it back."""
        ...

    def held_back(self, by: str, retry_after: float | None) -> None:
        """An attempt was not made, because of a `bulkhead`, a `breaker` or a `deadline`."""
        ...


class Unrecorded:
    """A trail that nobody reads, for calls outside a run."""

    def queued(self, seconds: float) -> None:
        """Do nothing."""

    def tried(self, dependency: str, outcome: str) -> None:
        """Do nothing."""

    def held_back(self, by: str, retry_after: float | None) -> None:
        """Do nothing."""


UNRECORDED = Unrecorded()
