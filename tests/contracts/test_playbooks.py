"""Playbooks: what they may say, what is said of one that is wrong, and how documents are judged by them."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall_contracts.playbooks import (
    BUILT_IN,
    Playbook,
    PlaybookError,
    judge,
    load_playbook,
    select_playbook,
)
from seawall_contracts.playbooks.limits import period_days
from seawall_contracts.schema import Alert, Fact, Facts, Finding, NdaAnswer, Outcome, RuleVerdict, Span

GOOD = '''# a house playbook
name = "house"
version = "1"
title = "Our positions"

[[rule]]
id = "law"
title = "A law we know"
clause = "Governing Law"
position = "required"
severity = "medium"
why = """We know it.
id = "not a key, but text" """
preferred = "New York."
fallback = "Delaware."
decides = "Disputes counsel"
[rule.limits]
governing_law = [
  "New York",
  "Delaware",
]

[[rule]]
id = "purpose"
title = "Use limited"
hypothesis = "nda-4"
expect = ["Entailment"]
severity = "critical"
why = "Else they build on it"
preferred = "Only for the Purpose."
fallback = "As agreed in writing."
decides = "General Counsel"
'''
ADDRESSED = Alert(kind="text addressed to the reviewer", why="it speaks to whoever reviews it")
RULE = {"severity": "high", "why": "w", "preferred": "p", "fallback": "f", "decides": "d", "title": "t"}
RISKS = ("low", "medium", "high", "critical")
ROUTES = ("accept", "legal review", "escalate")


def book(*rules: Mapping[str, object]) -> Playbook:
    """A playbook of these rules, each filled up with what every rule must have."""
    filled = [{**RULE, "id": f"r{number}", **rule} for number, rule in enumerate(rules)]
    return Playbook.model_validate({"name": "x", "version": "1", "title": "x", "rule": filled})


def span(quote: str, start: int = 0) -> Span:
    """A passage at a place."""
    return Span(start=start, end=start + len(quote), quote=quote)


def finding(clause: str, *quotes: str, present: bool = True, abstained: bool = False) -> Finding:
    """A finding with its passages one after the other, 1,000 characters apart."""
    spans = tuple(span(quote, 1000 * number) for number, quote in enumerate(quotes))
    return Finding(clause=clause, present=present, score=0.9, abstained=abstained, spans=spans)


def only(playbook: Playbook, *findings: Finding, facts: Facts | None = None) -> RuleVerdict:
    """The verdict of a playbook's only rule."""
    verdict, _, _, _ = judge(playbook, findings, (), facts or Facts(), ())
    assert len(verdict.rules) == 1
    return verdict.rules[0]


def period(kind: str, value: str, words: str, start: int) -> Fact:
    """A fact of time."""
    return Fact(kind=kind, value=value, span=span(words, start))


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_playbooks_load(name: str) -> None:
    """The playbooks that come with the program are valid, and named as they are asked for."""
    playbook = load_playbook(name)
    assert playbook.name == name
    assert len(playbook.rules) >= 12
    assert playbook.asks_nda == (name == "nda")


def test_own_playbook_loads_by_path_and_its_digest_ignores_formatting(tmp_path: Path) -> None:
    """A house's own file is read; comments do not change what it says, words do."""
    path, commented, changed = tmp_path / "a.toml", tmp_path / "b.toml", tmp_path / "c.toml"
    path.write_text(GOOD)
    commented.write_text("# more\n" + GOOD)
    changed.write_text(GOOD.replace("Use limited", "Use is limited"))
    playbook = load_playbook(str(path))
    assert [rule.id for rule in playbook.rules] == ["law", "purpose"]
    assert playbook.asks_nda
    assert playbook.digest == load_playbook(str(commented)).digest
    assert playbook.digest != load_playbook(str(changed)).digest


