"""How one worker process meets more work than it can do, as data."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds, size

Lane = Literal["interactive", "batch", "background"]

# From the one that is served first to the one that is given up first.
LANES: tuple[Lane, ...] = get_args(Lane)


@dataclass(frozen=True, slots=True)
class Backpressure:
    """Between `least` and `most` runs at once, from `start`; at most `queue` wait. ConfigError if it cannot hold.

    A tenant has at most `tenant_share` of the queue. Each lane waits no longer than its own limit. Where what waits has
    been older than `target` for a whole `interval`, the newest goes first (the two are the interactive lane's; other lanes
    have theirs in proportion to their waits). Fewer run at once while the event loop is later than `target_lag`, one time in two;
    from `max_lag` on, one time in a hundred, lanes are shed. `max_memory` is what the process may hold (a size such as "2GiB"; None: not looked at). The defaults suit one process
    with agents that compute for 2 to 10 ms and wait 0.1 to 60 s for a model.
    """

    least: int = 8
    start: int = 32
    most: int = 512
    queue: int = 256
    tenant_share: float = 0.5
    interactive_wait: Period = "3s"
    batch_wait: Period = "30s"
    background_wait: Period = "60s"
    target: Period = "500ms"
    interval: Period = "1s"
    target_lag: Period = "3ms"
    max_lag: Period = "200ms"
    max_memory: str | int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        if not 1 <= self.least <= self.start <= self.most:
            raise ConfigError(
                f"Backpressure(least={self.least}, start={self.start}, most={self.most}): expected "
                "1 <= least <= start <= most, such as 8, 32 and 512"
            )
        if self.queue < 0:
            raise ConfigError(
                f"Backpressure(queue={self.queue}): expected 0 (nobody waits) or more, such as 256"
            )
        if not 0 < self.tenant_share <= 1:
            raise ConfigError(
                f"Backpressure(tenant_share={self.tenant_share}): expected more than 0 and at most 1, such as 0.5"
            )
        for period in (*self._waits(), self.interval, self.target_lag, self.max_lag):
            seconds(period)
        if seconds(self.target) >= seconds(self.interactive_wait):
            raise ConfigError(
                f"Backpressure(target={str(self.target)!r}, interactive_wait={str(self.interactive_wait)!r}): nobody "
                "waits that long; expected a target well below, such as '500ms'"
            )
        if self.max_memory is not None:
            size(self.max_memory)

    @property
    def tenant_queue(self) -> int:
        """How many of one tenant may wait."""
        return min(self.queue, max(1, int(self.queue * self.tenant_share)))

    def max_wait(self, lane: Lane) -> float:
        """Return how long a lane waits at most, in seconds."""
        return seconds(self._waits()[LANES.index(lane)])

    def describe(self) -> dict[str, object]:
        """Return the settings as plain data."""
        plain = asdict(self)
        return {
            name: plain[name] if isinstance(plain[name], int | float | None) else str(plain[name])
            for name in plain
        }

    def _waits(self) -> tuple[Period, Period, Period]:
        return self.interactive_wait, self.batch_wait, self.background_wait
