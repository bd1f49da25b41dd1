"""Which faults are injected, how often, where and until when, as data."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Literal, cast, get_args

from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period
from seawall.foundation.units import seconds as in_seconds

Kind = Literal["latency", "error", "hang", "garbage", "truncate"]

_KINDS: tuple[Kind, ...] = get_args(Kind)
# Rates are written in decimals, and ten tenths are a hair more than one.
_HAIR = 1e-9


@dataclass(frozen=True, slots=True)
class Fault:
    """A share `rate` of the calls of whatever `target` names meets one fault.

    `latency`: the call begins `seconds` later. `error`: the connection is lost before it begins. `hang`: it never
    begins. `garbage`: what comes back is unreadable. `truncate`: what comes back breaks off. `target` is a shell pattern
    over names of dependencies, matched whole and with regard to case: `model gpt-5`, `tool *`, `store redis`.
    ConfigError if it cannot hold.
    """

    kind: Kind
    rate: float
    target: str
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        if self.kind not in _KINDS:
            raise ConfigError(f"Fault({self.kind!r}): expected one of {', '.join(_KINDS)}")
        if not 0 <= self.rate <= 1:
            raise ConfigError(
                f"Fault({self.kind!r}, rate={self.rate!r}): expected a share of calls from 0 to 1, such as 0.05"
            )
        if not self.target.strip():
            raise ConfigError(
                f"Fault({self.kind!r}, target={self.target!r}): expected a dependency or a pattern of some, such as "
                "'model *' or 'tool lookup'"
            )
        if self.kind != "latency":
            if self.seconds is not None:
                raise ConfigError(
                    f"Fault({self.kind!r}, seconds={self.seconds!r}): only a latency lasts; leave seconds out"
                )
        elif self.seconds is None or not (isfinite(self.seconds) and self.seconds > 0):
            raise ConfigError(
                f"Fault('latency', seconds={self.seconds!r}): expected how long the call is held up, such as seconds=2"
            )

    def describe(self) -> dict[str, object]:
        """Return the settings as plain data."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Chaos:
    """`faults` for as long as `until` after it was turned on, then never again.

    A call meets at most one fault. Where several name it their rates add up, and what is more than one call in one
    is taken from those listed last. Under one `seed` the n-th call of a dependency always meets the same. ConfigError
    if it cannot hold.
    """

    faults: Sequence[Fault]
    seed: int = 0
    until: Period = "10m"

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        given = cast("Sequence[object]", self.faults)
        if not given or not all(isinstance(fault, Fault) for fault in given):
            raise ConfigError(
                "Chaos(faults=...): expected one Fault or more, such as Fault('error', rate=0.05, target='tool *'); "
                "no chaos is chaos=None"
            )
        in_seconds(self.until)
        rates: dict[str, float] = defaultdict(float)
        for fault in self.faults:
            rates[fault.target] += fault.rate
        for target, rate in rates.items():
            if rate > 1 + _HAIR:
                raise ConfigError(
                    f"Chaos(faults=...): the rates of {target!r} add up to {rate:.3g}, and a call meets one fault at "
                    "most; let them add up to 1 or less"
                )

    def describe(self) -> dict[str, object]:
        """Return the settings as plain data."""
        faults = [fault.describe() for fault in self.faults]
        return {"faults": faults, "seed": self.seed, "until": str(self.until)}
