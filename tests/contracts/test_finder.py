"""The clause finder: passages, tokens, retrieval, and answers from the retrieved passages."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall_contracts.finder.linear import Vocabulary
from seawall_contracts.finder.names import CLAUSES, CORE_CLAUSES
from seawall_contracts.finder.reader import ClauseAnswer, Passage, Reader
from seawall_contracts.finder.retriever import CANDIDATES, WEIGHTS, Retriever
from seawall_contracts.finder.segments import MAX_PASSAGE, MIN_PASSAGE, segment
from seawall_contracts.finder.tokens import grams, joined, words
from seawall_contracts.finder.trees import Trees
from training import data

CONTRACT = """SUPPLY AGREEMENT

1. Supply. The Supplier shall deliver the Products that the Buyer orders, at the prices listed in Exhibit A, within
thirty (30) days after each purchase order, carriage paid to the Buyer's warehouse.

2. Governing Law. This Agreement shall be governed by and construed in accordance with the laws of the State of New
York, without regard to its conflict of laws principles.

3. Assignment. Neither party may assign this Agreement or any of its rights or obligations hereunder without the
prior written consent of the other party, and any attempted assignment without such consent shall be void.

4. Limitation of Liability. In no event shall either party's aggregate liability under this Agreement exceed the
total amounts paid by the Buyer to the Supplier in the twelve (12) months preceding the claim.

5. Audit. The Buyer may, upon ten (10) days' written notice, inspect and audit the books and records of the Supplier
during normal business hours to verify compliance with this Agreement.

6. Insurance. The Supplier shall maintain commercial general liability insurance of not less than $1,000,000 per
occurrence, and name the Buyer as an additional insured.

7. Term. This Agreement commences on the Effective Date and expires on December 31, 2030, unless it is terminated
earlier. It shall automatically renew for successive one (1) year terms unless either party gives notice of non-renewal.
"""
STATED = {
    "Governing Law": "2. Governing",
    "Anti-Assignment": "3. Assignment",
    "Cap On Liability": "4. Limitation",
    "Audit Rights": "5. Audit",
    "Insurance": "6. Insurance",
    "Expiration Date": "7. Term",
}
Prompt = tuple[dict[str, Passage], dict[str, list[tuple[str, float]]]]

THE_KEY = 2800115916
pieces = st.text(alphabet=st.sampled_from("aB1. \n\r\t§⟦⟧:;()é☃\U0001f40d\ud800"), max_size=1500)


def _times(text: str, times: int) -> str:
    return text * times


repeated = st.builds(_times, pieces, st.integers(1, 20))


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    """The shipped retriever."""
    return Retriever.load()


@pytest.fixture(scope="module")
def reader() -> Reader:
    """The shipped reader."""
    return Reader.load()


def prompt(retriever: Retriever, text: str) -> Prompt:
    """Build what a reader gets: the shown passages by id, and each question's candidates."""
    parts = segment(text)
    found = retriever.retrieve(text, parts)
    questions = {name: [(f"P{one.segment}", one.score) for one in some] for name, some in found.items()}
    shown = {one.segment for some in found.values() for one in some}
    return {
        f"P{i}": Passage(f"P{i}", parts[i].heading, text[parts[i].start : parts[i].end]) for i in shown
    }, questions


def by_clause(answers: list[ClauseAnswer]) -> dict[str, ClauseAnswer]:
    """Index answers by clause."""
    return {answer.clause: answer for answer in answers}


@settings(deadline=None)
@given(repeated)
def test_passages_cover_the_text_in_order(text: str) -> None:
    """Passages do not overlap, hold every visible character, and stay short."""
    at = 0
    for part in segment(text):
        assert part.start >= at
        assert not text[at : part.start].strip()
        assert part.start < part.end <= part.start + MAX_PASSAGE + MIN_PASSAGE
        assert text[part.start : part.end] == text[part.start : part.end].strip()
        at = part.end
    assert not text[at:].strip()


