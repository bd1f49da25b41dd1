"""Documents from what runs: each line is tried, a line that does not hold is said, and nothing is called compliant."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from typer.testing import CliRunner

from seawall import Policy, Seawall, guards
from seawall.edge.art30 import as_markdown, record
from seawall.edge.cli import app
from seawall.edge.settings import read_settings
from seawall.evals import owasp, safe_harbor
from seawall.evals.probe import Line, Probe, show

COMMANDS = (["art30"], ["nist"], ["safe-harbor"], ["owasp"])


@pytest.mark.parametrize("command", COMMANDS)
def test_no_document_calls_anything_compliant(command: list[str]) -> None:
    """Nor certified; as text and as JSON each comes out."""
    for more in ([], ["--json"]):
        said = CliRunner().invoke(app, ["compliance", *command, *more], catch_exceptions=False)
        assert said.exit_code == 0, said.output
        assert not re.search(r"compliant|certified", said.output, re.IGNORECASE)
    assert json.loads(said.output)


async def test_every_line_of_the_catalogues_holds() -> None:
    """Eighteen identifiers, twenty risks; what is covered or partial is tried, what is not says what is left."""
    lines = [*safe_harbor.lines(), *owasp.LLM, *owasp.AGENTIC]
    shown = await show(lines)
    assert (len(safe_harbor.lines()), len(owasp.LLM), len(owasp.AGENTIC)) == (18, 10, 10)
    assert [one.line.id for one in shown if not one.holds] == []
    for line in lines:
        assert line.probes or line.coverage == "not covered"
        assert line.left or line.coverage != "not covered"


async def test_a_probe_that_fails_has_not_held() -> None:
    """Whether it says so or raises."""

    async def no() -> bool:
        return False

    async def breaks() -> bool:
        raise RuntimeError("jane.roe@example.com")

    (shown,) = await show([Line("x", "x", "covered", "", "", [Probe("one", no), Probe("two", breaks)])])
    assert not shown.holds
    assert shown.held == [("one", False, ""), ("two", False, "RuntimeError")]


def test_the_record_says_what_runs(tmp_path: Path) -> None:
    """Providers, agreements, guards, times and whoever answers for it, as the configuration has them."""

    class Elsewhere(TestModel):
        """A provider's model."""

        @property
        def system(self) -> str:
            """Return a provider."""
            return "openai"

    service = Seawall()
    policy = Policy(
        profile="gdpr", guards=[guards.injection()], processors={"openai": "DPA of 2026-03-01, US, SCC"}
    )
    service.add(Agent(Elsewhere(), name="clerk"), policy, description="Answers questions on accounts.")
    file = tmp_path / "seawall.toml"
    file.write_text(
        'profile = "gdpr"\n[controller]\nname = "Harbour Bank"\ncontact = "privacy@harbour.example"\n'
        'people = ["customers"]\n[retention]\ncontent = "7d"\n[retention.tenants.acme]\ncontent = "1d"\n'
    )
    told: dict[str, Any] = record(service, read_settings(file))
    assert told["missing"] == []
    assert told["controller"]["name"] == "Harbour Bank"
    assert told["purposes"] == ["clerk: Answers questions on accounts."]
    assert told["recipients"] == ["provider of models: openai"]
    assert told["transfers"] == ["DPA of 2026-03-01, US, SCC"]
    kept = {(one["tenant"], one["class"]): one["kept"] for one in told["time_limits"]}
    assert (kept["everybody", "content"], kept["acme", "content"], kept["everybody", "audit"]) == (
        "7d",
        "1d",
        "183d",
    )
    assert "injection, pseudonymise" in " ".join(told["security_measures"])
    assert "Harbour Bank" in as_markdown(told)
