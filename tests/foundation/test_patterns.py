"""Linear-time patterns: the set that reads once must say what each pattern says alone."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.foundation.compliance.pii_patterns import RULES
from seawall.foundation.patterns import PatternSet, PatternsTooLarge, compile_pattern, scannable

TEXTS = st.text(st.sampled_from("ab1@.:/ -+()NameMrFax\n") | st.characters(), max_size=80)


@given(TEXTS)
def test_the_set_agrees_with_its_patterns(text: str) -> None:
    """A pattern is in the set's answer exactly where it is found on its own."""
    patterns = [rule.pattern for rule in RULES]
    text = scannable(text)
    assert PATTERNS.matching(text) == [number for number, one in enumerate(patterns) if one.search(text)]


@given(st.integers(10, 24), st.text(st.sampled_from("a1.@ -"), max_size=40))
def test_too_little_memory_is_never_silence(bits: int, text: str) -> None:
    """With whatever memory, a set says what its patterns say, or that it cannot tell; it never says nothing."""
    patterns = [rule.pattern for rule in RULES]
    try:
        found = PatternSet(patterns, memory=1 << bits).matching(text)
    except PatternsTooLarge:
        assert bits < 24
    else:
        assert found == [number for number, one in enumerate(patterns) if one.search(text)]


def test_an_answer_without_the_canary_is_an_error() -> None:
    """What RE2 says when its automaton has no room to run, an empty answer, is refused."""

    class Silent:
        def Match(self, text: str) -> list[int]:
            return []

    one = PatternSet([compile_pattern("a")])
    assert one.matching("b") == []
    one._set = Silent()
    with pytest.raises(PatternsTooLarge, match="not read"):
        one.matching("b")


def test_the_set_agrees_on_a_text_made_to_exhaust_it() -> None:
    """A long text of the patterns' own words, which visits as many states as can be, is read just as well."""
    patterns = [rule.pattern for rule in RULES]
    words = sorted({word for one in patterns for word in re.findall(r"[A-Za-z]{2,}", one.pattern)})
    chooser = random.Random(7)
    text = " ".join(f"{chooser.choice(words)} {chooser.randrange(10**6)}" for _ in range(20_000))
    assert PATTERNS.matching(text) == [number for number, one in enumerate(patterns) if one.search(text)]


@given(st.text(st.characters() | st.just("\ud800"), max_size=20))
def test_scannable_keeps_offsets(text: str) -> None:
    """Lone surrogates are replaced one for one; everything else stays."""
    scanned = scannable(text)
    assert len(scanned) == len(text)
    assert all(a == b or (b == "?" and "\ud800" <= a <= "\udfff") for a, b in zip(text, scanned, strict=True))


def test_offsets_are_characters() -> None:
    """A match after non-ASCII text is where Python counts it."""
    match = compile_pattern("b+").search("éé🦊bb")
    assert match is not None
    assert (match.start(), match.end(), match.group()) == (3, 5, "bb")


PATTERNS = PatternSet(rule.pattern for rule in RULES)
