"""Personal data in letters and chats: names without a cue, and what is none; the windows that bound time and memory."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.foundation.compliance.pii import Entity, find_names, find_pii
from seawall.foundation.compliance.pii_scan import fill_gaps, scan
from seawall.foundation.compliance.pii_tagger import BUCKETS, TAGS, Tagger, best_tags, tagger
from seawall.foundation.compliance.pii_terms import defined_terms, is_person
from seawall.foundation.compliance.pii_thorough import find_pii_thorough

DATA = Path(__file__).parents[2].parent / "shared" / "data"

FOUND = [
    ("PERSON", "My name is Ingeborg Sørensen.", "Ingeborg Sørensen"),
    ("PERSON", "We spoke to Dragana Petrović yesterday.", "Dragana Petrović"),
    ("GPE", "I will be in Portugal until Sunday", "Portugal"),
    ("NRP", "We had dinner at a Vietnamese restaurant.", "Vietnamese"),
    ("AGE", "a 61 year old woman", "61"),
    ("AGE", "He retired at the age of 68", "68"),
    ("DATE_TIME", "posted 2016-04-18 11:34:35 by", "2016-04-18 11:34:35"),
    ("DATE_TIME", "Date of birth: 7/14/1995", "7/14/1995"),
    ("ZIP_CODE", "my zip code is 90210", "90210"),
    ("US_DRIVER_LICENSE", "my driver's license number is 6940579", "6940579"),
    ("DOMAIN_NAME", "see https://example.com/a", "https://example.com/a"),
    ("PHONE_NUMBER", "They are not answering at 078 8098 1119", "078 8098 1119"),
    ("PHONE_NUMBER", "call me on 905-674-3793 x201", "905-674-3793 x201"),
    ("IBAN_CODE", "IBAN GB82WEST12345698765432 please", "GB82WEST12345698765432"),
    ("CRYPTO_WALLET", "to 0x52908400098527886E0F7030069857D2E4169EE7 now", "0x52908400098527886E0F7030069857D2E4169EE7"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_what_letters_hold_is_found(kind: str, text: str, value: str) -> None:
    """Each kind is found with its exact borders."""
    found = [(entity.kind, text[entity.start : entity.end]) for entity in find_pii_thorough(text)]
    assert (kind, value) in found


def test_a_title_is_not_part_of_the_name() -> None:
    """An honorific and the name after it are two findings."""
    text = "I saw Mrs. Lindqvist."
    found = [(entity.kind, text[entity.start : entity.end]) for entity in find_pii_thorough(text)]
    assert found == [("TITLE", "Mrs."), ("PERSON", "Lindqvist")]


def test_names_without_a_cue_are_for_the_thorough_only() -> None:
    """What contracts are read with finds no name that nothing gives away."""
    text = "Yesterday Dragana Petrović spoke to us."
    assert find_pii(text) == []
    assert [entity.kind for entity in find_pii_thorough(text)] == ["PERSON"]


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ('between Jones Ltd (the "Madison") and', "madison"),
        ("Acme Inc. (hereinafter referred to as the “Licensee”) agrees", "licensee"),
        ('"Taylor" means the vendor', "taylor"),
        ("hereinafter called Seller, and", "seller"),
    ],
)
def test_terms_that_a_text_defines_are_no_people(text: str, term: str) -> None:
    """However a term is introduced, it is known for one, and not taken for a person."""
    terms = defined_terms(text)
    assert term in terms
    assert not is_person(term.title(), 0, len(term), terms)


def test_offices_headings_and_small_letters_are_no_people() -> None:
    """What a tagger may take for a name in a contract is none; in a chat in small letters a name is one."""
    for name in ("General Counsel", "Exhibit B", "D.", "Schedule", "Room 7"):
        assert not is_person(name, 0, len(name), frozenset()), name
    assert not is_person("The subsystems fail", 4, 14, frozenset())
    assert is_person("my name is lena", 11, 15, frozenset())


def test_what_is_found_first_stands() -> None:
    """Gaps are filled and nothing that is there is touched."""
    found = [(5, 8, "AGE"), (20, 25, "AGE")]
    more = [(0, 3, "GPE"), (7, 9, "GPE"), (8, 20, "GPE"), (24, 30, "GPE"), (30, 31, "GPE")]
    merged = fill_gaps(found, more)
    assert merged == [(0, 3, "GPE"), (5, 8, "AGE"), (8, 20, "GPE"), (20, 25, "AGE"), (30, 31, "GPE")]


@given(
    st.integers(0, 70_000),
    st.sampled_from(["jane@example.com", "4111 1111 1111 1111", "Mr. Roe", "+44 20 7946 0958"]),
)
def test_where_a_window_ends_makes_no_difference(before: int, value: str) -> None:
    """Something at any place of a long text is found exactly once, with its borders."""
    text = "x" * before + " " + value + " y" * 2_000
    found = find_pii(text)
    assert [text[entity.start : entity.end] for entity in found] == [value.removeprefix("Mr. ")]


def test_numbers_in_a_row_are_cut_up_alike_in_every_window() -> None:
    """A run of card numbers that spans windows is found number by number."""
    number = "4111 1111 1111 1111"
    found = find_pii(f"{number} " * 10_000)
    assert len(found) == 10_000
    assert {entity.end - entity.start for entity in found} == {len(number)}


def test_names_are_found_in_every_window() -> None:
    """A name that is looked for is found in a long text, as a whole word, the longest of those that begin alike."""
    text = "Ann Lee. Ann Leeds! " + "- " * 50_000 + "Ann Lee Smith"
    found = find_names(text, ["Ann Lee", "Ann Lee Smith"])
    assert [text[entity.start : entity.end] for entity in found] == ["Ann Lee", "Ann Lee Smith"]


def test_scanning_keeps_offsets_of_strange_characters() -> None:
    """Full-width letters and lone surrogates count as one character each."""
    text = "\ud800ＪＡＮＥ＠ＥＸＡＭＰＬＥ．ＣＯＭ and Mr. Roe"
    assert [
        text[one.start : one.end]
        for one in find_pii_thorough(text)
        if one.kind in {"EMAIL_ADDRESS", "PERSON"}
    ] == [
        "ＪＡＮＥ＠ＥＸＡＭＰＬＥ．ＣＯＭ",
        "Roe",
    ]
    assert list(scan("", lambda part: [])) == []


PIECES = st.sampled_from(
    [value for _, _, value in FOUND] + ["Name: ", " ", "\n", "é", "\ud800", "1", "-", "Mr. ", "⟦"]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join))
def test_entities_are_ordered_disjoint_and_inside(text: str) -> None:
    """Whatever the text, what is found lies in it, in order and without overlap."""
    end = 0
    for entity in find_pii_thorough(text):
        assert end <= entity.start < entity.end <= len(text)
        end = entity.end


def test_the_best_path_is_the_best_of_all_paths() -> None:
    """On three words, Viterbi's path scores as high as the best of all, steps from and to the edges included."""
    draw = np.random.default_rng(5)
    scores = draw.normal(size=(2, TAGS)).astype(np.float32)
    steps = draw.normal(size=(TAGS, TAGS)).astype(np.float32)

    def total(tags: tuple[int, int]) -> float:
        one, two = tags
        inner = scores[0, one] + scores[1, two] + steps[one, two]
        return float(inner + steps[0, one] + steps[two, 0])

    every = [(one, two) for one in range(TAGS) for two in range(TAGS)]
    one, two = best_tags(scores, steps).tolist()
    assert total((one, two)) == pytest.approx(max(map(total, every)))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    """A file that is not this tagger's says so at loading."""
    about = np.frombuffer(json.dumps({"kinds": []}).encode(), dtype=np.uint8)
    none = np.zeros(0, dtype=np.uint32)
    path = tmp_path / "names.npz"
    weights = np.zeros((BUCKETS, 3), dtype=np.int8)
    np.savez(
        path, keys=none, bits=none.astype(np.uint8), weights=weights, steps=np.zeros((3, 3)), about=about
    )
    with pytest.raises(ValueError, match="expected"):
        Tagger.load(path)


