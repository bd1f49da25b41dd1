"""Several guards asked as one: cheapest first, each in its time, failing as its owner said."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

from seawall.defense.faults import read_fault
from seawall.defense.guards.guard import (
    GUARD_FAILED,
    GUARD_TIMEOUT,
    GUARD_UNAVAILABLE,
    INPUT_TOO_LONG,
    NOTHING_SPENT,
    UNKNOWN_SPENT,
    AsyncGuard,
    CannotJudge,
    Guard,
    GuardInput,
    Judgement,
    Spent,
    Verdict,
)
from seawall.defense.guards.memory import MemoryStats, Page, VerdictMemory, fits
from seawall.defense.resilience import Breaker, CircuitBreaker, Permit, Transition
from seawall.defense.resilience import Outcome as Report
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds

OnFailure = Literal["closed", "open"]
Told = Callable[[str, Transition], object]

_SEVERITY = {"allow": 0, "replace": 1, "retry": 2, "approve": 3, "block": 4}
_ASYNC_BUDGET = 2.0
# A sync guard's cost says what a thousand characters take; a machine under load takes several times that.
_SYNC_FLOOR = 0.05
_SYNC_SLACK = 10
_BREAKER = CircuitBreaker(open_for="5s", max_open="1m")
_NOBODY = Verdict(outcome="allow", guard="pipeline")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guard, and what happens when it fails to judge.

    `budget` is the time one call may take. An async guard is cut off there (default: its own `budget`, else
    2 s). A sync guard cannot be: an overrun counts against its `breaker`, and while that is open the guard is
    not asked (default: 50 ms and ten times its `cost` for the length of the text). Whenever it has no verdict,
    for whatever reason, `on_failure` decides: `closed` blocks, `open` lets the text pass with a verdict that
    says `skipped`. A text longer than the guard's bound is blocked either way: its length is its author's
    choice. ConfigError for a budget that is no duration, or another word.
    """

    guard: Guard | AsyncGuard
    budget: Period | None = None
    on_failure: OnFailure = "closed"
    breaker: CircuitBreaker = _BREAKER

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        if self.budget is not None:
            seconds(self.budget)
        if self.on_failure not in {"closed", "open"}:
            raise ConfigError(
                f"on_failure={self.on_failure!r}: expected 'closed' (block) or 'open' (let pass)"
            )

    @property
    def name(self) -> str:
        """The guard's name."""
        return self.guard.name

    @property
    def cost(self) -> float:
        """The guard's cost."""
        return self.guard.cost

    @property
    def max_characters(self) -> int:
        """The guard's bound."""
        return self.guard.max_characters

    def describe(self) -> dict[str, object]:
        """Return the terms as plain data."""
        budget = _own(self.guard, "budget") if self.budget is None else self.budget
        return {
            "name": self.name,
            "budget": "by length" if budget is None else str(budget),
            "on_failure": self.on_failure,
            "breaker": self.breaker.describe(),
        }


class Pipeline:
    """Asks guards in order of their cost; the first block ends it.

    A replacement is what later guards judge. Of several other outcomes the most severe counts: block, approve,
    retry, replace, skipped, allow. A guard without a verdict has blocked, unless a `Guarded` says otherwise.
    Verdicts of guards that are `cacheable` are remembered for the last `remembers` texts, within the scope of
    the input; failures and replacements never are. `told` hears of each change of a guard's breaker. For use
    from one event loop.
    """

    def __init__(
        self,
        guards: Sequence[Guard | AsyncGuard | Guarded],
        *,
        clock: Clock = SYSTEM_CLOCK,
        remembers: int = 4096,
        told: Told | None = None,
    ) -> None:
        if remembers < 0:
            raise ConfigError(f"Pipeline(remembers={remembers}): expected 0 (nothing) or more, such as 4096")
        guarded = [guard if isinstance(guard, Guarded) else Guarded(guard) for guard in guards]
        self._posts = [_Post(one, clock, told) for one in sorted(guarded, key=lambda one: one.cost)]
        useful = remembers and any(post.cacheable for post in self._posts)
        self._memory = VerdictMemory(remembers) if useful else None
        self._now = clock.monotonic

    @property
    def breakers(self) -> tuple[tuple[str, Breaker], ...]:
        """Each guard's breaker by its name, to look at, isolate or reset."""
        return tuple((post.name, post.breaker) for post in self._posts)

    @property
    def spends(self) -> bool:
        """Whether a check may cost money; one that is cancelled may have cost some that nobody reports."""
        return any(post.spends for post in self._posts)

    def stats(self) -> MemoryStats:
        """Return how often a verdict was known."""
        return MemoryStats(0, 0, 0) if self._memory is None else self._memory.stats()

    async def check(self, value: GuardInput) -> Judgement:
        """Judge one text. Raises nothing that a guard raised; cancelled, it leaves no task behind."""
        memory = self._memory if value.scope else None
        page = None if memory is None else memory.page(value)
        if memory is not None and page is not None and page.whole is not None:
            worst, verdicts = page.whole
            memory.hits += len(verdicts)
            return Judgement(worst, value.text, (), verdicts, len(verdicts))
        found = _Findings(page)
        for number, post in enumerate(self._posts):
            if post.zone is not None and not found.in_doubt(post.zone):
                continue
            verdict = found.known(number)
            if verdict is None:
                started = self._now()
                asked = post.ask(value)
                said = asked if isinstance(asked, tuple) else await asked
                verdict = found.hear(number, said, self._now() - started, post)
            found.add(verdict)
            if verdict.outcome == "block":
                break
            if verdict.outcome == "replace" and verdict.replacement is not None:
                value = replace(value, text=verdict.replacement)
                found.page = None if memory is None else memory.page(value)
        if memory is not None and page is not None:
            memory.hits += found.remembered
            memory.misses += len(found.timings)
            page.whole = found.whole()
        return found.judgement(value.text)