def test_a_heading_reaches_the_paragraphs_under_it() -> None:
    """A passage without a heading of its own stands under the last one."""
    text = "ARTICLE IX INDEMNITY OF THE BUYER\n\nThe Supplier shall hold the Buyer harmless against every claim of third parties."
    assert [part.heading for part in segment(text)] == ["INDEMNITY OF THE BUYER"] * 2


@pytest.mark.parametrize(
    "text",
    ["a" * 650_000, " " * 650_000, "A. " * 216_000, "Aa " * 216_000, "\r\n \r" * 160_000, CONTRACT * 300],
    ids=["one word", "blank", "sentences", "words", "line ends", "contract"],
)
def test_large_and_odd_texts_are_cut_in_linear_time(text: str) -> None:
    """650 kB of anything takes far less than the seconds a quadratic cut would."""
    began = time.perf_counter()
    segment(text)
    assert time.perf_counter() - began < 2


def test_case_digits_and_names_do_not_matter() -> None:
    """Words differ by letters only: digits fold to zero, and every pseudonym is the same word."""
    one = words("Pay ⟦PERSON:1f3a⟧ 100 on demand").hash
    two = words("PAY\n⟦EMAIL_ADDRESS:9c⟧, 999 On Demand").hash
    assert one.tolist() == two.tolist()
    assert words("Pay Bob 100 on demand").hash.tolist() != one.tolist()


@settings(deadline=None)
@given(repeated)
def test_words_stand_where_they_are_said_to(text: str) -> None:
    """Every word begins at a letter, a digit or a pseudonym, in order."""
    found = words(text)
    assert (np.diff(found.start) > 0).all()
    assert all(text[i].isalnum() or "⟦" in text[max(0, i - 1) : i + 1] for i in found.start.tolist())


@settings(deadline=None)
@given(st.lists(pieces, max_size=5))
def test_passages_read_together_as_they_read_alone(texts: list[str]) -> None:
    """No n-gram crosses from one passage into the next."""
    text, bounds = joined(texts)
    together = grams(words(text), bounds)
    for i, alone in enumerate(texts):
        own = grams(words(alone), [(0, len(alone))])
        assert sorted(together.key[together.passage == i].tolist()) == sorted(own.key.tolist())


def test_keys_are_the_same_in_every_process() -> None:
    """A fresh interpreter with another hash seed gives the same keys, so shipped weights stay valid."""
    code = "from seawall_contracts.finder.tokens import *; print(grams(words('the laws of'), [(0, 11)]).key.tolist())"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert json.loads(run.stdout) == grams(words("The LAWS of"), [(0, 11)]).key.tolist()
    assert json.loads(run.stdout)[0] == THE_KEY


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 2**32 - 1), unique=True, max_size=50),
    st.lists(st.integers(0, 2**32 - 1), max_size=50),
)
def test_a_vocabulary_knows_its_keys_and_no_others(known: list[int], asked: list[int]) -> None:
    """Rows are found for the keys it was made of, and -1 for any other."""
    keys = np.array(sorted(known), np.uint32)
    vocabulary = Vocabulary(keys, np.ones(len(keys), np.float16))
    place = {key: row for row, key in enumerate(sorted(known))}
    queries = known + asked
    assert vocabulary.rows(np.array(queries, np.uint32)).tolist() == [place.get(key, -1) for key in queries]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_trees_give_what_walking_them_gives(seed: int) -> None:
    """The vectorised sum over a random forest is that of a walk from each root."""
    random = np.random.RandomState(seed)
    forest = random_forest(random)
    rows = random.normal(size=(6, 3)).astype(np.float32)
    kind = random.randint(0, 2, 6)
    walked = [
        sum(walk(forest, int(root), row) for root in forest.root[k])
        for row, k in zip(rows, kind, strict=True)
    ]
    assert forest.sums(rows, kind) == pytest.approx(np.array(walked), abs=1e-5)