@pytest.mark.parametrize(
    ("right", "wrong", "line", "message"),
    [
        (
            '"Governing Law"',
            '"Goverming Law"',
            9,
            "unknown clause 'Goverming Law' in rule 'law'; did you mean 'Governing Law'?",
        ),
        ('"Governing Law"', '"governing law"', 9, "did you mean 'Governing Law'?"),
        ('"nda-4"', '"nda-6"', 26, "unknown hypothesis 'nda-6' in rule 'purpose'; did you mean 'nda-"),
        (
            '"critical"',
            '"crtical"',
            28,
            "unknown severity 'crtical' in rule 'purpose'; did you mean 'critical'?",
        ),
        (
            '["Entailment"]',
            '["Entailed"]',
            27,
            "unknown label 'Entailed' in rule 'purpose'; did you mean 'Entailment'?",
        ),
        (
            '"required"',
            '"requierd"',
            10,
            "unknown position 'requierd' in rule 'law'; did you mean 'required'?",
        ),
        ('"required"', '"required"\non_breach = "deviaton"', 11, "unknown outcome 'deviaton'"),
        ('decides = "Disputes counsel"\n', "", 6, "missing key 'decides' in rule 'law'"),
        ('version = "1"\n', "", 1, "missing key 'version'"),
        (
            'preferred = "New',
            'prefered = "New',
            14,
            "unknown key 'prefered' in rule 'law'; did you mean 'preferred'?",
        ),
        (
            "governing_law = [",
            "governing_laws = [",
            18,
            "unknown key 'governing_laws' in rule 'law'; did you mean 'governing_law'?",
        ),
        ('title = "Our', 'titel = "Our', 4, "unknown key 'titel'; did you mean 'title'?"),
        ('id = "purpose"', 'id = "law"', 24, "duplicate rule id 'law'"),
        ('"A law we know"', "7", 8, "key 'title' in rule 'law': must be text in quotes"),
        (
            'expect = ["Entailment"]',
            'expect = "Entailment"',
            27,
            "key 'expect' in rule 'purpose': must be a list",
        ),
        (
            "governing_law = [",
            'notice_at_most_days = "30"\ngoverning_law = [',
            18,
            "must be a whole number, without quotes",
        ),
        ("governing_law = [", "notice_at_most_days = -1\ngoverning_law = [", 18, "must not be negative"),
        ('position = "required"\n', "", 6, "clause and position go together"),
        (
            'hypothesis = "nda-4"',
            'hypothesis = "nda-4"\nclause = "Insurance"\nposition = "allowed"',
            23,
            "exactly one of",
        ),
        ('"required"', '"prohibited"', 6, "limits belong to a clause that is required or allowed"),
        ('name = "house"', "name = house", 2, "not valid TOML"),
        ('title = "Use limited"', 'title = "Use limited', 25, "not valid TOML"),
    ],
)
def test_mistake_is_named_with_file_line_and_nearest_name(
    tmp_path: Path, right: str, wrong: str, line: int, message: str
) -> None:
    """Whoever wrote the playbook learns which file, which line, what is wrong and what was probably meant."""
    path = tmp_path / "house.toml"
    assert right in GOOD
    path.write_text(GOOD.replace(right, wrong, 1))
    with pytest.raises(PlaybookError) as raised:
        load_playbook(str(path))
    assert f"{path}, line {line}" in str(raised.value)
    assert message in str(raised.value)


def test_further_mistakes_are_counted(tmp_path: Path) -> None:
    """The first mistake is shown in full; that there are more is said."""
    path = tmp_path / "house.toml"
    path.write_text(GOOD.replace('"medium"', '"midium"').replace('"nda-4"', '"nda-400"'))
    with pytest.raises(PlaybookError, match=r"line 11: .*\(1 more mistake after it\)"):
        load_playbook(str(path))


def test_single_brackets_for_a_rule_are_explained(tmp_path: Path) -> None:
    """The commonest slip of TOML beginners gets advice, not a type error."""
    path = tmp_path / "house.toml"
    path.write_text(GOOD[: GOOD.index("[[rule]]", 100)].replace("[[rule]]", "[rule]"))
    with pytest.raises(PlaybookError, match=r"\[\[rule\]\]"):
        load_playbook(str(path))


def test_unknown_name_suggests_a_built_in() -> None:
    """A misspelt built-in is answered with the right one."""
    with pytest.raises(PlaybookError, match="did you mean 'nda'"):
        load_playbook("ndaa")


