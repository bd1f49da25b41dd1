"""A quotation is found where it stands, or it is not found."""

from hypothesis import assume, given
from hypothesis import strategies as st

from seawall.agents import locate_quote

TEXT = "Section 9.\n  The “Supplier’s” liability\n shall not   exceed — in aggregate — $1,000,000."


def test_an_exact_quotation_keeps_its_offsets() -> None:
    """An exact match gives the exact place."""
    start, end = locate_quote("liability", TEXT) or (0, 0)
    assert TEXT[start:end] == "liability"


def test_white_space_quotes_and_dashes_may_differ() -> None:
    """What models retype is forgiven, and the offsets still hold the document's own words."""
    start, end = locate_quote('The "Supplier\'s" liability shall not exceed - in aggregate', TEXT) or (0, 0)
    assert TEXT[start:end] == "The “Supplier’s” liability\n shall not   exceed — in aggregate"


def test_a_changed_word_is_not_a_quotation() -> None:
    """One word more, less or other, and it is not found."""
    assert locate_quote("liability shall exceed", TEXT) is None
    assert locate_quote("liability shall not exceed in aggregate $2,000,000", TEXT) is None
    assert locate_quote("   ", TEXT) is None


def test_only_the_given_stretch_is_searched() -> None:
    """A quotation from elsewhere in the document is not evidence in this passage."""
    assert locate_quote("liability", TEXT, 0, 12) is None


@given(st.text(max_size=120), st.integers(0, 120), st.integers(1, 40))
def test_every_substring_is_found_and_verbatim(text: str, start: int, length: int) -> None:
    """Any stretch of a text is a quotation of it, up to the forgiven differences."""
    quote = text[start : start + length]
    assume(quote.strip())
    found = locate_quote(quote, text)
    assert found is not None
    assert (
        text[found[0] : found[1]].split() == quote.split()
        or locate_quote(text[slice(*found)], quote) is not None
    )
