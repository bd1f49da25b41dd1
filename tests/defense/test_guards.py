"""Guards: the order they are asked in, what counts, and that failing is blocking."""

from dataclasses import dataclass, field

import pytest

from seawall.defense import guards
from seawall.defense.guards import GuardBlocked, GuardInput, Outcome, Pipeline, Pseudonymise, Verdict
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault
from seawall.foundation.errors import ConfigError, Rejected


class Ticking:
    """A clock that moves on by a second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Move on and tell."""
        self.now += 1
        return self.now

    def time(self) -> float:
        """The same."""
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
    asked: list[str] = field(default_factory=list[str])

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge as told."""
        self.asked.append(value.text)
        if self.error is not None:
            raise self.error
        return Verdict(outcome=self.outcome, guard=self.name, replacement=self.replacement)


def test_cheap_guards_are_asked_first_and_a_block_ends_it() -> None:
    """The dear guard is not asked once a cheap one has blocked."""
    dear, cheap = Scripted("dear", cost=9), Scripted("cheap", "block", cost=0.1)
    judged = Pipeline([dear, cheap], clock=Ticking()).check(GuardInput("text"))
    assert judged.verdict.guard == "cheap"
    assert not dear.asked
    assert judged.timings == (("cheap", 1.0),)
    assert judged.seconds == 1.0


def test_nothing_to_object_to_is_allowed() -> None:
    """Without guards, or with content ones, the text passes as it is."""
    assert Pipeline([]).check(GuardInput("text")).verdict.outcome == "allow"
    judged = Pipeline([Scripted("a"), Scripted("b")], clock=Ticking()).check(GuardInput("text"))
    assert (judged.verdict.outcome, judged.text, judged.seconds) == ("allow", "text", 2.0)


def test_a_crash_is_a_block() -> None:
    """A guard that raises has blocked, with a code that says so and no word of the error."""
    verdict = Pipeline([Scripted("bad", error=ValueError("secret"))]).check(GuardInput("text")).verdict
    assert (verdict.outcome, verdict.guard, verdict.reason_code) == ("block", "bad", "guard_failed")


def test_more_than_a_guard_can_judge_is_a_block() -> None:
    """Text over a guard's bound is blocked without asking it."""
    guard = Scripted("small", max_characters=3)
    assert Pipeline([guard]).check(GuardInput("text")).verdict.reason_code == "guard_failed"
    assert not guard.asked


def test_a_replacement_is_what_later_guards_judge() -> None:
    """The next guard sees the new text; the judgement carries it on."""
    second = Scripted("second", cost=2)
    judged = Pipeline([Scripted("first", "replace", replacement="new"), second]).check(GuardInput("old"))
    assert (judged.verdict.outcome, judged.text, second.asked) == ("replace", "new", ["new"])


def test_a_replacement_without_text_is_a_failure() -> None:
    """A guard that says replace and not by what cannot be obeyed, so it blocks."""
    assert Pipeline([Scripted("empty", "replace")]).check(GuardInput("old")).verdict.outcome == "block"


def test_a_later_block_outweighs_an_earlier_approval() -> None:
    """Asking a person does not stop a later guard from blocking; a milder outcome does not replace a graver."""
    asking = Scripted("asking", "approve")
    assert (
        Pipeline([asking, Scripted("no", "block", cost=2)]).check(GuardInput("x")).verdict.outcome == "block"
    )
    assert (
        Pipeline([asking, Scripted("again", "retry", cost=2)]).check(GuardInput("x")).verdict.outcome
        == "approve"
    )


def test_a_block_as_an_error_names_code_and_not_content() -> None:
    """What is raised for a block is a refusal that says which guard and why by code."""
    blocked = GuardBlocked(
        Verdict(outcome="block", guard="injection", reason_code="override", spans=((0, 3),))
    )
    assert isinstance(blocked, Rejected)
    assert blocked.by == "guards"
    assert "injection: override" in str(blocked)
    assert "will not help" in str(GuardBlocked())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x " * 600, "too_large"),
        ("é" * 501, "too_large"),
        ("x " * 101, "line_too_long"),
        ("x" * 51, "word_too_long"),
        ("a" + "\u0300\u0301" * 10, "stacked_marks"),
        ("a" + "\u200b\ufe0f" * 20, "unseen_run"),
        ("a" + "\U000e0041" * 20, "unseen_run"),
        ("x " * 90 + "\n", ""),
        ("क्षत्रिय ngữ 👩‍👩‍👧‍👦 é", ""),
        ("\ud800", ""),
    ],
)
def test_size_and_shape(text: str, code: str) -> None:
    """Each bound has a code of its own; ordinary text of any script passes."""
    verdict = guards.size("1 kB", line=200, word=50)(GuardInput(text))
    assert (verdict.outcome, verdict.reason_code) == ("block" if code else "allow", code)


def test_size_is_read_as_people_write_it() -> None:
    """Sizes that cannot hold are refused when the guard is made."""
    assert guards.size("2 MB")(GuardInput("x" * 100)).outcome == "allow"
    with pytest.raises(ConfigError):
        guards.size("0 kB")


def test_pseudonymise_becomes_a_guard_with_a_vault() -> None:
    """With a run's vault it replaces; a vault that is full blocks rather than let data pass."""
    vault = Vault(Pseudonyms(Keyring.ephemeral(), "acme"), limit=1)
    asked = guards.pseudonymise()
    assert isinstance(asked, Pseudonymise)
    pipeline = Pipeline([asked.with_vault(vault)])
    judged = pipeline.check(GuardInput("write to jane@example.com"))
    assert judged.verdict.outcome == "replace"
    assert "jane" not in judged.text
    assert vault.restore(judged.text) == "write to jane@example.com"
    assert pipeline.check(GuardInput("nothing here")).verdict.outcome == "allow"
    assert pipeline.check(GuardInput("joan@example.com")).verdict.reason_code == "guard_failed"