def test_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """A Word file given as a playbook is refused with the line where it stops being text."""
    path = tmp_path / "house.toml"
    path.write_bytes(b"name = 'x'\n\xff\xfe\x00")
    with pytest.raises(PlaybookError, match="line 2: not UTF-8"):
        load_playbook(str(path))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), st.integers(0, len(GOOD)))
def test_broken_file_raises_only_playbook_error(
    tmp_path_factory: pytest.TempPathFactory, junk: str, at: int
) -> None:
    """Whatever is typed into a playbook, the answer is a playbook or a PlaybookError with a line."""
    path = tmp_path_factory.mktemp("fuzz") / "house.toml"
    path.write_text(GOOD[:at] + junk + GOOD[at:], encoding="utf-8", newline="")
    message = "line"
    try:
        load_playbook(str(path))
    except PlaybookError as error:
        message = str(error)
    assert "line" in message


@pytest.mark.parametrize(
    ("document_type", "name"),
    [
        ("nda", "nda"),
        ("Non-Disclosure Agreement", "nda"),
        ("msa", "msa"),
        ("license", "msa"),
        ("other", "msa"),
    ],
)
def test_playbook_follows_the_document_type(document_type: str, name: str) -> None:
    """NDAs are judged as NDAs; everything else as a commercial contract."""
    assert select_playbook(document_type) == name


@pytest.mark.parametrize(
    ("position", "found", "outcome"),
    [
        ("required", finding("Insurance", "shall insure"), "compliant"),
        ("required", finding("Insurance", present=False), "missing"),
        ("prohibited", finding("Insurance", "shall insure"), "deviation"),
        ("prohibited", finding("Insurance", "perhaps", present=False), "compliant"),
        ("allowed", finding("Insurance", "shall insure"), "compliant"),
        ("allowed", finding("Insurance", present=False), "compliant"),
        ("prohibited", finding("Insurance", present=False, abstained=True), "needs a lawyer"),
        ("required", finding("Insurance", "x", abstained=True), "needs a lawyer"),
        ("required", finding("Insurance"), "needs a lawyer"),
        ("allowed", finding("Audit Rights", "x"), "needs a lawyer"),
    ],
)
def test_clause_rules(position: str, found: Finding, outcome: Outcome) -> None:
    """Each position gives its outcome; weak, unshown or missing findings always ask for a lawyer."""
    assert only(book({"clause": "Insurance", "position": position}), found).outcome == outcome


@pytest.mark.parametrize("position", ["prohibited", "allowed"])
def test_watched_words_in_a_passage_judged_otherwise_need_a_lawyer(position: str) -> None:
    """A reader that missed a clause whose plain words stand in its candidates is not believed."""
    playbook = book({"clause": "Uncapped Liability", "position": position, "watch_for": ["is unlimited"]})
    absent = finding("Uncapped Liability", "The Buyer pays.", "Liability is\nunlimited.", present=False)
    verdict = only(playbook, absent)
    assert verdict.outcome == "needs a lawyer"
    assert [passage.quote for passage in verdict.spans] == ["Liability is\nunlimited."]
    assert (
        only(playbook, finding("Uncapped Liability", "The Buyer pays.", present=False)).outcome == "compliant"
    )


def test_rule_for_other_documents_is_left_out() -> None:
    """A rule for services says nothing of a distribution agreement."""
    playbook = book(
        {"clause": "Insurance", "position": "required", "applies_to": ["services"]},
        {"clause": "Audit Rights", "position": "allowed"},
    )
    for kind, rules in (("services", ["r0", "r1"]), ("distribution", ["r1"])):
        verdict, _, _, _ = judge(playbook, (), (), Facts(document_type=kind), ())
        assert [rule.rule for rule in verdict.rules] == rules


@pytest.mark.parametrize(
    ("end", "outcome"), [(date(2026, 12, 31), "compliant"), (date(2035, 1, 1), "deviation")]
)
def test_initial_term_is_read_from_dates_where_no_period_is_stated(end: date, outcome: Outcome) -> None:
    """An agreement that only names its last day has a term all the same; a renewal is not dated by it."""
    facts = Facts(effective_date=date(2025, 1, 1), expiration_date=end)
    for clause, expected in (("Expiration Date", outcome), ("Renewal Term", "needs a lawyer")):
        rule = {"clause": clause, "position": "allowed", "limits": {"term_at_most_days": 1096}}
        assert only(book(rule), finding(clause, "ends on its last day"), facts=facts).outcome == expected


