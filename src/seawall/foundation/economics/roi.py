"""Whether it pays: reading by hand against agents and the people they still take, every step shown. Pure arithmetic.

It never claims that a machine replaces a lawyer: what goes to one costs what it cost before, and errors cost what they cost.
"""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal

from seawall.foundation.errors import ConfigError

_SIXTY = Decimal(60)
_HOURS_MONTH = Decimal(147)  # 1,760 working hours a year
_DRAWS = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the calculation takes; money in dollars, shares from 0 to 1.

    `review_share` of the contracts still go to a lawyer, for `review_minutes` each at the same rate as by hand; the others get
    `glance_minutes` of somebody. Of those that no lawyer reads `error_rate` are wrong, at `error_usd` each. `setup_usd` is paid
    once.
    """

    contracts: Decimal = Decimal(2847)
    minutes: Decimal = Decimal(45)
    cost_per_contract: Decimal = Decimal(48)
    months: Decimal = Decimal(6)
    infrastructure_month: Decimal = Decimal(4000)
    model_usd: Decimal = Decimal("0.12")
    review_share: Decimal = Decimal("0.20")
    review_minutes: Decimal = Decimal(45)
    glance_minutes: Decimal = Decimal(1)
    error_rate: Decimal = Decimal("0.005")
    error_usd: Decimal = Decimal(500)
    setup_usd: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        """Refuse what no calculation can take."""
        for field in fields(self):
            value: Decimal = getattr(self, field.name)
            if not value.is_finite() or value < 0:
                raise ConfigError(f"{field.name}={value}: expected a number, 0 or more")
        for name in ("review_share", "error_rate"):
            if getattr(self, name) > 1:
                raise ConfigError(f"{name}={getattr(self, name)}: expected a share from 0 to 1, such as 0.2")
        for name in ("contracts", "minutes", "months"):
            if not getattr(self, name):
                raise ConfigError(f"{name}=0: expected more than 0")

    @property
    def rate(self) -> Decimal:
        """Dollars a minute of whoever reads by hand."""
        return self.cost_per_contract / self.minutes


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the arithmetic."""

    what: str
    how: str
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Return:
    """Both sides, and what lies between them. `break_even` is None where it never pays, however many contracts there are."""

    manual_usd: Decimal
    ai_usd: Decimal
    fixed_usd: Decimal
    variable_usd: Decimal
    steps: tuple[Step, ...]

    @property
    def saving_usd(self) -> Decimal:
        """What is saved; negative where it costs more."""
        return self.manual_usd - self.ai_usd

    @property
    def saving_percent(self) -> Decimal:
        """The same as a part of the cost by hand."""
        return self.saving_usd / self.manual_usd * 100 if self.manual_usd else Decimal(0)


def compute(given: Inputs) -> Return:
    """Compare both sides."""
    by_hand = given.contracts * given.cost_per_contract
    infrastructure = given.infrastructure_month * given.months
    steps = (
        Step(
            "infrastructure", f"{_n(given.months)} months x ${_n(given.infrastructure_month)}", infrastructure
        ),
        Step("setting up", "once", given.setup_usd),
        Step("models", f"{_n(given.contracts)} x ${_n(given.model_usd)}", given.contracts * given.model_usd),
        Step(
            "lawyers, for what goes to them",
            f"{_n(given.contracts)} x {_n(given.review_share)} x {_n(given.review_minutes)} min x ${_n(given.rate)}",
            given.contracts * given.review_share * given.review_minutes * given.rate,
        ),
        Step(
            "a look at the others",
            f"{_n(given.contracts)} x {_n(1 - given.review_share)} x {_n(given.glance_minutes)} min x ${_n(given.rate)}",
            given.contracts * (1 - given.review_share) * given.glance_minutes * given.rate,
        ),
        Step(
            "errors that nobody noticed",
            f"{_n(given.contracts)} x {_n(1 - given.review_share)} x {_n(given.error_rate)} x ${_n(given.error_usd)}",
            given.contracts * (1 - given.review_share) * given.error_rate * given.error_usd,
        ),
    )
    fixed = infrastructure + given.setup_usd
    variable = sum((step.usd for step in steps[2:]), Decimal(0))
    return Return(by_hand, fixed + variable, fixed, variable, steps)


def break_even(given: Inputs) -> int | None:
    """Return from how many contracts on it pays, in the same months; None where it never does."""
    each = compute(given).variable_usd / given.contracts
    gain = given.cost_per_contract - each
    if gain <= 0:
        return None
    return math.ceil(compute(given).fixed_usd / gain)


