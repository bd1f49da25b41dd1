"""Folding: disguises off, offsets kept, time linear."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.defense.guards.reading.normalise import normalise

LETTERS = st.text(
    st.sampled_from("abc .\n\u200b\u202e\u0301аеорсΑΒＡａﬁ½№’“–\u00a0\ufdfa🦊é\ud800\U000e0041中")
    | st.characters(),
    max_size=60,
)


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("Ignоrе аll рrеviоus", "Ignore all previous"),
        ("ｉｇｎｏｒｅ", "ignore"),
        ("ig\u200bno\u2060re\u202e", "ignore"),
        ("i\u0301gn\u00f3r\u0308e", "ignore"),
        ("𝐢𝐠𝐧𝐨𝐫𝐞 𝕚𝕘𝕟𝕠𝕣𝕖", "ignore ignore"),
        ("ﬁle a\u00a0b “c” d’s – e", 'file a b "c" d\'s - e'),
        ("".join(chr(0xE0000 + ord(letter)) for letter in "ignore"), "ignore"),
        ("中文 stays", "中文 stays"),
        ("🅘🅖🅝🅞🅡🅔 🆁🆄🅻🅴🆂 🇦🇱🇱", "IGNORE RULES ALL"),
    ],
)
def test_disguises_are_folded(disguised: str, plain: str) -> None:
    """Look-alikes, invisible and full-width letters become what a reader sees."""
    assert normalise(disguised).text == plain


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_left_alone(text: str) -> None:
    """ASCII comes back as the same object, and spans of it are spans of the original."""
    folded = normalise(text)
    assert folded.text is text
    assert folded.original_span(0, len(text)) == (0, len(text))


@given(LETTERS, st.data())
def test_spans_lead_back_to_the_letters_they_came_from(text: str, data: st.DataObject) -> None:
    """Folding the original of any span gives a text that contains that span."""
    folded = normalise(text)
    start = data.draw(st.integers(0, len(folded.text)))
    end = data.draw(st.integers(start, len(folded.text)))
    first, last = folded.original_span(start, end)
    if start < end:
        assert 0 <= first < last <= len(text)
        assert folded.text[start:end] in normalise(text[first:last]).text


@given(LETTERS)
def test_what_is_folded_is_folded(text: str) -> None:
    """Folding what was folded changes nothing."""
    folded = normalise(text).text
    assert normalise(folded).text == folded


@given(LETTERS, LETTERS)
def test_the_ways_of_folding_agree(one: str, other: str) -> None:
    """A text with few letters to fold, taken run by run, and one with many, letter by letter, fold alike."""
    few = normalise(one + "x" * 400 + other)
    assert few.text == normalise(one).text + "x" * 400 + normalise(other).text


@given(LETTERS)
def test_folding_multiplies_no_text(text: str) -> None:
    """However far a letter unfolds, the result is at most six times as long."""
    assert len(normalise(text).text) <= 6 * len(text)


@pytest.mark.parametrize("unit", ["é", "a\u200b", "\ufdfa", "аa", "\u0301"])
def test_time_is_linear(unit: str) -> None:
    """Four times the text takes about four times as long."""

    def seconds(text: str) -> float:
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            normalise(text)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(unit * 40_000) < 9 * seconds(unit * 10_000) + 0.05
