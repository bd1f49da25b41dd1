"""A pipeline of guards: the order they are asked in, what counts, their time, and what failing means."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from seawall.defense import guards
from seawall.defense.guards import CannotJudge, Guard, GuardInput, Outcome, Pseudonymise, Spent, Verdict
from seawall.defense.pipeline import Guarded, OnFailure, Pipeline
from seawall.defense.resilience import CircuitBreaker, Transition
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault
from seawall.foundation.errors import ConfigError
from seawall.testing import FakeClock

TRIPS_AT_ONCE = CircuitBreaker(minimum_calls=1, open_for="10s", max_open="10s")


class Ticking:
    """A clock that moves on by a second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now

    def time(self) -> float:
        return self.monotonic()


@dataclass
class Scripted:
    """Says what it was told to, and keeps what it was asked."""

    name: str
    outcome: Outcome = "allow"
    cost: float = 1.0
    max_characters: int = 100
    replacement: str | None = None
    error: Exception | None = None
    score: float = 0.0
    act: Callable[[], object] = lambda: None
    asked: list[str] = field(default_factory=list[str])

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge as told."""
        self.asked.append(value.text)
        self.act()
        if self.error is not None:
            raise self.error
        return Verdict(outcome=self.outcome, guard=self.name, score=self.score, replacement=self.replacement)


class Doubtful(Scripted):
    """Wants to be asked only in doubt."""

    ask_between = (0.3, 0.9)


@dataclass
class Slow:
    """An async guard that does as told, and keeps whether it was ended."""

    does: Callable[[], Awaitable[object]]
    name: str = "slow"
    cost: float = 10.0
    max_characters: int = 100
    spends: bool = False
    calls: int = 0
    ended: int = 0

    async def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge as told."""
        self.calls += 1
        try:
            return cast("Verdict", await self.does())
        finally:
            self.ended += 1


async def for_ever() -> object:
    return await asyncio.get_running_loop().create_future()


async def says_nonsense() -> object:
    return {"outcome": "allow"}


async def allows() -> object:
    return Verdict(outcome="allow", guard="slow")


async def raises() -> object:
    raise ConnectionError("not for the caller")


async def judge(pipeline: Pipeline, text: str = "text") -> Verdict:
    return (await pipeline.check(GuardInput(text))).verdict


# Order, and what counts.


async def test_cheap_guards_are_asked_first_and_a_block_ends_it() -> None:
    """The dear guard is not asked once a cheap one has blocked."""
    dear, cheap = Scripted("dear", cost=9), Scripted("cheap", "block", cost=0.1)
    judged = await Pipeline([dear, cheap], clock=Ticking()).check(GuardInput("text"))
    assert judged.verdict.guard == "cheap"
    assert not dear.asked
    assert [name for name, _ in judged.timings] == ["cheap"]
    assert judged.seconds > 0


async def test_nothing_to_object_to_is_allowed() -> None:
    """Without guards, or with content ones, the text passes as it is, and each guard's say is on record."""
    assert (await judge(Pipeline([]))).outcome == "allow"
    judged = await Pipeline([Scripted("a"), Scripted("b"), Slow(allows)]).check(GuardInput("text"))
    assert (judged.verdict.outcome, judged.text) == ("allow", "text")
    assert [verdict.note for verdict in judged.verdicts] == ["a:allow", "b:allow", "slow:allow"]


async def test_a_replacement_is_what_later_guards_judge() -> None:
    """The next guard sees the new text; the judgement carries it on."""
    second = Scripted("second", cost=2)
    judged = await Pipeline([Scripted("first", "replace", replacement="new"), second]).check(
        GuardInput("old")
    )
    assert (judged.verdict.outcome, judged.text, second.asked) == ("replace", "new", ["new"])


@pytest.mark.parametrize(
    ("later", "counts"),
    [("block", "block"), ("retry", "approve"), ("approve", "approve"), ("allow", "approve")],
)
async def test_the_gravest_outcome_counts(later: Outcome, counts: Outcome) -> None:
    """Asking a person does not stop a later guard from blocking; a milder outcome does not replace a graver."""
    pipeline = Pipeline([Scripted("asking", "approve"), Scripted("later", later, cost=2)])
    assert (await judge(pipeline)).outcome == counts


