"""Verdicts remembered: the same as judging anew, for the same input alone, within bounds, and without the text."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.defense.guards import Context, GuardInput, Outcome, Spent, Verdict
from seawall.defense.guards.memory import VerdictMemory, fits
from seawall.defense.pipeline import Guarded, Pipeline
from seawall.foundation.errors import ConfigError

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
CONTEXTS: tuple[Context, ...] = get_args(Context)


class Pure:
    """Judges by the input alone: what it says follows from its name, the text and the context."""

    max_characters = 6
    cacheable = True

    def __init__(self, name: str, cost: float = 1.0) -> None:
        self.name = name
        self.cost = cost
        self.asked: int = 0

    def __call__(self, value: GuardInput, /) -> Verdict:
        self.asked += 1
        seed = sum(map(ord, f"{self.name}{value.context}{value.text}"))
        if seed % 7 == 0:
            raise ValueError("by the text's own doing")
        outcome = OUTCOMES[seed % len(OUTCOMES)] if seed % 3 == 0 else "allow"
        return Verdict(
            outcome=outcome,
            guard=self.name,
            score=seed % 10 / 10,
            spans=((0, len(value.text)),),
            replacement=f"{seed % 5}" if outcome == "replace" else None,
        )


class PureInDoubt(Pure):
    """The same, in doubt alone."""

    ask_between = (0.3, 0.9)


class Paid(Pure):
    """Lets everything pass, for money."""

    spends = True

    def __call__(self, value: GuardInput, /) -> Verdict:
        self.asked += 1
        return Verdict(outcome="allow", guard=self.name, spent=Spent(input_tokens=5))


class Mute(Pure):
    """Never judges."""

    def __call__(self, value: GuardInput, /) -> Verdict:
        self.asked += 1
        raise ValueError("nothing to say")


def some_guards() -> list[Pure | Guarded]:
    return [
        Pure("a"),
        Guarded(Pure("b", cost=2), on_failure="open"),
        PureInDoubt("c", cost=3),
        Pure("d", cost=4),
    ]


inputs = st.builds(
    GuardInput, st.text("abc\ud800", max_size=8), st.sampled_from(CONTEXTS), st.sampled_from(["", "t1", "t2"])
)


@settings(deadline=None)
@given(st.lists(inputs, max_size=40), st.integers(0, 5))
def test_remembering_changes_no_judgement(values: Sequence[GuardInput], room: int) -> None:
    """Whatever is judged, in whatever order and with however little room: as if every guard were asked each time."""

    async def compare() -> None:
        remembering, forgetful = (
            Pipeline(some_guards(), remembers=room),
            Pipeline(some_guards(), remembers=0),
        )
        for value in values:
            known, anew = await remembering.check(value), await forgetful.check(value)
            assert (known.verdict, known.text, known.verdicts) == (anew.verdict, anew.text, anew.verdicts)
            assert len(known.timings) + known.remembered == len(known.verdicts)
        assert remembering.stats().texts <= room

    asyncio.run(compare())


async def test_the_same_text_is_judged_once() -> None:
    """The second check asks nobody, takes no guard's time, and is counted."""
    guard = Paid("g")
    pipeline = Pipeline([guard])
    value = GuardInput("text", "document", "acme")
    first, second = await pipeline.check(value), await pipeline.check(value)
    assert (guard.asked, first.remembered, second.remembered) == (1, 0, 1)
    assert (second.timings, second.verdict.outcome) == ((), first.verdict.outcome)
    assert (pipeline.stats().hits, pipeline.stats().misses, pipeline.stats().texts) == (1, 1, 1)


async def test_what_was_paid_once_is_charged_once() -> None:
    """A verdict known from before cost nothing now."""
    pipeline = Pipeline([Paid("g")])
    value = GuardInput("text", scope="acme")
    assert [(await pipeline.check(value)).spent.input_tokens for _ in range(3)] == [5, 0, 0]