def random_forest(random: np.random.RandomState) -> Trees:
    """Make two kinds of three complete trees of depth two."""
    shape = [[1, 2], [3, 4], [5, 6], [3, 3], [4, 4], [5, 5], [6, 6]]
    count = 6
    child = np.array([[at + 7 * tree for at in pair] for tree in range(count) for pair in shape])
    nodes = 7 * count
    return Trees(
        random.randint(0, 3, nodes),
        random.normal(size=nodes).astype(np.float32),
        child,
        random.normal(size=nodes).astype(np.float32),
        (np.arange(count) * 7).reshape(2, 3),
        2,
    )


def walk(forest: Trees, node: int, row: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> float:
    """Follow one row down one tree."""
    while forest.child[node, 0] != node:
        node = int(forest.child[node, int(row[forest.feature[node]] <= forest.threshold[node])])
    return float(forest.value[node])


def test_retrieval_ranks_the_stated_clauses_first(retriever: Retriever) -> None:
    """In a plain contract each stated clause's paragraph is the best candidate."""
    passages, questions = prompt(retriever, CONTRACT)
    for clause, beginning in STATED.items():
        assert passages[questions[clause][0][0]].text.startswith(beginning), clause


def test_candidates_are_few_and_sorted(retriever: Retriever) -> None:
    """Every clause gets five distinct candidates, best first, with scores that survive four decimals."""
    parts = segment(CONTRACT)
    found = retriever.retrieve(CONTRACT, parts)
    assert tuple(found) == CLAUSES
    for some in found.values():
        scores = [one.score for one in some]
        assert len({one.segment for one in some}) == min(CANDIDATES, len(parts))
        assert scores == sorted(scores, reverse=True) == [float(f"{score:.4f}") for score in scores]
        assert all(0 <= score <= 1 for score in scores)


def test_short_texts_have_fewer_candidates(retriever: Retriever, reader: Reader) -> None:
    """One passage gives one candidate a clause; no text gives none; both are still answered."""
    assert {len(some) for some in retriever.retrieve("One.", segment("One.")).values()} == {1}
    assert set(retriever.retrieve("", []).values()) == {()}
    assert len(reader.read(*prompt(retriever, "One."))) == len(CLAUSES)
    answers = reader.read({}, dict.fromkeys(CLAUSES, ()))
    assert not any(answer.present or answer.ranking for answer in answers)


def test_the_reader_says_what_a_plain_contract_states(retriever: Retriever, reader: Reader) -> None:
    """Stated clauses are present and surely so; clauses of which there is no word are not."""
    answers = by_clause(reader.read(*prompt(retriever, CONTRACT)))
    assert all(answers[clause].present for clause in STATED)
    absent = ["Non-Compete", "Source Code Escrow", "Change Of Control", "Ip Ownership Assignment"]
    assert not any(answers[clause].present for clause in absent)
    assert answers["Governing Law"].probability > 0.9
    assert not answers["Governing Law"].abstained


def test_answers_keep_to_the_candidates(retriever: Retriever, reader: Reader) -> None:
    """A ranking is a permutation of the question's candidates, and a probability is one."""
    passages, questions = prompt(retriever, CONTRACT)
    for answer in reader.read(passages, questions):
        assert sorted(answer.ranking) == sorted(id_ for id_, _ in questions[answer.clause])
        assert 0 <= answer.probability <= 1


def test_questions_are_answered_alike_alone_and_together(retriever: Retriever, reader: Reader) -> None:
    """What else is asked, and in which order passages are given, does not change an answer."""
    passages, questions = prompt(retriever, CONTRACT)
    together = by_clause(reader.read(passages, questions))
    shuffled = dict(reversed(passages.items()))
    for clause in CORE_CLAUSES:
        (alone,) = reader.read(shuffled, {clause: questions[clause]})
        assert alone.probability == pytest.approx(together[clause].probability, abs=1e-5)
        assert alone.ranking == together[clause].ranking


def test_names_do_not_matter_to_the_reader(retriever: Retriever, reader: Reader) -> None:
    """Which pseudonym stands in a passage makes no difference."""
    one = CONTRACT.replace("Buyer", "⟦PERSON:1a⟧")
    passages, questions = prompt(retriever, one)
    other = {
        id_: Passage(id_, some.heading, some.text.replace("PERSON:1a", "ORGANIZATION:ffff"))
        for id_, some in passages.items()
    }
    assert reader.read(passages, questions) == reader.read(other, questions)


def test_candidates_that_are_not_shown_are_left_out(reader: Reader) -> None:
    """An id without a passage is skipped; a question left with nothing is answered by the base rate."""
    passages = {"P1": Passage("P1", "", "This Agreement is governed by the laws of England.")}
    asked = {"Governing Law": [("P9", 0.9), ("P1", 0.9)], "Insurance": [("P9", 0.2)]}
    law, insurance = reader.read(passages, asked)
    assert law.ranking == ("P1",)
    assert insurance.ranking == ()
    assert insurance.probability < 0.5


def test_an_unknown_clause_is_refused(reader: Reader) -> None:
    """A question the weights know nothing of is an error that names it."""
    with pytest.raises(ValueError, match="Force Majeure"):
        reader.read({}, {"Force Majeure": []})
    assert reader.read({}, {}) == []


def test_the_weights_are_plain_and_small() -> None:
    """Arrays and JSON only, under nine megabytes, with the clauses in the order the code has."""
    assert (WEIGHTS / "clauses.npz").stat().st_size + (WEIGHTS / "clauses.json").stat().st_size < 9_000_000
    with np.load(WEIGHTS / "clauses.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "uif" for name in arrays.files)
    card = json.loads((WEIGHTS / "clauses.json").read_text("utf-8"))
    assert tuple(card["clauses"]) == CLAUSES


def test_the_weights_reached_the_bars_in_cross_validation() -> None:
    """The figures of the run that made the weights are those promised, held-out filers only."""
    figures = json.loads((WEIGHTS / "clauses.json").read_text("utf-8"))["cross_validated"]
    assert figures["presence_f1"] >= 0.845
    assert figures["presence_f1_kept"] >= 0.92
    assert 0.75 <= figures["answered"] <= 0.85
    assert figures["top3"] >= 0.965
    assert figures["calibration_error"] <= 0.03


def test_no_filer_is_in_two_folds() -> None:
    """Folds keep the contracts of one filer together, and are of like size."""
    groups = [f"filer {i % 17}" for i in range(100)]
    fold = data.folds(groups, 5, seed=0)
    assert all(len({fold[i] for i in range(g, 100, 17)}) == 1 for g in range(17))
    assert np.bincount(fold).min() >= 15


def test_the_shipped_pipeline_finds_the_gold_of_real_contracts(retriever: Retriever, reader: Reader) -> None:
    """On contracts of the training set, gold passages are among the top three, and presence is right: code and weights agree."""
    if not data.available():
        pytest.skip(f"CUAD is not at hand in {data.FOLDER}")
    right: list[bool] = []
    found: list[bool] = []
    for contract in data.read_contracts()[::40]:
        parts = segment(contract.text)
        for answer in reader.read(*prompt(retriever, contract.text)):
            if answer.clause not in CORE_CLAUSES:
                continue
            column = CLAUSES.index(answer.clause)
            right.append(answer.present == contract.present[column])
            top = [parts[int(id_[1:])] for id_ in answer.ranking[:3]]
            if contract.spans[column]:
                found.append(
                    any(min(t.end, b) > max(t.start, a) for t in top for a, b in contract.spans[column])
                )
    assert np.mean(right) > 0.9
    assert np.mean(found) > 0.95