@pytest.mark.parametrize(
    ("score", "asked"), [(0.0, False), (0.29, False), (0.3, True), (0.89, True), (0.9, False)]
)
async def test_a_guard_for_doubtful_texts_is_asked_in_doubt_alone(score: float, asked: bool) -> None:
    """Its zone holds its lower bound and not its upper; not asked, it has no say and takes no time."""
    doubtful = Doubtful("doubtful", "block", cost=9)
    judged = await Pipeline([doubtful, Scripted("first", score=score)]).check(GuardInput("text"))
    assert bool(doubtful.asked) is asked
    assert ("doubtful" in [name for name, _ in judged.timings]) is asked
    assert judged.verdict.outcome == ("block" if asked else "allow")


async def test_a_guard_that_was_skipped_leaves_doubt() -> None:
    """What a skipped guard would have scored nobody knows, so the guard for doubtful texts is asked."""
    doubtful = Doubtful("doubtful", "block", cost=9)
    skipped = Guarded(Scripted("first", error=ValueError()), on_failure="open")
    assert (await judge(Pipeline([skipped, doubtful]))).guard == "doubtful"


async def test_pseudonyms_replace_and_a_full_vault_blocks() -> None:
    """With a run's vault the guard replaces; a vault that is full blocks rather than let data pass."""
    vault = Vault(Pseudonyms(Keyring.ephemeral(), "acme"), limit=1)
    asked = guards.pseudonymise()
    assert isinstance(asked, Pseudonymise)
    pipeline = Pipeline([asked.with_vault(vault)])
    judged = await pipeline.check(GuardInput("write to jane@example.com"))
    assert (judged.verdict.outcome, "jane" in judged.text) == ("replace", False)
    assert vault.restore(judged.text) == "write to jane@example.com"
    assert (await judge(pipeline, "nothing here")).outcome == "allow"
    assert (await judge(pipeline, "joan@example.com")).reason_code == "guard_failed"


# Failing.


def tripped(guard: Scripted | Slow) -> Guarded:
    return Guarded(guard, breaker=TRIPS_AT_ONCE)


FAILURES: dict[str, tuple[Callable[[], Scripted | Slow], str]] = {
    "raises": (lambda: Scripted("g", error=ValueError("secret")), "guard_failed"),
    "says why": (lambda: Scripted("g", error=CannotJudge("x", code="no_budget")), "no_budget"),
    "garbage": (lambda: Scripted("g", "replace"), "guard_failed"),
    "async raises": (lambda: Slow(raises), "guard_failed"),
    "async garbage": (lambda: Slow(says_nonsense), "guard_failed"),
    "hangs": (lambda: Slow(for_ever), "guard_timeout"),
}


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("on_failure", ["closed", "open"])
async def test_failing_is_what_the_owner_said(kind: str, on_failure: OnFailure) -> None:
    """Whatever goes wrong: closed blocks, open lets pass and says so; the error's words go nowhere."""
    make, code = FAILURES[kind]
    verdict = await judge(Pipeline([Guarded(make(), budget="20ms", on_failure=on_failure)]))
    assert verdict.reason_code == code
    assert (verdict.outcome, verdict.skipped) == (
        ("block", False) if on_failure == "closed" else ("allow", True)
    )
    assert verdict.note.endswith(":block" if on_failure == "closed" else ":skipped")
    assert "secret" not in repr(verdict)


@pytest.mark.parametrize("on_failure", ["closed", "open"])
async def test_a_text_too_long_to_judge_is_blocked_whatever_was_said(on_failure: OnFailure) -> None:
    """Padding a text is its author's choice: it must not be a way round a guard that fails open."""
    guard = Scripted("small", max_characters=3)
    verdict = await judge(Pipeline([Guarded(guard, on_failure=on_failure)]))
    assert (verdict.outcome, verdict.reason_code) == ("block", "input_too_long")
    assert not guard.asked


@pytest.mark.parametrize(
    "verdict",
    [
        "allow",
        None,
        Verdict(outcome=cast("Outcome", "fine"), guard="g"),
        Verdict(outcome="replace", guard="g"),
        Verdict(outcome="allow", guard="g", replacement="smuggled"),
        Verdict(outcome="allow", guard="g", score=float("nan")),
        Verdict(outcome="allow", guard="g", score=1.5),
        Verdict(outcome="allow", guard="g", skipped=True),
        Verdict(outcome="block", guard="g", spans=((2, 1),)),
        Verdict(outcome="block", guard="g", spans=((0, 5),)),
    ],
)
async def test_a_verdict_that_cannot_be_acted_on_is_a_failure(verdict: object) -> None:
    """Unknown outcomes, texts where none belong, scores and spans that cannot be: the guard has not judged."""

    async def says() -> object:
        return verdict

    assert (await judge(Pipeline([Slow(says)]))).reason_code == "guard_failed"


