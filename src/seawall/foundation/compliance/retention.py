"""How long something may be kept: arithmetic on seconds since the epoch."""

from dataclasses import dataclass
from typing import Self

from seawall.foundation.units import Period, seconds


def expires_at(created: float, ttl: Period) -> float:
    """Return the moment from which something created then must not be read."""
    return created + seconds(ttl)


def expired(expires_at: float, now: float) -> bool:
    """Return whether that moment has come; at the moment itself it has."""
    return now >= expires_at


@dataclass(frozen=True, slots=True)
class Expiry:
    """A moment, seconds since the epoch, from which something must not be read."""

    at: float

    @classmethod
    def after(cls, created: float, ttl: Period) -> Self:
        """Let it expire `ttl` after it was created; ConfigError unless ttl is a positive duration."""
        return cls(expires_at(created, ttl))

    def expired(self, now: float) -> bool:
        """Whether it must not be read any more."""
        return expired(self.at, now)

    def remaining(self, now: float) -> float:
        """Seconds for which it can still be read, 0 once expired."""
        return max(0.0, self.at - now)