def test_contradictory_findings_need_a_lawyer() -> None:
    """Two findings of one clause that disagree are conflicting evidence, whatever the position."""
    found = [finding("Insurance", "x"), finding("Insurance", present=False)]
    assert only(book({"clause": "Insurance", "position": "allowed"}), *found).outcome == "needs a lawyer"


@pytest.mark.parametrize(
    ("law", "outcome"),
    [
        ("New York", "compliant"),
        ("State of New York", "compliant"),
        ("Nevada", "deviation"),
        (None, "needs a lawyer"),
    ],
)
def test_governing_law_limit(law: str | None, outcome: Outcome) -> None:
    """A law on the list keeps to the rule, another breaks it, an unreadable one is a lawyer's."""
    rule = {"clause": "Governing Law", "position": "required", "limits": {"governing_law": ["New York"]}}
    verdict = only(book(rule), finding("Governing Law", "governed by"), facts=Facts(governing_law=law))
    assert verdict.outcome == outcome


RENEWAL = "renews for one (1) year unless a party gives ninety (90) days' prior written notice."


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ({"notice_at_most_days": 90, "term_at_most_days": 365}, "compliant"),
        ({"notice_at_most_days": 60}, "deviation"),
        ({"notice_at_least_days": 120}, "deviation"),
        ({"term_at_most_days": 180}, "deviation"),
    ],
)
@pytest.mark.parametrize("kinds", [("duration", "duration"), ("renewal_term", "notice period")])
def test_period_limits_tell_notice_from_term(
    limits: dict[str, int], outcome: Outcome, kinds: tuple[str, str]
) -> None:
    """Notice and term are read from the same sentence, by the fact's kind or by the words that follow."""
    year, days = RENEWAL.index("one"), RENEWAL.index("ninety")
    facts = Facts(
        facts=(
            period(kinds[0], "P1Y", "one (1) year", year),
            period(kinds[1], "P90D", "ninety (90) days", days),
            period("duration", "P9Y", "nine years", 5000),
        )
    )
    rule = {"clause": "Renewal Term", "position": "allowed", "limits": limits}
    assert only(book(rule), finding("Renewal Term", RENEWAL), facts=facts).outcome == outcome


def test_period_of_a_lesser_passage_never_decides() -> None:
    """A period that stands in another candidate only may belong to another clause: a lawyer reads it."""
    facts = Facts(facts=(period("notice period", "P30D", "thirty days", 1000),))
    rule = {"clause": "Renewal Term", "position": "allowed", "limits": {"notice_at_most_days": 90}}
    verdict = only(book(rule), finding("Renewal Term", "renews yearly", "thirty days notice"), facts=facts)
    assert verdict.outcome == "needs a lawyer"


def test_two_periods_on_both_sides_of_the_limit_conflict() -> None:
    """Thirty days in one half of the clause and two hundred in the other is no clear answer."""
    text = "on thirty days' notice, or two hundred days' notice"
    facts = Facts(
        facts=(period("notice", "P30D", "thirty days", 3), period("notice", "P200D", "two hundred days", 27))
    )
    rule = {"clause": "Renewal Term", "position": "allowed", "limits": {"notice_at_most_days": 90}}
    assert only(book(rule), finding("Renewal Term", text), facts=facts).outcome == "needs a lawyer"


@pytest.mark.parametrize(
    ("limits", "quotes", "outcome"),
    [
        ({"contains": ["neither party"]}, ("Neither\n  Party may assign",), "compliant"),
        ({"contains": ["neither party"]}, ("Supplier may not assign",), "deviation"),
        ({"contains": ["neither party"]}, ("Supplier may not assign", "neither party"), "needs a lawyer"),
        ({"contains": ["mutual"]}, ("as mutually agreed",), "deviation"),
        ({"excludes": ["sole discretion"]}, ("in its Sole Discretion",), "deviation"),
        ({"excludes": ["sole discretion"]}, ("reasonably",), "compliant"),
        ({"excludes": ["sole discretion"]}, ("reasonably", "in its sole discretion"), "needs a lawyer"),
    ],
)
def test_phrase_limits(limits: dict[str, list[str]], quotes: tuple[str, ...], outcome: Outcome) -> None:
    """Phrases match whole words whatever the case and line breaks; lesser passages raise a question only."""
    rule = {"clause": "Anti-Assignment", "position": "required", "limits": limits}
    assert only(book(rule), finding("Anti-Assignment", *quotes)).outcome == outcome