@pytest.mark.parametrize("on_failure", ["closed", "open"])
async def test_a_slow_sync_guard_is_no_longer_asked(on_failure: OnFailure) -> None:
    """An overrun counts, its verdict still holds; the next call is not made, and a later one finds it well."""
    clock = FakeClock()
    guard = Scripted("dragging", act=lambda: clock.advance("1s"))
    told: list[tuple[str, Transition]] = []
    pipeline = Pipeline(
        [Guarded(guard, budget="50ms", on_failure=on_failure, breaker=TRIPS_AT_ONCE)],
        clock=clock,
        told=lambda name, change: told.append((name, change)),
    )
    assert (await judge(pipeline)).note == "dragging:allow"
    verdict = await judge(pipeline)
    assert verdict.note == ("dragging:block" if on_failure == "closed" else "dragging:skipped")
    assert (verdict.reason_code, len(guard.asked)) == ("guard_unavailable", 1)
    guard.act = lambda: None
    clock.advance("10s")
    assert (await judge(pipeline)).note == "dragging:allow"
    assert [(name, change.after) for name, change in told] == [
        ("dragging", "open"),
        ("dragging", "half_open"),
        ("dragging", "closed"),
    ]


async def test_a_sync_guards_time_grows_with_the_text() -> None:
    """Without a budget a guard may take ten times what its cost says of the text's length."""
    clock = FakeClock()
    guard = Scripted("reader", cost=1_000, max_characters=10**6, act=lambda: clock.advance("5s"))
    pipeline = Pipeline([tripped(guard)], clock=clock)
    await judge(pipeline, "x" * 1_000)
    assert (await judge(pipeline, "x" * 100)).outcome == "allow"
    assert (await judge(pipeline, "x" * 1_000)).reason_code == "guard_unavailable"


async def test_a_text_that_crashes_a_sync_guard_does_not_close_it_to_others() -> None:
    """A crash costs no time and says more of the text than of the guard, so the breaker does not count it."""
    guard = Scripted("brittle", error=ValueError())
    pipeline = Pipeline([tripped(guard)])
    for _ in range(5):
        assert (await judge(pipeline)).reason_code == "guard_failed"
    guard.error = None
    assert (await judge(pipeline)).outcome == "allow"


@pytest.mark.parametrize("does", [raises, for_ever])
async def test_an_async_guard_that_fails_is_left_alone_for_a_while(
    does: Callable[[], Awaitable[object]],
) -> None:
    """Errors and time-outs of what it depends on open its breaker; after that it is asked again."""
    clock = FakeClock()
    guard = Slow(does)
    pipeline = Pipeline([Guarded(guard, budget="20ms", breaker=TRIPS_AT_ONCE)], clock=clock)
    await judge(pipeline)
    assert (await judge(pipeline)).reason_code == "guard_unavailable"
    assert guard.calls == 1
    guard.does = allows
    clock.advance("10s")
    assert (await judge(pipeline)).outcome == "allow"
    assert pipeline.breakers[0][1].state == "closed"


@pytest.mark.parametrize(("healthy", "state"), [(True, "closed"), (False, "open")])
async def test_a_guard_can_say_whose_fault_it_was(healthy: bool, state: str) -> None:
    """What it spent is charged either way; only what it depends on counts against it."""

    async def cannot() -> object:
        raise CannotJudge("x", spent=Spent(input_tokens=7), healthy=healthy)

    pipeline = Pipeline([Guarded(Slow(cannot), breaker=TRIPS_AT_ONCE)])
    judged = await pipeline.check(GuardInput("text"))
    assert (judged.spent, pipeline.breakers[0][1].state) == (Spent(input_tokens=7), state)


async def test_nonsense_is_an_answer() -> None:
    """A text may have talked a guard into nonsense: that must not open its breaker for everybody."""
    pipeline = Pipeline([tripped(Slow(says_nonsense))])
    await judge(pipeline)
    assert pipeline.breakers[0][1].state == "closed"


