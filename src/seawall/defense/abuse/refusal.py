"""What a caller that is not trusted is told."""

from seawall.foundation.errors import Rejected


class Distrusted(Rejected):
    """Refused for what came from this caller before.

    The text says for how long and nothing else: neither which rule, nor what was seen, nor whether the caller or
    its tenant is meant, since whoever probes would learn from it.
    """

    by = "trust"

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"refused for now; try again in {max(1, -int(-retry_after // 1))} s")
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type["Distrusted"], tuple[float]]:
        """Rebuild from the wait, where the inherited way would rebuild from the text."""
        return type(self), (self.retry_after or 0.0,)
