"""What a call is told that an injected fault has ended."""

from seawall.defense.chaos.config import Kind
from seawall.foundation.errors import SeawallError


class ChaosError(SeawallError, ConnectionError):
    """The connection was lost, on purpose. Whoever knows a lost connection knows this one, and treats it so."""

    def __init__(self, kind: Kind, name: str) -> None:
        super().__init__(
            f"the connection to {name!r} was broken on purpose ({kind} injected by chaos); it heals by itself when "
            "the chaos is over"
        )
        self.kind: Kind = kind
        self.name = name

    def __reduce__(self) -> tuple[type["ChaosError"], tuple[Kind, str]]:
        """Rebuild from kind and name, where the inherited way would rebuild from the text."""
        return type(self), (self.kind, self.name)
