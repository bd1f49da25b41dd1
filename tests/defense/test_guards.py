"""Guards: size and shape, and how a block is told."""

import pytest

from seawall.defense import guards
from seawall.defense.guards import GuardBlocked, GuardInput, Verdict
from seawall.foundation.errors import ConfigError, Rejected


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
