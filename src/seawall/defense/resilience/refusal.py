"""What a call is told that is held back, or given up."""

from pydantic_ai.exceptions import ModelTimeoutError, ModelUnavailableError

from seawall.defense.resilience.breaker import Refusal
from seawall.foundation.errors import Rejected, SeawallError


class CircuitOpen(Rejected, ModelUnavailableError):
    """A call was not made, because its dependency failed or dragged lately; a `FallbackModel` moves on by
    itself.
    """

    by = "breaker"

    def __init__(self, dependency: str, refusal: Refusal) -> None:
        super().__init__(dependency, _text(dependency, refusal), retry_after=refusal.retry_after)
        self.dependency = dependency
        self.refusal = refusal

    def __reduce__(self) -> tuple[type["CircuitOpen"], tuple[str, Refusal]]:
        """Rebuild from the refusal, where the inherited way would rebuild from the text."""
        return type(self), (self.dependency, self.refusal)


def _text(dependency: str, refusal: Refusal) -> str:
    observed = f"circuit of {dependency!r} is {refusal.state.replace('_', '-')}: {refusal.why}"
    if refusal.retry_after is None:
        return f"{observed}; go on without it until it is reset"
    return f"{observed}; go on without it, or try again in {refusal.retry_after:.3g} s"


class OutOfTime(Rejected, ModelUnavailableError):
    """A call was not made, because its request has too little time left for it."""

    by = "deadline"

    def __init__(self, dependency: str, left: float, quickest: float) -> None:
        took = (
            f", and {dependency!r} took at least {quickest:.3g} s lately"
            if quickest
            else f" for {dependency!r}"
        )
        super().__init__(
            dependency,
            f"{max(left, 0):.3g} s are left of the request's time{took}; allow the request more time",
        )
        self.dependency = dependency
        self.left = left
        self.quickest = quickest

    def __reduce__(self) -> tuple[type["OutOfTime"], tuple[str, float, float]]:
        """Rebuild from the figures, where the inherited way would rebuild from the text."""
        return type(self), (self.dependency, self.left, self.quickest)


class TimedOut(SeawallError, ModelTimeoutError):
    """A dependency gave no answer within its time, or was given up because its circuit opened meanwhile."""

    def __init__(self, dependency: str, waited: float) -> None:
        super().__init__(
            dependency,
            f"{dependency!r} gave no answer within {waited:.3g} s; the next one is tried, if there is one",
        )
        self.dependency = dependency
        self.waited = waited

    def __reduce__(self) -> tuple[type["TimedOut"], tuple[str, float]]:
        """Rebuild from the figures, where the inherited way would rebuild from the text."""
        return type(self), (self.dependency, self.waited)
