"""What stands round one dependency, as data."""

from dataclasses import dataclass, field

from seawall.defense.load import Bulkhead
from seawall.defense.resilience import CircuitBreaker, Hedge, Retries
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """How a dependency is called: how many calls at once, for how long, how often again, and when not at all.

    `timeout` bounds one attempt. `optional` says that a run may go on without it: its answer is then partial, and
    names it. `ignore` are errors that say nothing about the dependency, such as those of a caller's own checks.
    ConfigError if it cannot hold.
    """

    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    bulkhead: Bulkhead = field(default_factory=Bulkhead)
    timeout: Period = "30s"
    retries: Retries = field(default_factory=Retries)
    hedge: Hedge | None = None
    optional: bool = False
    ignore: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        seconds(self.timeout)
        if self.hedge is not None and seconds(self.hedge.after) >= seconds(self.timeout):
            raise ConfigError(
                f"Protection(hedge=Hedge({self.hedge.after!r}), timeout={self.timeout!r}): the second call would begin "
                "after the first was given up; hedge earlier"
            )

    def describe(self) -> dict[str, object]:
        """Return the settings as plain data."""
        return {
            "breaker": self.breaker.describe(),
            "bulkhead": self.bulkhead.describe(),
            "timeout": str(self.timeout),
            "retries": self.retries.describe(),
            "hedge": None if self.hedge is None else self.hedge.describe(),
            "optional": self.optional,
            "ignore": [error.__name__ for error in self.ignore],
        }
