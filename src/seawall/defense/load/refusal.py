"""What work that finds no room is told."""

from pydantic_ai.exceptions import ConcurrencyLimitExceeded, ModelUnavailableError

from seawall.defense.load.bulkhead import Refused
from seawall.foundation.errors import Rejected


class Overloaded(Rejected, ConcurrencyLimitExceeded, ModelUnavailableError):
    """Work was not started for want of room; a `FallbackModel` moves on by itself.

    Not a ModelOverloadedError: that one says the provider spoke, and here nobody asked it.
    """

    by = "bulkhead"

    def __init__(self, name: str, refused: Refused) -> None:
        ModelUnavailableError.__init__(self, name, _text(name, refused), retry_after=refused.retry_after)
        self.name = name
        self.refused = refused

    def __reduce__(self) -> tuple[type["Overloaded"], tuple[str, Refused]]:
        """Rebuild from the refusal, where the inherited way would rebuild from the text."""
        return type(self), (self.name, self.refused)


def _text(name: str, refused: Refused) -> str:
    observed = f"bulkhead of {name!r}: {refused.running} running and {refused.queued} waiting"
    cause = "no room" if refused.reason == "full" else f"no room within {refused.queue_seconds:.3g} s"
    return f"{observed}, {cause}; use another model, or try again in {refused.retry_after:.3g} s"
