"""What a guard is, what it says, and how several are asked: cheapest first, failing closed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import Rejected

Outcome = Literal["allow", "replace", "retry", "approve", "block"]
Context = Literal["prompt", "document", "output"]

GUARD_FAILED = "guard_failed"
_SEVERITY: dict[Outcome, int] = {"allow": 0, "replace": 1, "retry": 2, "approve": 3, "block": 4}


@dataclass(frozen=True, slots=True)
class GuardInput:
    """Text to judge, and what it is to the model: the user's prompt, a document or tool result, its own output."""

    text: str
    context: Context = "prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a guard decided: Pydantic AI's outcomes, a code for dashboards, and where in the text it saw why.

    `score` runs from 0 (nothing seen) to 1 (certain); `spans` are half open, in characters of the text judged;
    `replacement` is the whole new text where the outcome is `replace`. It holds no content otherwise, so
    that everything but the replacement may be logged.
    """

    outcome: Outcome
    guard: str
    reason_code: str = ""
    score: float = 0.0
    spans: tuple[tuple[int, int], ...] = ()
    replacement: str | None = None


class Guard(Protocol):
    """Judges text: a name for the ledger, a cost, a bound on its input, and a call."""

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

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge; whatever it raises counts as a block."""
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a pipeline came to: the verdict that counts, the text to go on with, and what each guard took."""

    verdict: Verdict
    text: str
    timings: tuple[tuple[str, float], ...]

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


class Pipeline:
    """Asks guards in order of their cost; the first block ends it.

    A replacement is what later guards judge. Of several other outcomes the most severe counts: block, approve,
    retry, replace, allow. A guard that raises, or is given more than it can judge, has blocked.
    """

    def __init__(self, guards: Sequence[Guard], *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._guards = sorted(guards, key=lambda guard: guard.cost)
        self._clock = clock

    def check(self, value: GuardInput) -> Judgement:
        """Judge one text. Never raises what a guard raised."""
        worst = Verdict(outcome="allow", guard="pipeline")
        timings: list[tuple[str, float]] = []
        for guard in self._guards:
            started = self._clock.monotonic()
            verdict = _ask(guard, value)
            timings.append((guard.name, self._clock.monotonic() - started))
            if verdict.outcome == "replace" and verdict.replacement is not None:
                value = replace(value, text=verdict.replacement)
            if _SEVERITY[verdict.outcome] >= _SEVERITY[worst.outcome]:
                worst = verdict
            if verdict.outcome == "block":
                break
        return Judgement(worst, value.text, tuple(timings))


def _ask(guard: Guard, value: GuardInput) -> Verdict:
    failed = Verdict(outcome="block", guard=guard.name, reason_code=GUARD_FAILED, score=1.0)
    if len(value.text) > guard.max_characters:
        return failed
    try:
        verdict = guard(value)
    # Guards fail closed: whatever goes wrong in one, even in a stranger's, must not let its text through.
    except Exception:  # noqa: BLE001
        return failed
    return failed if verdict.outcome == "replace" and verdict.replacement is None else verdict
