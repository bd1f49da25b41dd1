"""Trying again, without making a bad day worse.

Sources: the retry throttling of gRPC (proposal A6) and Finagle's RetryBudget, for the bucket; Marc Brooker,
"Exponential Backoff And Jitter", for the full jitter.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from secrets import SystemRandom

from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds

_RANDOM = SystemRandom().random
_MOST_DOUBLINGS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """A call that failed for a while may be made again, `most` times, if the dependency's traffic pays for it.

    Each call earns `share` of a retry, up to `burst` of them: retries are never more than that share of the calls,
    so that a dependency that fails everything is asked at most `1 + share` times as often. The wait before the
    n-th retry is random between nothing and `first` doubled n - 1 times, at most `longest`; a provider that says
    when to come back is taken at its word, and is not asked again where that is longer than `longest`. ConfigError
    if it cannot hold.
    """

    most: int = 1
    share: float = 0.1
    burst: int = 10
    first: Period = "100ms"
    longest: Period = "5s"

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        if self.most < 0:
            raise ConfigError(f"Retries(most={self.most!r}): expected 0 (never) or more, such as 1")
        if not 0 <= self.share <= 1:
            raise ConfigError(f"Retries(share={self.share!r}): expected a share from 0 to 1, such as 0.1")
        if self.burst < 1:
            raise ConfigError(f"Retries(burst={self.burst!r}): expected at least 1, such as 10")
        if seconds(self.first) > seconds(self.longest):
            raise ConfigError(
                f"Retries(first={self.first!r}, longest={self.longest!r}): the first must not exceed the second"
            )

    def describe(self) -> dict[str, object]:
        """Return the settings as plain data."""
        return {**asdict(self), "first": str(self.first), "longest": str(self.longest)}


class RetryBudget:
    """One dependency's retries as a token bucket; starts empty, so that the share holds from the first call on.

    It counts in thousandths of a retry, so that no sum of shares is ever a hair too large.
    """

    __slots__ = ("_balance", "_config", "_earned", "_first", "_longest", "_most", "_random", "spent")

    def __init__(self, config: Retries, *, random: Callable[[], float] = _RANDOM) -> None:
        self._config = config
        self._earned = int(config.share * 1000)
        self._most = config.burst * 1000
        self._balance = 0
        self._first = seconds(config.first)
        self._longest = seconds(config.longest)
        self._random = random
        self.spent = 0

    def deposit(self) -> None:
        """Earn a share of a retry; once a call, however often it is tried."""
        if self._balance < self._most:
            self._balance = min(self._balance + self._earned, self._most)

    def withdraw(self) -> bool:
        """Take one retry, if the traffic has paid for it."""
        if self._balance < 1000:
            return False
        self._balance -= 1000
        self.spent += 1
        return True

    def wait(self, tried: int, retry_after: float | None) -> float | None:
        """Return the seconds to wait after `tried` attempts; None where the provider asks for too long a wait."""
        longest = min(self._first * 2 ** min(tried - 1, _MOST_DOUBLINGS), self._longest)
        jitter = longest * self._random()
        if retry_after is None:
            return jitter
        return None if retry_after > self._longest else retry_after + jitter
