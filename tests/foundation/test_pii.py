"""Finding personal data: what it must find, what a contract is full of and it must not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.foundation.compliance.pii import find_pii

DATA = Path(__file__).parents[2].parent / "shared" / "data"

FOUND = [
    (
        "EMAIL_ADDRESS",
        "write to jane.o'neil+legal@mail.example.co.uk today",
        "jane.o'neil+legal@mail.example.co.uk",
    ),
    ("EMAIL_ADDRESS", "ＪＡＮＥ＠ＥＸＡＭＰＬＥ．ＣＯＭ", "ＪＡＮＥ＠ＥＸＡＭＰＬＥ．ＣＯＭ"),
    ("URL", "see (https://example.com/a_(b)?c=1).", "https://example.com/a_(b)?c=1"),
    ("DOMAIN_NAME", "visit www.example.com.", "www.example.com"),
    ("CREDIT_CARD", "charged to 4111 1111 1111 1111 yesterday", "4111 1111 1111 1111"),
    ("CREDIT_CARD", "amex 3782-822463-10005", "3782-822463-10005"),
    ("IBAN_CODE", "to GB82 WEST 1234 5698 7654 32 with thanks", "GB82 WEST 1234 5698 7654 32"),
    ("IBAN_CODE", "DE89370400440532013000", "DE89370400440532013000"),
    ("US_SSN", "his number 460-89-9847", "460-89-9847"),
    ("US_SSN", "SSN: 460899847", "460899847"),
    ("IP_ADDRESS", "from 179.177.214.91 at noon", "179.177.214.91"),
    ("IP_ADDRESS", "IP address 10.0.0.7", "10.0.0.7"),
    ("IP_ADDRESS", "at 2001:db8::ff00:42:8329 and", "2001:db8::ff00:42:8329"),
    ("PHONE_NUMBER", "Tel: (212) 555-0147", "(212) 555-0147"),
    ("PHONE_NUMBER", "+44 20 7946 0958.", "+44 20 7946 0958"),
    ("PHONE_NUMBER", "Fax no. 01.84.17.61.18", "01.84.17.61.18"),
    ("STREET_ADDRESS", "at 1730 S. Amphlett Blvd., Suite 233, San", "1730 S. Amphlett Blvd., Suite 233"),
    ("STREET_ADDRESS", "P.O. Box 4711", "P.O. Box 4711"),
    ("DATE_OF_BIRTH", "Date of birth: 7/14/1995", "7/14/1995"),
    ("MEDICAL_RECORD_NUMBER", "MRN: 00482-113", "00482-113"),
    ("ACCOUNT_NUMBER", "account number: 052001633", "052001633"),
    ("PASSPORT_NUMBER", "passport no. C01X00T47", "C01X00T47"),
    ("PERSON", "By: /s/ Keith M. Schappert\nTitle: President", "Keith M. Schappert"),
    ("PERSON", "Name: Beh Chong Wah\n", "Beh Chong Wah"),
    ("PERSON", "Attention: Giovanni Meliadò, General Counsel", "Giovanni Meliadò"),
    ("PERSON", "neither Dr. Murray nor the Company", "Murray"),
]

CLEAN = [
    "the Seller shall indemnify the Company, the Disclosing Party and each Receiving Party",
    "Sections 12.3.1, 12.3.1.2 and 4.2.1.3, Article IV, Schedule 2.1(a)(iii) and version 2.0.1.4",
    "US$ 1,234,567.89, EUR 12.345.678,90, 1000000000 shares and 12.5% per annum",
    "on January 15, 2019, 2019-01-15, 15/01/2019 or 12/31/2024, at 12:30:45",
    "Attention: General Counsel; Attention: Legal Department; Name: Title: By:",
    "software clause at DFARS 252.227-7013 and FAR 52.227-19; 17 C.F.R. 240.24b-2",
    "within 30 Business Days of the 5 Delaware Supreme Court decision",
    "Amazon.com, Inc. e.g. the Licensee; and/or i.e. the Licensor",
    "order 4111 1111 1111 1112 and serial number 12345678901234567890123",
    "Agreement No. 123-45-678 dated as of the Effective Date",
    "born by the Seller; the account of the Buyer; Fax: ________",
]


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_personal_data_is_found_exactly(kind: str, text: str, value: str) -> None:
    """Each kind is found with its exact borders, and nothing else in the sentence is."""
    assert [(entity.kind, text[entity.start : entity.end]) for entity in find_pii(text)] == [(kind, value)]


@pytest.mark.parametrize("text", CLEAN)
def test_the_stuff_of_contracts_is_left_alone(text: str) -> None:
    """Defined terms, section numbers, amounts, dates and regulations are not personal data."""
    assert find_pii(text) == []


def test_a_name_found_by_its_cue_is_found_everywhere() -> None:
    """A signature gives a name away for the whole text, as a whole word only."""
    text = "Jane Roe will sign. Jane Roes will not.\nBy: /s/ Jane Roe"
    assert [text[entity.start : entity.end] for entity in find_pii(text)] == ["Jane Roe", "Jane Roe"]
    assert [entity.start for entity in find_pii(text)] == [0, text.rindex("Jane")]


def test_the_longer_of_two_stands() -> None:
    """An address within a URL belongs to the URL."""
    text = "https://example.com/?to=jane@example.com"
    assert [(entity.kind, entity.start, entity.end) for entity in find_pii(text)] == [("URL", 0, len(text))]


PIECES = st.sampled_from(
    [value for _, _, value in FOUND] + ["Name: ", " ", "\n", "\x1f", "é", "\ud800", "1", "-", "Mr. ", "⟦"]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join))
def test_entities_are_ordered_disjoint_and_inside(text: str) -> None:
    """Whatever the text, what is found lies in it, in order, without overlap and without blank borders."""
    end = 0
    for entity in find_pii(text):
        assert end <= entity.start < entity.end <= len(text)
        assert text[entity.start : entity.end].strip() == text[entity.start : entity.end]
        end = entity.end


@pytest.mark.skipif(not (DATA / "pii").is_dir(), reason="needs ../shared/data/pii, which is not shipped")
def test_recall_and_precision_on_labelled_sentences() -> None:
    """On the labelled sentences the patterned kinds are found as well as they were when this was written."""
    import json

    kinds = {
        "EMAIL_ADDRESS",
        "CREDIT_CARD",
        "IBAN_CODE",
        "US_SSN",
        "IP_ADDRESS",
        "PHONE_NUMBER",
        "DOMAIN_NAME",
    }
    labelled = found = false = 0
    for line in (DATA / "pii" / "presidio_synth.jsonl").read_text().splitlines():
        row = json.loads(line)
        spans = {(span["start"], span["end"]) for span in row["spans"]}
        got = [(entity.start, entity.end) for entity in find_pii(row["text"])]
        for span in row["spans"]:
            if span["type"] in kinds:
                labelled += 1
                found += any(start < span["end"] and span["start"] < end for start, end in got)
        false += sum(not any(start < b and a < end for a, b in spans) for start, end in got)
    assert labelled == 180
    assert found / labelled >= 0.98
    assert false <= 3


@pytest.mark.skipif(not (DATA / "cuad").is_dir(), reason="needs ../shared/data/cuad, which is not shipped")
def test_contracts_are_not_full_of_false_alarms() -> None:
    """In real contracts no defined term is a person, and card numbers, which none contains, are not found."""
    terms = {
        "seller",
        "buyer",
        "company",
        "party",
        "licensee",
        "licensor",
        "agreement",
        "customer",
        "supplier",
    }
    for path in sorted((DATA / "cuad" / "txt").iterdir())[::10]:
        text = path.read_text()
        for entity in find_pii(text):
            words = set(text[entity.start : entity.end].lower().split())
            assert entity.kind not in {"CREDIT_CARD", "IBAN_CODE", "US_SSN"}
            assert entity.kind != "PERSON" or not words & terms, words & terms
