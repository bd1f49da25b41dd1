"""What a run saves against reading by hand: pure arithmetic, money in Decimal, every step shown.

It never claims that a machine replaces a lawyer: contracts routed to one still cost a lawyer's time, and so do files
that could not be reviewed. How much of it is an assumption, stated beside the result.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

_SIXTY = Decimal(60)


@dataclass(frozen=True, slots=True)
class Manual:
    """Reading one contract by hand: minutes and dollars."""

    minutes: Decimal = Decimal(45)
    usd: Decimal = Decimal(48)


@dataclass(frozen=True, slots=True)
class Workload:
    """What went through. `files` = `copies` + `accepted` + `routed` + `failed`.

    `copies` are byte-identical to another file: nobody would read them twice, so they count on neither side.
    `seconds` and `model_usd` are measured; `model_usd` None means unknown.
    """

    files: int
    copies: int
    accepted: int
    routed: int
    failed: int
    seconds: Decimal
    model_usd: Decimal | None

    @property
    def documents(self) -> int:
        """Distinct documents, which is what somebody would have to read."""
        return self.accepted + self.routed + self.failed


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What cannot be measured here.

    `lawyer_share`: of the manual time, what a lawyer spends on a routed contract; 1 is the full manual review, so
    that nothing is saved on it. `accepted_minutes`: what a person still spends on an accepted contract. Failed
    files always cost a full manual review.
    """

    lawyer_share: Decimal = Decimal(1)
    accepted_minutes: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Return:
    """Both sides and the difference, in minutes of a person and in dollars. Negative savings are losses."""

    manual_minutes: Decimal
    manual_usd: Decimal
    lawyer_minutes: Decimal
    lawyer_usd: Decimal
    run_usd: Decimal
    saved_minutes: Decimal
    saved_usd: Decimal

    @property
    def saved_share(self) -> Decimal:
        """The part of the manual cost that is saved; 0 where there was none."""
        return self.saved_usd / self.manual_usd if self.manual_usd else Decimal(0)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the arithmetic: what, how, and the result; `measured` if no assumption entered."""

    what: str
    how: str
    result: str
    measured: bool = False
    total: bool = False


def compute_return(manual: Manual, work: Workload, assumed: Assumptions) -> Return:
    """Compare reading every document by hand with the run plus the people it still takes.

    An unknown model cost enters as zero; whoever shows the result must say so.
    """
    documents = Decimal(work.documents)
    people = work.routed * assumed.lawyer_share + work.failed
    minutes = people * manual.minutes + work.accepted * assumed.accepted_minutes
    rate = manual.usd / manual.minutes if manual.minutes else Decimal(0)
    usd = people * manual.usd + work.accepted * assumed.accepted_minutes * rate
    run_usd = work.model_usd or Decimal(0)
    return Return(
        manual_minutes=documents * manual.minutes,
        manual_usd=documents * manual.usd,
        lawyer_minutes=minutes,
        lawyer_usd=usd,
        run_usd=run_usd,
        saved_minutes=documents * manual.minutes - minutes,
        saved_usd=documents * manual.usd - usd - run_usd,
    )


def sensitivity(
    manual: Manual, work: Workload, shares: tuple[Decimal, ...], minutes: tuple[Decimal, ...]
) -> tuple[tuple[Decimal, tuple[Return, ...]], ...]:
    """Compute the return for each share of a lawyer's time (rows) and each minutes an accepted contract (columns)."""
    return tuple(
        (share, tuple(compute_return(manual, work, Assumptions(share, each)) for each in minutes))
        for share in shares
    )


def show_arithmetic(manual: Manual, work: Workload, assumed: Assumptions) -> tuple[Line, ...]:
    """Write the calculation of `compute_return` out, line by line."""
    result = compute_return(manual, work, assumed)
    return _by_hand(manual, work, result) + _with_seawall(manual, work, assumed) + _difference(result)


def _by_hand(manual: Manual, work: Workload, result: Return) -> tuple[Line, ...]:
    documents = f"{work.documents:,}"
    copies = "identical copy" if work.copies == 1 else "identical copies"
    return (
        Line("Documents", f"{work.files:,} files − {work.copies:,} {copies}", documents, measured=True),
        Line(
            "Time, all by hand",
            f"{documents} × {plain(manual.minutes)} min ÷ 60",
            hours(result.manual_minutes),
        ),
        Line(
            "Cost, all by hand",
            f"{documents} × {dollars(manual.usd)}",
            dollars(result.manual_usd),
            total=True,
        ),
    )


def _with_seawall(manual: Manual, work: Workload, assumed: Assumptions) -> tuple[Line, ...]:
    result = compute_return(manual, work, assumed)
    model = "unknown, counted as $0" if work.model_usd is None else dollars(work.model_usd)
    people = f"({work.routed:,} × {assumed.lawyer_share:.0%} + {work.failed:,})"
    lawyer = (work.routed * assumed.lawyer_share + work.failed) * manual.minutes
    glance = f"{work.accepted:,} × {plain(assumed.accepted_minutes)} min ÷ 60"
    rate = f"at {dollars(manual.usd)} for {plain(manual.minutes)} min"
    return (
        Line("Machine time", "this run, start to end", seconds(work.seconds), measured=True),
        Line("Model cost", "sum of the transactions", model, measured=work.model_usd is not None),
        Line("Lawyer: routed and failed", f"{people} × {plain(manual.minutes)} min ÷ 60", hours(lawyer)),
        Line("Person: accepted", glance, hours(work.accepted * assumed.accepted_minutes)),
        Line("Cost of that time", rate, dollars(result.lawyer_usd)),
        Line(
            "Cost with Seawall",
            f"{dollars(result.lawyer_usd)} + {dollars(result.run_usd)}",
            dollars(result.lawyer_usd + result.run_usd),
            total=True,
        ),
    )


def _difference(result: Return) -> tuple[Line, ...]:
    spent = dollars(result.lawyer_usd + result.run_usd)
    saved_time = f"{hours(result.manual_minutes)} − {hours(result.lawyer_minutes)}"
    saved_usd = f"{dollars(result.manual_usd)} − {spent}"
    return (
        Line("Time saved", saved_time, hours(result.saved_minutes)),
        Line("Cost saved", saved_usd, dollars(result.saved_usd), total=True),
    )


def dollars(amount: Decimal) -> str:
    """Show an amount: "$0", four digits below a cent, cents below a thousand dollars, whole dollars above."""
    size = abs(amount)
    if not size:
        return "$0"
    step = Decimal(1) if size >= 1000 else Decimal("0.01") if size >= Decimal("0.01") else Decimal("0.0001")
    return f"{'−' if amount < 0 else ''}${size.quantize(step, ROUND_HALF_EVEN):,f}"


def hours(minutes: Decimal) -> str:
    """Show minutes as hours with one digit."""
    return f"{(minutes / _SIXTY).quantize(Decimal('0.1'), ROUND_HALF_EVEN):,f}\u00a0h".replace("-", "−")


def seconds(duration: Decimal) -> str:
    """Show a duration in seconds, or in minutes from ten minutes on."""
    if duration >= 600:
        return f"{(duration / _SIXTY).quantize(Decimal('0.1'), ROUND_HALF_EVEN):,f}\u00a0min"
    return f"{duration.quantize(Decimal('0.1'), ROUND_HALF_EVEN):,f}\u00a0s"


def plain(number: Decimal) -> str:
    """Show a number without a tail of zeros."""
    return f"{number.normalize():,f}"
