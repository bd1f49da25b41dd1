"""A second call beside a slow one; the first answer counts.

Source: Jeffrey Dean and Luiz André Barroso, "The Tail at Scale".
"""

from dataclasses import dataclass

from seawall.foundation.units import Period, seconds


@dataclass(frozen=True, slots=True)
class Hedge:
    """When a call that may be made twice has not answered within `after`, make it once more beside the first.

    Both may be billed. The second is paid for by the retry budget, so hedges are no more than its share of calls.
    A sensible `after` is what 95 % of calls stay below.
    """

    after: Period

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        seconds(self.after)

    def describe(self) -> dict[str, object]:
        """Return the settings as plain data."""
        return {"after": str(self.after)}
