"""`seawall roi` from a shell: the fixed numbers, the page, a ledger, and what is refused."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from seawall.edge.cli import app
from seawall.foundation.economics.ledger import Ledger
from tests.edge.desk import transaction


def told(*arguments: str) -> dict[str, Any]:
    """Return what it says as JSON."""
    said = CliRunner().invoke(app, ["roi", "--json", *arguments], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


def test_the_defaults_are_the_case_to_beat() -> None:
    """With everything that the interface promises."""
    found = told()
    assert found["manual_total_usd"] == 136656
    for name in (
        "assumptions",
        "ai_total_usd",
        "saving_usd",
        "saving_percent",
        "break_even_contracts",
        "warnings",
    ):
        assert name in found
    assert found["warnings"] == []


def test_what_is_given_counts() -> None:
    """Options are taken, and what they contradict is said."""
    found = told(
        "--contracts",
        "1,000",
        "--cost-per-contract",
        "$60",
        "--infrastructure-month",
        "2000",
        "--hourly-usd",
        "64",
    )
    assert found["manual_total_usd"] == 60000
    assert len([one for one in found["warnings"] if "one of the three is wrong" in one]) == 1
    assert any("components listed come to $4,000" in one for one in found["warnings"])


def test_a_ledger_is_measured(tmp_path: Path) -> None:
    """The models' cost is the ledger's, and its spread is in the interval."""
    ledger = Ledger(tmp_path / "ledger.db")
    for number in range(40):
        row = transaction("acme", "s-1", 0.0)
        ledger.append(replace(row, cost_usd=Decimal(number) / 100))
    ledger.close()
    found = told("--ledger", str(tmp_path / "ledger.db"))
    assert found["assumptions"]["model_usd"] == 0.195
    assert found["measured"]["transactions"] == 40


def test_a_page_and_a_table_are_drawn(tmp_path: Path) -> None:
    """The same numbers, for a person."""
    page = tmp_path / "roi.html"
    said = CliRunner().invoke(app, ["roi", "--html", str(page)], catch_exceptions=False)
    assert "136,656.00" in said.output
    assert "█" in said.output
    text = page.read_text()
    assert "136,656" in text
    assert "<svg" in text
    assert "[[component]]" in CliRunner().invoke(app, ["roi", "--stack"]).output


def test_what_is_no_number_is_refused() -> None:
    """With the option's name."""
    said = CliRunner().invoke(app, ["roi", "--contracts", "many"])
    assert said.exit_code != 0
    assert "--contracts" in str(said.exception)