class _Findings:
    """What the guards of one check have said so far; `page` is what was known of the text as it stands."""

    __slots__ = ("_rank", "_score", "_unsure", "_worst", "page", "remembered", "spent", "timings", "verdicts")

    def __init__(self, page: Page | None) -> None:
        self.page = page
        self._worst = _NOBODY
        self._rank = 0
        self._score = 0.0
        self._unsure = False
        self.verdicts: list[Verdict] = []
        self.timings: list[tuple[str, float]] = []
        self.remembered = 0
        self.spent = NOTHING_SPENT

    def in_doubt(self, zone: tuple[float, float]) -> bool:
        # Nobody knows what a guard that was skipped would have said, so that is doubt too.
        return self._unsure or zone[0] <= self._score < zone[1]

    def known(self, number: int) -> Verdict | None:
        verdict = None if self.page is None else self.page.verdicts.get(number)
        self.remembered += verdict is not None
        return verdict

    def hear(self, number: int, said: "_Said", took: float, post: "_Post") -> Verdict:
        verdict, sound = said
        self.timings.append((post.name, took))
        if verdict.spent is not NOTHING_SPENT:
            # Whoever reads the verdict again, from memory, must not be charged again.
            self.spent += verdict.spent
            verdict = replace(verdict, spent=NOTHING_SPENT)
        if self.page is not None and sound and post.cacheable and fits(verdict):
            self.page.verdicts[number] = verdict
        return verdict

    def add(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self._score = max(self._score, verdict.score)
        self._unsure = self._unsure or verdict.skipped
        rank = 2 * _SEVERITY[verdict.outcome] + verdict.skipped
        if rank >= self._rank:
            self._worst, self._rank = verdict, rank

    def whole(self) -> tuple[Verdict, tuple[Verdict, ...]] | None:
        """Return what it came to where every verdict is one that may be remembered; a replacement never is."""
        kept = () if self.page is None else self.page.verdicts.values()
        every = all(any(one is verdict for one in kept) for verdict in self.verdicts)
        return (self._worst, tuple(self.verdicts)) if every else None

    def judgement(self, text: str) -> Judgement:
        return Judgement(
            self._worst, text, tuple(self.timings), tuple(self.verdicts), self.remembered, self.spent
        )


class _Post:
    """One guard on duty: its breaker, its time, and what is said in its place when it has no verdict."""

    __slots__ = (
        "_budget",
        "_guard",
        "_now",
        "_open",
        "breaker",
        "cacheable",
        "name",
        "spends",
        "zone",
    )

    def __init__(self, terms: Guarded, clock: Clock, told: Told | None) -> None:
        guard = self._guard = terms.guard
        budget = _own(guard, "budget") if terms.budget is None else terms.budget
        self._budget = None if budget is None else seconds(cast("Period", budget))
        self._open = terms.on_failure == "open"
        self._now = clock.monotonic
        self.name = guard.name
        self.breaker = Breaker(terms.breaker, clock)
        if told is not None:
            self.breaker.listen(partial(told, self.name))
        self.cacheable = _own(guard, "cacheable") is True
        self.spends = _own(guard, "spends") is True
        self.zone = cast("tuple[float, float] | None", _own(guard, "ask_between"))

    def ask(self, value: GuardInput) -> "_Said | Awaitable[_Said]":
        """Call the guard: what it said and whether that is a verdict of its own, or the wait for it."""
        if len(value.text) > self._guard.max_characters:
            return Verdict(outcome="block", guard=self.name, reason_code=INPUT_TOO_LONG, score=1.0), False
        permit = self.breaker.allow()
        if not isinstance(permit, Permit):
            return self._failed(GUARD_UNAVAILABLE)
        try:
            answer = cast("object", self._guard(value))
        except CannotJudge as error:
            return self._in_time(permit, value, self._failed(error.code, error.spent))
        # Guards fail as their owner said: whatever goes wrong in one, even in a stranger's, must not let its text through.
        except Exception:  # noqa: BLE001
            return self._in_time(permit, value, self._failed(GUARD_FAILED))
        except BaseException:
            permit.release()
            raise
        if not isinstance(answer, Verdict) and isinstance(answer, Awaitable):
            return self._wait(permit, cast("Awaitable[object]", answer), value)
        return self._in_time(permit, value, self._sound(answer, value))

    def _in_time(self, permit: Permit, value: GuardInput, said: "_Said") -> "_Said":
        """Report on a sync guard by its time alone.

        What it raised says more of the text than of the guard, and cost no time: counted, one caller's crafted
        text would have the guard refuse everybody's.
        """
        allowed = self._budget
        if allowed is None:
            allowed = _SYNC_FLOOR + _SYNC_SLACK * self._guard.cost * len(value.text) / 1e6
        slow = self._now() - permit.started > allowed
        self.breaker.record(permit, "failure" if slow else "success" if said[1] else "ignored")
        return said

    async def _wait(self, permit: Permit, answer: Awaitable[object], value: GuardInput) -> "_Said":
        task = asyncio.current_task()
        cancelled_before = 0 if task is None else task.cancelling()
        report: Report = "ignored"
        try:
            said, report = await self._in_budget(answer, value)
            if task is not None and task.cancelling() > cancelled_before:
                # The guard swallowed it, or made another error of it; whoever cancelled is waiting all the same.
                report = "ignored"
                raise asyncio.CancelledError
        finally:
            self.breaker.record(permit, report)
        return said

    async def _in_budget(self, answer: Awaitable[object], value: GuardInput) -> "tuple[_Said, Report]":
        cut = asyncio.timeout(_ASYNC_BUDGET if self._budget is None else self._budget)
        try:
            async with cut:
                said = self._sound(await answer, value)
        except CannotJudge as error:
            return self._failed(error.code, error.spent), "ignored" if error.healthy else "failure"
        except Exception as error:  # noqa: BLE001  as above
            late = cut.expired()
            fault = read_fault(error)
            # What a text can bring about, such as a status 400 or an answer nobody can read, must not put the guard out
            # of action for the texts of others.
            blamed = late or (fault.counts and fault.kind != "unreadable")
            said = self._failed(GUARD_TIMEOUT if late else GUARD_FAILED, self._unknown)
            return said, "failure" if blamed else "ignored"
        # A guard that swallows its cancellation is late all the same.
        if cut.expired():
            return self._failed(GUARD_TIMEOUT, said[0].spent), "failure"
        # It answered, if only nonsense: a text may have made it do that.
        return said, "success" if said[1] else "ignored"

    def _sound(self, answer: object, value: GuardInput) -> "_Said":
        if isinstance(answer, Verdict) and _holds(answer, len(value.text)):
            return answer, True
        return self._failed(GUARD_FAILED, self._unknown)

    @property
    def _unknown(self) -> Spent:
        return UNKNOWN_SPENT if self.spends else NOTHING_SPENT

    def _failed(self, code: str, spent: Spent = NOTHING_SPENT) -> "_Said":
        if self._open:
            said = Verdict(outcome="allow", guard=self.name, reason_code=code, skipped=True, spent=spent)
        else:
            said = Verdict(outcome="block", guard=self.name, reason_code=code, score=1.0, spent=spent)
        return said, False


_Said = tuple[Verdict, bool]


def _holds(verdict: Verdict, length: int) -> bool:
    """Say whether a verdict can be acted on: a known outcome, with its text if it replaces, a score, spans in the text."""
    if verdict.outcome not in _SEVERITY or verdict.skipped or not 0 <= verdict.score <= 1:
        return False
    if (verdict.outcome == "replace") is not isinstance(verdict.replacement, str):
        return False
    return not verdict.spans or all(0 <= start <= end <= length for start, end in verdict.spans)


def _own(guard: object, name: str) -> object:
    return getattr(guard, name, None)