@pytest.mark.parametrize(
    "other",
    [
        GuardInput("text", "document", "beta"),
        GuardInput("text", "prompt", "acme"),
        GuardInput("text.", "document", "acme"),
        GuardInput("text", "document", "acme", "before"),
    ],
)
async def test_another_tenant_context_or_text_is_another_matter(other: GuardInput) -> None:
    """No tenant finds another's verdicts, whatever it asks; no context finds another's."""
    guard = Paid("g")
    pipeline = Pipeline([guard])
    await pipeline.check(GuardInput("text", "document", "acme"))
    assert (await pipeline.check(other)).remembered == 0


async def test_without_a_scope_nothing_is_remembered() -> None:
    """Nobody's text is judged each time: forgetting to say whose it is costs time, not secrecy."""
    guard = Paid("g")
    pipeline = Pipeline([guard])
    for _ in range(2):
        await pipeline.check(GuardInput("text"))
    assert (guard.asked, pipeline.stats().texts) == (2, 0)


async def test_a_failure_is_not_remembered() -> None:
    """A guard that had no verdict is asked again, also where it fails open."""
    for terms in (Guarded(mute := Mute("mute")), Guarded(mute, on_failure="open")):
        before, pipeline = mute.asked, Pipeline([terms])
        for _ in range(2):
            await pipeline.check(GuardInput("text", scope="acme"))
        assert mute.asked == before + 2


@pytest.mark.parametrize(
    ("verdict", "small"),
    [
        (Verdict(outcome="allow", guard="g"), True),
        (Verdict(outcome="block", guard="g", spans=((0, 1),) * 16), True),
        (Verdict(outcome="replace", guard="g", replacement="content"), False),
        (Verdict(outcome="block", guard="g", spans=((0, 1),) * 17), False),
        (Verdict(outcome="block", guard="g", reason_code="x" * 65), False),
    ],
)
def test_only_small_verdicts_without_content_are_remembered(verdict: Verdict, small: bool) -> None:
    """A replacement is content; a long list of spans, or a long code, is too large to keep by the thousand."""
    assert fits(verdict) is small


def test_the_least_recently_seen_is_forgotten_first() -> None:
    """Room for two: the one that was looked at stays, the other goes."""
    memory = VerdictMemory(2)
    one, two, three = (GuardInput(text, scope="acme") for text in ("one", "two", "three"))
    memory.page(one).verdicts[0] = memory.page(two).verdicts[0] = Verdict(outcome="allow", guard="g")
    assert memory.page(one).verdicts
    memory.page(three)
    assert (len(memory.page(one).verdicts), len(memory.page(two).verdicts)) == (1, 0)


def test_the_key_covers_all_of_the_input_and_keeps_its_parts_apart() -> None:
    """Each field counts, none runs into the next; a field added to the input must be added to the key."""
    assert {field.name for field in dataclasses.fields(GuardInput)} == {"text", "context", "scope", "before"}
    memory = VerdictMemory(10)
    apart = [
        GuardInput("b", "prompt", "a"),
        GuardInput("", "prompt", "ab"),
        GuardInput("ab", "prompt", ""),
        GuardInput("b", "prompt", "a", "b"),
        GuardInput("1:bb", "prompt", "a"),
        GuardInput("b", cast("Context", ""), "a6:prompt"),
        GuardInput("b", "output", "a"),
    ]
    for value in apart:
        memory.page(value).verdicts[0] = Verdict(outcome="allow", guard=value.text)
    assert memory.stats().texts == len(apart)
    assert [memory.page(value).verdicts[0].guard for value in apart] == [value.text for value in apart]


def test_two_memories_share_no_digest_and_hold_no_text() -> None:
    """The digest is keyed with a secret of the object, and is all that is kept of the text."""
    keys: list[bytes] = []
    for memory in (VerdictMemory(1), VerdictMemory(1)):
        memory.page(GuardInput("a secret text", scope="acme"))
        keys += memory._pages
    assert len(set(keys)) == 2
    assert {len(key) for key in keys} == {16}


def test_a_negative_memory_is_refused() -> None:
    """Zero is how to ask for none."""
    with pytest.raises(ConfigError):
        Pipeline([], remembers=-1)
