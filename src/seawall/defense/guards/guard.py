"""What a guard is and what it says."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from seawall.foundation.errors import Rejected, SeawallError

Outcome = Literal["allow", "replace", "retry", "approve", "block"]
Context = Literal["prompt", "document", "output", "tool_call"]

GUARD_FAILED = "guard_failed"
GUARD_TIMEOUT = "guard_timeout"
GUARD_UNAVAILABLE = "guard_unavailable"
INPUT_TOO_LONG = "input_too_long"
# Why a guard may have no verdict, whatever the text was.
FAILURES = frozenset((GUARD_FAILED, GUARD_TIMEOUT, GUARD_UNAVAILABLE))


@dataclass(frozen=True, slots=True)
class GuardInput:
    """Text to judge, and what it is to the model: the user's prompt, a document or tool result, its own output, the
    arguments it wrote for a tool.

    `before` is the end of what was let out just before this text, where output comes in pieces; spans and
    replacements are of `text` alone.
    `scope` is whose text it is, as a tenant: verdicts are remembered for that scope alone, and not at all
    without one; guards that cost money share it out by scope.
    """

    text: str
    context: Context = "prompt"
    scope: str = ""
    before: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """What judging cost: `usd` is None where nobody can say, as for a call that was cut off."""

    usd: Decimal | None = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        """Add up; something unknown makes the sum unknown."""
        return Spent(
            None if self.usd is None or other.usd is None else self.usd + other.usd,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


NOTHING_SPENT = Spent()
UNKNOWN_SPENT = Spent(usd=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a guard decided: Pydantic AI's outcomes, a code for dashboards, and where in the text it saw why.

    `score` runs from 0 (nothing seen) to 1 (certain); `spans` are half open, in characters of the text judged;
    `replacement` is the whole new text where the outcome is `replace`. It holds no content otherwise, so
    that everything but the replacement may be logged. `skipped` is set by a pipeline alone: the guard did not
    judge, and its owner said that text may then pass. `spent` is what saying it cost; a pipeline moves it to
    its judgement.
    """

    outcome: Outcome
    guard: str
    reason_code: str = ""
    score: float = 0.0
    spans: tuple[tuple[int, int], ...] = ()
    replacement: str | None = None
    skipped: bool = False
    spent: Spent = NOTHING_SPENT

    @property
    def note(self) -> str:
        """Who said what, for a ledger: `injection:block`, `sentinel:skipped`."""
        return f"{self.guard}:{'skipped' if self.skipped else self.outcome}"


class CannotJudge(SeawallError):
    """Raised by a guard that can say why it has no verdict; a pipeline turns it into what its owner chose.

    `code` becomes the verdict's reason code, `spent` is charged all the same. `healthy` says that what the
    guard depends on is not at fault: its breaker does not count it.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = GUARD_FAILED,
        spent: Spent = NOTHING_SPENT,
        healthy: bool = True,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.spent = spent
        self.healthy = healthy


class _Described(Protocol):
    """A name for the ledger, a cost, and a bound on its input.

    A pipeline also reads these, where a guard has them: `cacheable` (True: the verdict follows from the
    `GuardInput` alone, and may be remembered), `ask_between` (see `GreyZone`), `budget` (a Period: the time one
    call may take), `spends` (True: its calls cost money).
    """

    @property
    def name(self) -> str:
        """Short and stable: it stands in ledgers and dashboards."""
        ...

    @property
    def cost(self) -> float:
        """Milliseconds per 1,000 characters, roughly; cheaper guards are asked first."""
        ...

    @property
    def max_characters(self) -> int:
        """Longest text it can judge within its cost; longer text is blocked unread."""
        ...


class Guard(_Described, Protocol):
    """Judges text at once, by computing: a name, a cost, a bound on its input, and a call."""

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge; whatever it raises counts as a block."""
        ...


class AsyncGuard(_Described, Protocol):
    """Judges text by asking somebody else: a thread, a process, a model."""

    async def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge; may be cancelled at any await, and must then stop."""
        ...


class GreyZone(Protocol):
    """A guard that is asked only where the cheaper ones were in doubt."""

    @property
    def ask_between(self) -> tuple[float, float]:
        """Asked where the highest score so far is at least the first and below the second."""
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a pipeline came to: the verdict that counts, the text to go on with, and what each guard took.

    `verdicts` holds what each guard said that had a say, in order; `remembered` counts those known from
    before, which took no time and cost nothing; `spent` is for the ledger.
    """

    verdict: Verdict
    text: str
    timings: tuple[tuple[str, float], ...]
    verdicts: tuple[Verdict, ...] = ()
    remembered: int = 0
    spent: Spent = NOTHING_SPENT

    @property
    def seconds(self) -> float:
        """Time all guards took together."""
        return sum(taken for _, taken in self.timings)


class GuardBlocked(Rejected):
    """A guard refused content. Says which and why by code; never what."""

    by = "guards"

    def __init__(self, verdict: Verdict | None = None) -> None:
        said = "" if verdict is None else f" ({verdict.guard}: {verdict.reason_code or verdict.outcome})"
        super().__init__(
            f"the content was refused by a guard{said}; trying again with the same content will not help"
        )
        self.verdict = verdict