def test_limit_can_be_a_question_instead_of_a_deviation() -> None:
    """A house may want a lawyer to look where the words are not the expected ones."""
    rule = {
        "clause": "Insurance",
        "position": "required",
        "on_breach": "needs a lawyer",
        "limits": {"contains": ["cyber"]},
    }
    assert only(book(rule), finding("Insurance", "fire")).outcome == "needs a lawyer"


@pytest.mark.parametrize(
    ("cap", "uncapped", "outcome"),
    [
        (
            finding("Cap On Liability", "not exceed the fees"),
            finding("Uncapped Liability", present=False),
            "compliant",
        ),
        (
            finding("Cap On Liability", "not exceed the fees"),
            finding("Uncapped Liability", "is unlimited"),
            "needs a lawyer",
        ),
        (
            finding("Cap On Liability", "fees, except for fraud"),
            finding("Uncapped Liability", "fraud"),
            "compliant",
        ),
        (
            finding("Cap On Liability", "x"),
            finding("Uncapped Liability", "y", abstained=True),
            "needs a lawyer",
        ),
        (
            finding("Cap On Liability", present=False),
            finding("Uncapped Liability", "y", abstained=True),
            "compliant",
        ),
    ],
)
def test_conflict_rule(cap: Finding, uncapped: Finding, outcome: Outcome) -> None:
    """A cap and unlimited liability conflict unless the text reconciles them or one is surely absent."""
    rule = {"conflict": ["Cap On Liability", "Uncapped Liability"], "reconciled_by": ["except for"]}
    assert only(book(rule), cap, uncapped).outcome == outcome


def test_two_governing_laws_need_a_lawyer() -> None:
    """A document that names two laws contradicts itself; naming one of them twice it does not."""
    rule = {"one_value_of": "governing law"}
    facts = [
        Fact(kind="governing_law", value=law, span=span(law)) for law in ("New York", "new york", "England")
    ]
    assert only(book(rule), facts=Facts(facts=tuple(facts[:2]))).outcome == "compliant"
    verdict = only(book(rule), facts=Facts(facts=tuple(facts)))
    assert verdict.outcome == "needs a lawyer"
    assert [passage.quote for passage in verdict.spans] == ["New York", "England"]


@pytest.mark.parametrize(
    ("label", "abstained", "quotes", "outcome"),
    [
        ("Entailment", False, ("only",), "compliant"),
        ("Entailment", False, (), "needs a lawyer"),
        ("Entailment", True, ("only",), "needs a lawyer"),
        ("Contradiction", False, ("any",), "deviation"),
        ("NotMentioned", False, (), "missing"),
    ],
)
def test_hypothesis_rules(label: str, abstained: bool, quotes: tuple[str, ...], outcome: Outcome) -> None:
    """The expected answer, with evidence and without abstention, is the only compliant one."""
    answer = NdaAnswer.model_validate(
        {"id": "nda-4", "hypothesis": "h", "label": label, "score": 0.9, "abstained": abstained}
        | {"spans": [span(quote) for quote in quotes]}
    )
    playbook = book({"hypothesis": "nda-4", "expect": ["Entailment"]})
    verdict, _, _, _ = judge(playbook, (), (answer,), Facts(), ())
    assert verdict.rules[0].outcome == outcome


def test_open_rule_says_what_why_who_and_the_fallback() -> None:
    """A reader of the report gets the finding, the reason, who decides and the wording to offer; others do not."""
    rule = {"clause": "Insurance", "position": "required"}
    missing = only(book(rule), finding("Insurance", present=False))
    assert missing.why == "Required, and not found in the document. W. Decides: d."
    assert missing.fallback == "f"
    assert only(book(rule), finding("Insurance", "x")).fallback == ""


