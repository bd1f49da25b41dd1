"""When a circuit breaker trips and for how long, as data."""

from dataclasses import asdict, dataclass

from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """Stops calling a dependency that fails or drags, and finds out gently when it is well again.

    It trips when, of at least `minimum_calls`, the share that failed reaches `failure_rate`, or the share that took
    `slow_call` or longer reaches `slow_rate`; a call that is still under way counts as slow as soon as it has lasted
    that long. What it looks at are the `last` calls, none older than `window`: the first bound makes it quick where
    calls are many, the second makes it forget where they are few; either may be None. It then stays open for
    `open_for`, doubled each time it trips again without having closed, up to `max_open`; each time 0 to 20 % shorter at
    random, so that many processes do not come back in step. Then
    `half_open_probes` calls are let through: all must succeed, none slowly, for it to close. A probe nobody
    reports on is written off after twice `slow_call`. ConfigError if it cannot hold.
    """

    failure_rate: float = 0.5
    slow_rate: float = 0.8
    slow_call: Period = "20s"
    window: Period | None = "30s"
    last: int | None = 50
    minimum_calls: int = 10
    open_for: Period = "10s"
    max_open: Period = "2m"
    half_open_probes: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        for name, rate in (("failure_rate", self.failure_rate), ("slow_rate", self.slow_rate)):
            if not 0 < rate <= 1:
                raise ConfigError(
                    f"CircuitBreaker({name}={rate!r}): expected a share above 0 and up to 1, such as 0.5"
                )
        for name, count in (
            ("minimum_calls", self.minimum_calls),
            ("half_open_probes", self.half_open_probes),
        ):
            if count < 1:
                raise ConfigError(f"CircuitBreaker({name}={count!r}): expected a whole number of at least 1")
        seconds(self.slow_call)
        if self.window is not None:
            seconds(self.window)
        elif self.last is None:
            raise ConfigError(
                "CircuitBreaker(window=None, last=None): it must look at something; give it last=50, or window='30s'"
            )
        if seconds(self.open_for) > seconds(self.max_open):
            raise ConfigError(
                f"CircuitBreaker(open_for={self.open_for!r}, max_open={self.max_open!r}): "
                "the first must not exceed the second"
            )

    def describe(self) -> dict[str, object]:
        """Return the settings as plain data."""
        return {
            name: value if isinstance(value, int | float | None) else str(value)
            for name, value in asdict(self).items()
        }