def warnings(given: Inputs, *, hourly_usd: Decimal | None = None) -> list[str]:
    """Say what contradicts itself, or is unlikely enough to be a mistake."""
    found: list[str] = []
    hour = given.rate * _SIXTY
    if hourly_usd is not None and abs(hour - hourly_usd) > hourly_usd / 100:
        cost = (hourly_usd * given.minutes / _SIXTY).quantize(Decimal("0.01"))
        found.append(
            f"{_n(given.minutes)} minutes at ${_n(hourly_usd)} an hour are ${cost}, not ${_n(given.cost_per_contract)} a "
            "contract: one of the three is wrong"
        )
    if not Decimal(15) <= hour <= Decimal(1500):
        found.append(
            f"${_n(given.cost_per_contract)} for {_n(given.minutes)} minutes is ${_n(hour)} an hour: nobody's rate"
        )
    people = given.contracts * given.minutes / _SIXTY / given.months / _HOURS_MONTH
    if people > 200:
        found.append(
            f"by hand this would take {_n(people)} people all the time: are contracts and months right?"
        )
    if given.review_share == 1 and given.model_usd:
        found.append("every contract still goes to a lawyer: the models' work saves nothing")
    if given.review_share == 0 and not given.glance_minutes and given.error_rate == 0:
        found.append("nobody looks at anything and nothing is ever wrong: no such reviewer is known")
    if given.review_share == 1 and given.error_rate:
        found.append(
            "errors that nobody noticed are counted, and a lawyer reads everything: error_rate has no effect"
        )
    if given.review_minutes > given.minutes:
        found.append(
            f"a lawyer takes {_n(given.review_minutes)} minutes for what was prepared, and {_n(given.minutes)} for what was not"
        )
    if break_even(given) is None:
        found.append("each contract costs more with agents than by hand: it never pays")
    elif compute(given).saving_usd < 0:
        found.append(
            f"it does not pay for {_n(given.contracts)} contracts, and does from {break_even(given):,} on"
        )
    return found


# How far each input may be from what was given, where nobody measured it: times, low and high.
RANGES: Mapping[str, tuple[Decimal, Decimal]] = {
    "contracts": (Decimal("0.7"), Decimal("1.3")),
    "cost_per_contract": (Decimal("0.7"), Decimal("1.5")),
    "infrastructure_month": (Decimal("0.6"), Decimal("1.6")),
    "model_usd": (Decimal("0.25"), Decimal(4)),
    "review_share": (Decimal("0.5"), Decimal(2)),
    "review_minutes": (Decimal("0.5"), Decimal(1)),
    "glance_minutes": (Decimal(0), Decimal(4)),
    "error_rate": (Decimal("0.2"), Decimal(4)),
    "error_usd": (Decimal("0.2"), Decimal(4)),
    "months": (Decimal("0.7"), Decimal("1.5")),
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One input's bar of a tornado chart: its low and high value, and the saving at each."""

    name: str
    low: Decimal
    high: Decimal
    saving_low: Decimal
    saving_high: Decimal

    @property
    def swing(self) -> Decimal:
        """How much the saving depends on it."""
        return abs(self.saving_high - self.saving_low)


def tornado(given: Inputs, ranges: Mapping[str, tuple[Decimal, Decimal]] = RANGES) -> list[Bar]:
    """Vary each input by itself between its bounds; what matters most comes first."""
    bars: list[Bar] = []
    for name, (least, most) in ranges.items():
        low, high = (_within(name, getattr(given, name) * times) for times in (least, most))
        savings = [compute(_with(given, name, value)).saving_usd for value in (low, high)]
        bars.append(Bar(name, low, high, savings[0], savings[1]))
    return sorted(bars, key=lambda bar: bar.swing, reverse=True)


def interval(
    given: Inputs, spread: Mapping[str, float], *, confidence: float = 0.95, seed: int = 1
) -> tuple[Decimal, Decimal]:
    """Return between which bounds the saving lies, where inputs have these standard errors; by 4,000 draws of each.

    The same draws for the same seed. An input without a spread is taken as known.
    """
    rng = random.Random(seed)  # noqa: S311  draws of a simulation, no secret
    savings: list[float] = []
    for _ in range(_DRAWS):
        drawn = given
        for name, error in spread.items():
            value = Decimal(str(max(0.0, rng.gauss(float(getattr(given, name)), error))))
            drawn = _with(drawn, name, _within(name, value))
        savings.append(float(compute(drawn).saving_usd))
    cuts = statistics.quantiles(savings, n=1000, method="inclusive")
    tail = round((1 - confidence) / 2 * 1000)
    return Decimal(round(cuts[tail - 1], 2)).quantize(Decimal("0.01")), Decimal(
        round(cuts[-tail], 2)
    ).quantize(Decimal("0.01"))


def as_numbers(given: Inputs) -> dict[str, float]:
    """Return the inputs as JSON has them."""
    return {name: float(value) for name, value in asdict(given).items()}


def standard_error(values: Sequence[float]) -> float:
    """Return how far the mean of a sample is likely to be off; 0 for fewer than two."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _with(given: Inputs, name: str, value: Decimal) -> Inputs:
    return replace(given, **{name: value})  # type: ignore[arg-type]


def _within(name: str, value: Decimal) -> Decimal:
    return min(value, Decimal(1)) if name in {"review_share", "error_rate"} else value


def _n(value: Decimal) -> str:
    text = f"{value:,.4f}".rstrip("0").rstrip(".")
    return text or "0"