def test_text_addressed_to_the_reviewer_escalates_a_spotless_contract() -> None:
    """A contract that speaks to its reviewer is escalated at high risk, however well it reads."""
    playbook, found = book({"clause": "Insurance", "position": "required"}), (finding("Insurance", "x"),)
    _, risk, route, reasons = judge(playbook, found, (), Facts(), ())
    assert (risk, route) == ("low", "accept")
    assert reasons == ("all 1 rules of the playbook are kept to",)
    _, risk, route, reasons = judge(playbook, found, (), Facts(), (ADDRESSED,))
    assert (risk, route) == ("high", "escalate")
    assert reasons == ("alert: text addressed to the reviewer",)


def test_nothing_found_at_all_is_never_accepted() -> None:
    """An empty reading gives questions for a lawyer, not an acceptance."""
    for name in BUILT_IN:
        _, _, route, _ = judge(load_playbook(name), (), (), Facts(document_type=name), ())
        assert route != "accept"


def test_document_of_another_type_is_never_accepted() -> None:
    """A playbook for NDAs does not clear a lease, even if every rule happens to be kept to."""
    rule = RULE | {"id": "a", "clause": "Insurance", "position": "required"}
    data = {"name": "x", "version": "1", "title": "x", "document_types": ["nda"], "rule": [rule]}
    playbook, found = Playbook.model_validate(data), (finding("Insurance", "x"),)
    assert judge(playbook, found, (), Facts(document_type="nda"), ())[2] == "accept"
    assert judge(playbook, found, (), Facts(document_type="lease"), ())[1:3] == ("medium", "legal review")


STATES: tuple[tuple[Outcome, Finding], ...] = (
    ("compliant", finding("Insurance", "x")),
    ("needs a lawyer", finding("Insurance", "x", abstained=True)),
    ("missing", finding("Insurance", present=False)),
)
CLAUSES = ("Insurance", "Audit Rights", "Exclusivity", "Non-Compete")


@given(
    st.lists(st.tuples(st.sampled_from(RISKS), st.integers(0, 2)), min_size=4, max_size=4),
    st.integers(0, 3),
    st.lists(st.sampled_from([ADDRESSED, Alert(kind="text hidden from the reader", why="w")]), max_size=2),
    st.booleans(),
)
def test_worse_never_lowers_risk_or_eases_the_route(
    rules: list[tuple[str, int]], worsened: int, alerts: list[Alert], abstaining: bool
) -> None:
    """Making any one rule's outcome worse, or adding an alert, never lowers the risk nor eases the route."""
    playbook = book(
        *(
            {"clause": clause, "position": "required", "severity": severity}
            for clause, (severity, _) in zip(CLAUSES, rules, strict=True)
        )
    )

    def outcome(states: list[int], alerts: list[Alert]) -> tuple[int, int]:
        found = [
            STATES[state][1].model_copy(update={"clause": name})
            for name, state in zip(CLAUSES, states, strict=True)
        ]
        verdict, risk, route, _ = judge(playbook, found, (), Facts(), alerts)
        assert [rule.outcome for rule in verdict.rules] == [STATES[state][0] for state in states]
        assert route != "accept" or not any(states)
        return RISKS.index(risk), ROUTES.index(route)

    states = [state for _, state in rules]
    before = outcome(states, alerts)
    worse = [max(state, 1 if abstaining else 2) if n == worsened else state for n, state in enumerate(states)]
    for after in (outcome(worse, alerts), outcome(states, [*alerts, ADDRESSED])):
        assert after[0] >= before[0]
        assert after[1] >= before[1]


@pytest.mark.parametrize(
    ("value", "days"),
    [
        ("P30D", 30),
        ("P2Y", 730),
        ("P1Y6M", 545),
        ("P2W", 14),
        ("30 days", 30),
        ("1 month", 30),
        ("30", None),
        ("P", None),
    ],
)
def test_periods_are_read_as_days(value: str, days: int | None) -> None:
    """Periods in ISO 8601 or plain words are days; anything else is no period."""
    assert period_days(value) == days
