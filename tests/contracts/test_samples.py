"""The sample contracts: complete, rebuilt byte for byte, and as hostile as they claim to be."""

import json
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import TypedDict, cast

import pytest

from seawall_contracts.documents import extract
from seawall_contracts.facts import read_facts
from seawall_contracts.finder.hypotheses import HYPOTHESES
from seawall_contracts.finder.names import CLAUSES, CORE_CLAUSES
from seawall_contracts.playbooks import judge, load_playbook, select_playbook
from seawall_contracts.schema import Finding, NdaAnswer, Outcome, Route, Span

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FILES = sorted((EXAMPLES / "contracts").iterdir())


class Expected(TypedDict):
    """What an experienced reader finds in a sample."""

    document_type: str
    governing_law: str | None
    must_be_present: list[str]
    must_be_absent: list[str]
    alert: bool


EXPECTED = cast("dict[str, Expected]", json.loads((EXAMPLES / "expected.json").read_text(encoding="utf-8")))


def test_every_sample_is_described() -> None:
    """Each contract has its expected reading and its line in the README; nothing else lies in the folder."""
    assert sorted(EXPECTED) == [path.name for path in FILES]
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in EXPECTED if f"`{name}`" not in readme] == []


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_expected_reading_is_consistent(name: str) -> None:
    """Expected clauses are real clause names, and none is both present and absent."""
    present, absent = set(EXPECTED[name]["must_be_present"]), set(EXPECTED[name]["must_be_absent"])
    assert present | absent <= set(CLAUSES)
    assert not present & absent


def test_samples_are_rebuilt_byte_for_byte() -> None:
    """The rendered contracts are exactly what their sources give, whatever the day and the machine."""
    script = ROOT / "scripts" / "build_samples.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_samples_can_be_read_and_do_not_repeat_each_other() -> None:
    """Every sample gives text; no long paragraph stands in two of them; five are as long as real agreements."""
    texts = {path.name: extract(path).text for path in FILES}
    seen = Counter(
        line
        for text in texts.values()
        for line in {line.strip() for line in text.split("\n")}
        if len(line) > 80
    )
    assert [line for line, times in seen.items() if times > 1] == []
    assert sum(len(text.split()) >= 2_500 for text in texts.values()) >= 5
    assert min(len(text.split()) for text in texts.values()) > 400


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected["alert"]])
def test_hostile_samples_hide_orders_in_white_text_and_in_a_footnote(name: str) -> None:
    """The attacks are where the README says: a white run, a real footnotes part, and the open text."""
    path = EXAMPLES / "contracts" / name
    with zipfile.ZipFile(path) as archive:
        body = archive.read("word/document.xml").decode()
        notes = archive.read("word/footnotes.xml").decode()
    assert 'w:val="FFFFFF"' in body
    assert "footnoteReference" in body
    assert "model" in notes
    assert "white text" in {hidden.why for hidden in extract(path).hidden}


NDA_ANSWERS = {
    "nda-3": "“Confidential Information” means",
    "nda-4": "3.1 The Receiving",
    "nda-5": "3.2 The Receiving",
    "nda-7": "3.3 The Receiving",
    "nda-8": "If the Receiving Party is required",
    "nda-12": "(d) is independently",
    "nda-13": "(c) is received",
    "nda-15": "All Confidential Information remains",
    "nda-16": "Upon the termination",
    "nda-19": "This Agreement begins",
    "nda-20": "Upon the termination",
}
NDA_CLAUSES = {
    "Governing Law": "This Agreement shall be governed",
    "Expiration Date": "This Agreement begins",
    "Anti-Assignment": "This is the entire",
}
MSA_CLAUSES = {
    "Cap On Liability": "12.1 ",
    "Uncapped Liability": "12.3 ",
    "Insurance": "13.1 ",
    "Anti-Assignment": "16.1 ",
    "Expiration Date": "14.1 ",
    "Renewal Term": "14.2 ",
    "Termination For Convenience": "14.3 ",
    "Ip Ownership Assignment": "7.1 ",
    "Audit Rights": "6.2 ",
    "Governing Law": "15.2 ",
}
FRAMEWORK_CLAUSES = {
    "Uncapped Liability": "11.2 ",
    "Governing Law": "17.2 ",
    "Termination For Convenience": "15.1 ",
}


def perfect(name: str, clauses: dict[str, str], answers: dict[str, str]) -> tuple[Route, dict[str, Outcome]]:
    """The route and the rules that are not kept to, had a perfect reader found these paragraphs and no others."""
    text = extract(EXAMPLES / "contracts" / name).text

    def spans(opening: str) -> tuple[Span, ...]:
        start = text.index(f"\n{opening}") + 1
        # Paragraphs of a PDF have no blank line after them; the next numbered one is near enough.
        end = text.find("\n", start + 300 if name.endswith(".pdf") else start)
        return (Span(start=start, end=end, quote=text[start:end]),)

    found = [
        Finding(
            clause=clause,
            present=clause in clauses,
            score=0.99,
            abstained=False,
            spans=spans(clauses[clause]),
        )
        if clause in clauses
        else Finding(clause=clause, present=False, score=0.01, abstained=False)
        for clause in CORE_CLAUSES
    ]
    nda = [
        NdaAnswer(
            id=id_,
            hypothesis=text_,
            label="Entailment",
            score=0.99,
            abstained=False,
            spans=spans(answers[id_]),
        )
        if id_ in answers
        else NdaAnswer(id=id_, hypothesis=text_, label="NotMentioned", score=0.99, abstained=False)
        for id_, text_ in HYPOTHESES.items()
    ]
    facts = read_facts(text)
    playbook = load_playbook(select_playbook(facts.document_type))
    verdict, _, route, _ = judge(playbook, found, nda, facts, ())
    return route, {rule.rule: rule.outcome for rule in verdict.rules if rule.outcome != "compliant"}


def test_clean_nda_is_accepted_on_a_perfect_reading() -> None:
    """Playbook, rules and sample fit together: the clean NDA keeps to every rule."""
    assert perfect("mutual-nda-clean.docx", NDA_CLAUSES, NDA_ANSWERS) == ("accept", {})


def test_clean_msa_is_accepted_on_a_perfect_reading() -> None:
    """The balanced agreement keeps to every rule, its exceptions to the cap included."""
    assert perfect("msa-balanced.docx", MSA_CLAUSES, {}) == ("accept", {})


def test_unlimited_liability_is_escalated_on_a_perfect_reading() -> None:
    """No cap, and liability that is unlimited as such: both critical rules are broken."""
    route, open_rules = perfect("framework-unlimited-liability.pdf", FRAMEWORK_CLAUSES, {})
    assert route == "escalate"
    assert open_rules["liability-cap"] == "missing"
    assert open_rules["uncapped-liability"] == "deviation"
    assert "governing-law" not in open_rules
    assert "termination-for-convenience" not in open_rules
