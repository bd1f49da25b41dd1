"""The holds: text in pieces comes out in sentences, JSON in values, and nothing is lost, split or left too long."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.defense.streaming.json_hold import JsonHold, readable
from seawall.defense.streaming.text_hold import TextHold
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.pii import Entity
from seawall.foundation.compliance.pseudonyms import Pseudonyms, Vault
from seawall.foundation.errors import ConfigError

ORIGINALS = [
    "zoe@example.com",
    "+1 415 555 0134",
    'Zoë "Zed" O\'Neil',
    "back\\slash",
    "two\nlines",
    "smile 😀",
    "half a ⟦token",
]
WORDS = st.sampled_from(
    [
        "Hello",
        "there",
        ". ",
        "! ",
        "…",
        " ",
        "\n",
        "e.g. ",
        "3.5",
        "。",
        "⟦",
        "⟧",
        "⟦PERSON:",
        '"',
        "\\",
        "😀",
        "x" * 90,
    ]
)


def keeper() -> Vault:
    """A vault that takes every one of the originals for personal data, however odd."""

    def find(text: str) -> list[Entity]:
        found = [
            Entity("PERSON", at, at + len(original))
            for original in ORIGINALS
            for at in range(len(text))
            if text.startswith(original, at)
        ]
        return sorted(found, key=lambda entity: entity.start)

    return Vault(Pseudonyms(Keyring.ephemeral(), "acme"), find=find)


def split(text: str, cuts: list[int]) -> list[str]:
    """Cut the text at the places given, so that two equal places make an empty piece."""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(places)]


def through(hold: TextHold, pieces: list[str]) -> list[str]:
    return [*(hold.feed(piece) for piece in pieces), hold.rest()]


def test_a_sentence_goes_out_with_the_blank_after_it() -> None:
    """The first sentence is given once the next one begins, not before and not later."""
    hold = TextHold()
    assert [hold.feed(piece) for piece in ("Hel", "lo.", " Bye", " now")] == ["", "", "Hello. ", ""]
    assert hold.held == len("Bye now")
    assert hold.rest() == "Bye now"


@pytest.mark.parametrize(
    "text", ["costs 3.5 m", "see example.com now", "⟦PERSON:5d41402abc4b2a76b9719d91⟧ is"]
)
def test_what_ends_no_sentence_is_no_border(text: str) -> None:
    """Points in numbers, in hosts and tokens hold."""
    assert TextHold().feed(text) == ""


@pytest.mark.parametrize("end", ["。", "！", "? ", '." ', ".”) ", "…\n", "\n", "؟ ", "। "])
def test_every_script_has_its_borders(end: str) -> None:
    """Sentences end in other scripts and behind closing quotes too."""
    assert TextHold().feed(f"so it is{end}") == f"so it is{end}"


def test_a_hold_without_room_for_a_token_is_refused() -> None:
    """A bound that could not keep a token together is an error at construction."""
    with pytest.raises(ConfigError, match="max_hold"):
        TextHold(100)


@given(st.lists(WORDS, max_size=60).map("".join), st.lists(st.integers(0, 3000), max_size=20))
def test_what_comes_out_is_what_went_in(text: str, cuts: list[int]) -> None:
    """Whatever the pieces, their order and characters are kept, and no more than the bound is ever held."""
    for hold in (TextHold(200), JsonHold(200)):
        out = ""
        for piece in split(text, cuts):
            out += hold.feed(piece)
            assert hold.held <= 200
        assert out + hold.rest() == text


@given(st.text(max_size=400), st.lists(st.integers(0, 400), max_size=12))
def test_any_text_at_all_passes(text: str, cuts: list[int]) -> None:
    """No character, lone surrogates included, breaks a hold."""
    for hold in (TextHold(160), JsonHold(160)):
        assert "".join(through(hold, split(text, cuts))) == text


@given(
    st.lists(st.sampled_from(ORIGINALS) | WORDS, max_size=30),
    st.lists(st.integers(0, 5000), max_size=25),
    st.booleans(),
)
def test_restoring_piece_by_piece_is_restoring_whole(words: list[str], cuts: list[int], glue: bool) -> None:
    """Tokens cut by any split, and by the bound on a text without borders, come back exactly."""
    kept = keeper()
    said = ("" if glue else " ").join(kept.pseudonymise(word) for word in words)
    out = [kept.restore(segment) for segment in through(TextHold(160), split(said, cuts))]
    assert "".join(out) == kept.restore(said)


@given(
    st.lists(st.sampled_from(ORIGINALS) | WORDS, max_size=30),
    st.lists(st.integers(0, 9000), max_size=25),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_restoring_json_piece_by_piece_is_restoring_it_whole(
    words: list[str], cuts: list[int], ascii_only: bool, indent: int | None
) -> None:
    """Arguments in pieces parse to the originals: escaped brackets, surrogate pairs, quotes and all."""
    kept = keeper()
    value = {"all": "".join(words), "each": words, "n": [1, 2.5, None, True]}
    hidden = {
        "all": kept.pseudonymise("".join(words)),
        "each": [kept.pseudonymise(w) for w in words],
        "n": value["n"],
    }
    raw = json.dumps(hidden, ensure_ascii=ascii_only, indent=indent)
    segments = through(JsonHold(160), split(raw, cuts))
    shown = "".join(kept.restore_json_text(segment) for segment in segments)
    assert shown == kept.restore_json_text(raw)
    assert json.loads(shown) == value
    assert "".join(readable(segment) for segment in segments) == readable(raw)


def test_json_goes_out_value_by_value_and_sentence_by_sentence() -> None:
    """A field is given as it ends, a long string as its sentences do."""
    pieces = ['{"name": "Zo', 'ë", "age": 7, "note": "One. T', "wo.\\nThree", '"}']
    assert through(JsonHold(), pieces) == [
        "",
        '{"name": "Zoë", "age": 7, "note": "One. ',
        "Two.\\n",
        'Three"}',
        "",
    ]


def test_what_a_guard_reads_hides_nothing() -> None:
    """Escapes are decoded for the judge: letters, pairs, quotes; half a pair and unknown escapes harm nothing."""
    assert readable(r'{"a": "\u0069gnore \ud83d\ude00 \"all\" \\n\n"}') == '{"a": "ignore 😀 "all" \\n\n"}'
    assert readable(r"\ud83d \x \u12 \\") == "\ufffd x \\u12 \\"


def test_an_escape_is_never_cut_by_the_bound() -> None:
    """A long string of escapes without borders is cut between them, never inside one or between a pair."""
    raw = json.dumps("😀é" * 100)
    segments = through(JsonHold(160), [raw[at : at + 7] for at in range(0, len(raw), 7)])
    assert len([segment for segment in segments if segment]) > 5
    decoded = [json.loads(f'"{segment.strip(chr(34))}"') for segment in segments]
    assert "".join(decoded) == "😀é" * 100
    # Half a pair has no encoding.
    assert all(piece.encode() or not piece for piece in decoded)
