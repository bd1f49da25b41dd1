"""What a call that a breaker holds back is told."""

from pydantic_ai.exceptions import ModelUnavailableError

from seawall.defense.resilience.breaker import Refusal
from seawall.foundation.errors import Rejected


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
        return f"{observed}; use another model until it is reset"
    return f"{observed}; use another model, or try again in {refusal.retry_after:.3g} s"