def test_a_text_without_words_has_no_names() -> None:
    """Blanks are nothing to tag."""
    assert tagger().find(" \t ") == []


@pytest.mark.skipif(not (DATA / "pii").is_dir(), reason="needs ../shared/data/pii, which is not shipped")
def test_the_half_that_was_not_learnt_from() -> None:
    """On sentences that the tagger never saw, names and patterned kinds are found as well as when this was written."""
    from benchmarks.pii import learnt, read_labelled, scores

    rows = [row for row in read_labelled() if not learnt(row[0])]
    found = [[(one.start, one.end, one.kind) for one in find_pii_thorough(text)] for text, _ in rows]
    figures = scores(rows, found)
    assert figures["PERSON"]["f1"] >= 0.95
    for kind in (
        "EMAIL_ADDRESS",
        "PHONE_NUMBER",
        "CREDIT_CARD",
        "IBAN_CODE",
        "US_SSN",
        "IP_ADDRESS",
        "DATE_TIME",
        "AGE",
    ):
        assert figures[kind]["f1"] >= 0.97, kind
    for kind in ("STREET_ADDRESS", "TITLE"):
        assert figures[kind]["f1"] >= 0.9, kind


def test_entities_are_named_alike_everywhere() -> None:
    """The thorough finder's kinds are fit for pseudonyms: capitals and underscores."""
    found = find_pii_thorough(
        "Ms. Roe, 41 years old, roe@example.com, https://example.com, in Lisbon on 2020-01-02"
    )
    assert all(entity.kind.replace("_", "").isupper() for entity in found)
    assert {"TITLE", "PERSON", "AGE", "EMAIL_ADDRESS", "DOMAIN_NAME", "DATE_TIME"} <= {
        one.kind for one in found
    }
    assert all(isinstance(entity, Entity) for entity in found)