async def test_a_call_that_was_cut_off_costs_an_unknown_sum() -> None:
    """A guard that spends and does not come back has spent nobody knows what; another has spent nothing."""
    for spends, usd in ((True, None), (False, 0)):
        pipeline = Pipeline([Guarded(Slow(for_ever, spends=spends), budget="20ms")])
        assert (await pipeline.check(GuardInput("text"))).spent.usd == usd
        assert pipeline.spends is spends


# Cancellation.


async def test_cancelling_a_check_ends_the_guard_and_leaves_no_task() -> None:
    """The guard is ended where it waits, its breaker learns nothing, and no task is left."""
    guard = Slow(for_ever)
    pipeline = Pipeline([tripped(guard)])
    before = asyncio.all_tasks()
    task = asyncio.create_task(pipeline.check(GuardInput("text")))
    while not guard.calls:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (guard.ended, asyncio.all_tasks() - before) == (1, set())
    assert pipeline.breakers[0][1].snapshot().failures == 0


async def stubborn() -> object:
    try:
        return await for_ever()
    except asyncio.CancelledError:
        return Verdict(outcome="allow", guard="slow")


async def rude() -> object:
    try:
        return await for_ever()
    except asyncio.CancelledError:
        raise RuntimeError("what cancellation?") from None


@pytest.mark.parametrize("does", [stubborn, rude])
async def test_a_guard_cannot_swallow_the_callers_cancellation(does: Callable[[], Awaitable[object]]) -> None:
    """A guard that answers, or raises something else, when cancelled does not keep its caller from ending."""
    guard = Slow(does)
    pipeline = Pipeline([Guarded(guard, on_failure="open", breaker=TRIPS_AT_ONCE)])
    task = asyncio.create_task(pipeline.check(GuardInput("text")))
    while not guard.calls:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pipeline.breakers[0][1].state == "closed"


@pytest.mark.parametrize("does", [stubborn, rude])
async def test_a_late_answer_is_none(does: Callable[[], Awaitable[object]]) -> None:
    """Whatever a guard says after it was cut off, it was too late."""
    assert (await judge(Pipeline([Guarded(Slow(does), budget="20ms")]))).reason_code == "guard_timeout"


async def test_a_guards_own_timeout_is_a_failure_and_no_overrun() -> None:
    """A TimeoutError that the guard raises within its time is an error like any other."""

    async def times_out() -> object:
        raise TimeoutError

    assert (await judge(Pipeline([Slow(times_out)]))).reason_code == "guard_failed"


async def test_what_is_no_error_passes_through() -> None:
    """Leaving the program is not for a guard to prevent, and its breaker's only probe is given back."""
    clock = FakeClock()

    def leave() -> None:
        raise KeyboardInterrupt

    guard = Scripted("leaving", act=lambda: clock.advance("1s"))
    pipeline = Pipeline([Guarded(guard, budget="50ms", breaker=TRIPS_AT_ONCE)], clock=clock)
    await judge(pipeline)
    clock.advance("10s")
    guard.act = leave
    check = pipeline.check(GuardInput("text"))
    with pytest.raises(KeyboardInterrupt):
        check.send(None)
    guard.act = lambda: None
    assert (await judge(pipeline)).outcome == "allow"


# Settings.


def test_terms_that_cannot_hold_are_refused() -> None:
    """A budget that is no duration, another word for the policy, a negative memory."""
    guard = Scripted("g")
    with pytest.raises(ConfigError, match="soon"):
        Guarded(guard, budget="soon")
    with pytest.raises(ConfigError, match="ajar"):
        Guarded(guard, on_failure=cast("OnFailure", "ajar"))
    with pytest.raises(ConfigError, match="remembers=-1"):
        Pipeline([guard], remembers=-1)


def test_a_guarded_guard_can_be_printed_and_stands_for_its_guard() -> None:
    """It has its guard's name, cost and bound, and describes its terms as plain data."""
    plain: Guard = Scripted("g", cost=3, max_characters=7)
    guarded = Guarded(plain, on_failure="open")
    assert (guarded.name, guarded.cost, guarded.max_characters) == ("g", 3, 7)
    described = guarded.describe()
    assert (described["budget"], described["on_failure"]) == ("by length", "open")
    assert Guarded(plain, budget="1s").describe()["budget"] == "1s"
