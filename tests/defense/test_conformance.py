"""Nothing goes unjudged: every shape of text, in and out, streamed and whole, with personal data hidden and without."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from pydantic_ai import capture_run_messages
from pydantic_ai.messages import ModelMessage, TextPart

from seawall.defense import GuardBlocked, Policy, guards, harden
from seawall.foundation.events import Event, EventBus, TransactionFinished
from seawall.foundation.transaction import Transaction
from tests.defense.shapes import (
    ATTACK,
    CLEAN,
    CONTENT,
    MARK,
    REQUEST_PARTS,
    UNIONS,
    Fate,
    Run,
    Sieve,
    after,
    before,
    members,
    wire,
)
from tests.defense.shapes_in import INWARD, OWN, SHUT
from tests.defense.shapes_out import BETWEEN, OUTWARD, SEALED
from tests.defense.streams import ALICE, ScriptedModel


@dataclass(frozen=True)
class Mode:
    """How a run is read, and whether personal data is hidden from its model."""

    streamed: bool
    hides: bool

    def __str__(self) -> str:
        return f"{'streamed' if self.streamed else 'whole'}{'-hidden' if self.hides else ''}"


@dataclass
class Seen:
    """What became of a run."""

    model: ScriptedModel
    row: Transaction
    blocked: bool
    said: list[Any] = field(default_factory=list[Any])
    history: list[ModelMessage] = field(default_factory=list[ModelMessage])


# Where no personal data is looked for: what is said of a tool, and a thought, which may be signed as it is.
BESIDE_THE_WORDS = {
    "server: description",
    "server: schema",
    "history: name of a tool",
    "history: raw thought",
}
UNASKED_AGAIN = {"rejected output", "misread output"}

MODES = [Mode(streamed, hides) for streamed, hides in product((False, True), repeat=2)]
modes = pytest.mark.parametrize("mode", MODES, ids=str)


def named(table: Iterable[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", list(table))


async def go(run: Run, mode: Mode, sieve: Sieve | None = None) -> Seen:
    """Run it under a policy; exactly one ledger row comes of it, whatever happens."""
    agent, model = run.agent()
    rows: list[Transaction] = []

    def keep(event: Event) -> None:
        if isinstance(event, TransactionFinished):
            rows.append(event.transaction)

    chosen = [sieve or Sieve(), *([guards.pseudonymise()] if mode.hides else [])]
    safe = harden(agent, Policy(guards=chosen), events=EventBus(keep))
    given: dict[str, Any] = {"history": run.history, "approvals": run.approvals}
    said: list[Any] = []
    blocked = False
    with capture_run_messages() as history:
        try:
            if mode.streamed:
                async with safe.run_stream(run.prompt, deps=None, principal=ALICE, **given) as stream:
                    said += [piece async for piece in stream.output()]
            else:
                said = [(await safe.run(run.prompt, deps=None, principal=ALICE, **given)).output]
        except GuardBlocked:
            blocked = True
    (row,) = rows
    assert row.outcome == ("blocked" if blocked else "ok")
    return Seen(model, row, blocked, said, history)


def in_history(name: str, table: dict[str, tuple[Fate, Callable[[str], Any]]], text: str) -> Run | None:
    """Write a run whose history holds the part; None where this version has no such part."""
    part = table[name][1](text)
    if part is None:
        return None
    if table is CONTENT:
        return Run(history=after(REQUEST_PARTS["UserPromptPart"][1]([part, "and"])))  # type: ignore[arg-type]
    return Run(history=after(part) if table is REQUEST_PARTS else before(part))


@pytest.mark.parametrize(("union", "table"), UNIONS, ids=["request", "response", "content"])
def test_every_part_has_its_fate(union: Any, table: dict[str, Any]) -> None:
    """A kind of part that a new version brings is in no table, and fails here before it can pass unjudged."""
    assert members(union) - set(table) == set()


@modes
@pytest.mark.parametrize(
    ("table", "name"),
    [pytest.param(table, name, id=name) for _, table in UNIONS for name in table],
)
async def test_a_history_is_judged_part_by_part(table: Any, name: str, mode: Mode) -> None:
    """Whatever role it plays: judged, refused unread, or taken out where only the developer may say it."""
    fate: Fate = table[name][0]
    hostile, clean = in_history(name, table, ATTACK), in_history(name, table, CLEAN)
    if hostile is None or clean is None:
        pytest.skip("this version has no such part")
    seen = await go(hostile, mode)
    assert seen.blocked is (fate in {"judged", "closed"})
    assert ATTACK not in wire(seen.model)
    if seen.blocked:
        assert ("sieve:block" if fate == "judged" else "shape:block") in seen.row.verdicts
        assert seen.model.entered == 0
    if fate != "closed":
        twin = await go(clean, mode)
        assert twin.said[-1] == "done."
        assert (CLEAN in wire(twin.model)) <= (fate == "judged")


@modes
@named(INWARD)
async def test_nothing_hostile_comes_in(name: str, mode: Mode) -> None:
    """No model reads it, the reader gets nothing, and the row says who refused; clean words in its place pass."""
    if mode.streamed and name in UNASKED_AGAIN:
        pytest.skip("what was streamed is not asked for again")
    seen = await go(INWARD[name](ATTACK), mode)
    assert seen.blocked
    assert ATTACK not in wire(seen.model)
    assert "sieve:block" in seen.row.verdicts
    twin = await go(INWARD[name](CLEAN), mode)
    assert not twin.blocked
    if name not in BESIDE_THE_WORDS:
        assert ("zoe@example.com" in wire(twin.model)) is not mode.hides


@modes
@named(SHUT)
async def test_what_cannot_be_read_does_not_come_in(name: str, mode: Mode) -> None:
    """A file or an unknown kind of thing is refused, not let through."""
    seen = await go(SHUT[name](CLEAN), mode)
    assert seen.blocked
    assert "shape:block" in seen.row.verdicts


@modes
@named(OWN)
async def test_what_the_developer_says_is_not_judged(name: str, mode: Mode) -> None:
    """It reaches the model as it is, and a system prompt in a history does not take its place."""
    seen = await go(OWN[name](ATTACK), mode)
    assert not seen.blocked
    assert ATTACK in wire(seen.model)
    assert "obey" not in wire(seen.model)


def given_out(seen: Seen) -> str:
    """All that a reader or a later run could get hold of."""
    return repr((seen.said, seen.history, seen.model.heard))


@modes
@named(OUTWARD)
async def test_nothing_unjudged_goes_out(name: str, mode: Mode) -> None:
    """No reader gets it, no tool runs with it, no history holds it; clean words in its place do all of that."""
    ran: list[str] = []
    seen = await go(OUTWARD[name](MARK, ran), mode)
    assert seen.blocked
    assert "sieve:block" in seen.row.verdicts
    assert MARK not in given_out(seen)
    assert ran == []
    twin = await go(OUTWARD[name]("goldfish", ran), mode)
    assert not twin.blocked
    assert "goldfish" in given_out(twin) + repr(ran)
    assert "call" not in name or "provider" in name or "waits" in name or ran


@pytest.mark.parametrize("hides", [False, True])
@named(BETWEEN)
async def test_what_comes_past_the_model_is_judged(name: str, hides: bool) -> None:
    """An answer from elsewhere is judged before a tool or the reader has it."""
    ran: list[str] = []
    seen = await go(BETWEEN[name](MARK, ran), Mode(streamed=False, hides=hides))
    assert (seen.blocked, seen.said, ran) == (True, [], [])
    assert not (await go(BETWEEN[name]("goldfish", ran), Mode(streamed=False, hides=hides))).blocked


@modes
@named(SEALED)
async def test_what_cannot_be_read_does_not_go_out(name: str, mode: Mode) -> None:
    """A part of a kind that no guard can read ends the run."""
    seen = await go(Run(answers=[[SEALED[name], TextPart("done.")]]), mode)
    assert (seen.blocked, seen.said) == (True, [])
    assert "shape:block" in seen.row.verdicts


@modes
async def test_a_guard_may_take_something_out_of_text_alone(mode: Mode) -> None:
    """Text goes out without it, and is in the history without it; a call with a hole in it is not made."""
    seen = await go(Run(answers=[[TextPart(f"A {MARK} swims. It is small.")]]), mode, Sieve(replaces=True))
    assert seen.said[-1] == "A *** swims. It is small."
    assert MARK not in given_out(seen)
    ran: list[str] = []
    for name in ("call", "thought", "output tool", "source", "answer given again"):
        held = await go(OUTWARD[name](MARK, ran), mode, Sieve(replaces=True))
        assert (held.blocked, held.said, ran) == (True, [], [])
