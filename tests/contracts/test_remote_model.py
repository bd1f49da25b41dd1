"""A remote model as the reviewer, over a real socket: what it is shown, what it is believed, what if it is down."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seawall.testing import MockProvider, Mode, call_output_tool
from seawall_contracts.reading import Questions, parse_prompt
from tests.contracts.conftest import Command, Reviewed

Sample = Callable[[str], bytes]
MODEL = "openai-chat:gpt-5-mini"
MAIL = "zebedee.quillfeather@example.org"
FAR_AWAY = "The zymurgy appendix lists seventeen copper kettles."
LAW = f"Governing Law. This Agreement is governed by the laws of the State of Delaware; notices go to {MAIL}."
FABRICATED = "The Supplier shall pay one million dollars to whoever asks."
NOISE = "\n\n".join(f"{n}. {FAR_AWAY} Kettle {n} is polished weekly." for n in range(60, 90))


def prompt_of(request: dict[str, Any]) -> str:
    return next(message["content"] for message in request["messages"] if message["role"] == "user")


def questions_of(request: dict[str, Any]) -> Questions:
    return parse_prompt(prompt_of(request))


def honest(request: dict[str, Any]) -> dict[str, Any]:
    """Say that everything is there, and quote the first line of the best passage as it came over the wire."""
    asked = questions_of(request)
    texts = {block.id: block.text for block in asked.passages}
    clauses = [
        {
            "clause": clause,
            "present": True,
            "confidence": 0.9,
            "evidence": [{"passage": best[0][0], "quote": texts[best[0][0]]}],
        }
        for clause, best in asked.clauses.items()
    ]
    hypotheses = [{"id": id_, "label": "NotMentioned", "confidence": 0.9} for id_ in asked.hypotheses]
    return call_output_tool(request, {"clauses": clauses, "hypotheses": hypotheses})


def lying(request: dict[str, Any]) -> dict[str, Any]:
    asked = questions_of(request)
    clauses = [
        {
            "clause": clause,
            "present": True,
            "confidence": 1.0,
            "evidence": [{"passage": best[0][0], "quote": FABRICATED}, {"passage": best[0][0]}],
        }
        for clause, best in asked.clauses.items()
    ]
    return call_output_tool(request, {"clauses": clauses})


@pytest.fixture
def contract(tmp_path: Path, sample: Sample) -> Path:
    """One contract with a person's address in a clause and much that no question is about."""
    path = tmp_path / "contract.txt"
    text = sample("freight-services.md").decode()
    path.write_text(f"{text}\n\n50. {LAW}\n\n{NOISE}\n", encoding="utf-8")
    return path


def review(command: Command, provider: MockProvider, *arguments: str | Path, model: str = MODEL) -> Reviewed:
    env = {"OPENAI_BASE_URL": provider.url, "OPENAI_API_KEY": "test"}
    return command.review(*arguments, "--model", model, env=env)


def test_passages_only_pseudonyms_on_the_wire_and_a_price(command: Command, contract: Path) -> None:
    """The provider sees retrieved passages and tokens for people; the results have the people back, and a price."""
    with MockProvider(honest) as provider:
        done = review(command, provider, contract)
    assert done.code == 0, done.stderr
    wire = json.dumps(provider.requests, ensure_ascii=False)
    assert len(provider.requests) == 1
    assert MAIL not in wire
    assert re.search(r"⟦EMAIL_ADDRESS:[0-9a-f]+⟧", wire)
    assert wire.count(FAR_AWAY) < NOISE.count(FAR_AWAY) // 2
    text = contract.read_text(encoding="utf-8")
    assert len(prompt_of(provider.requests[0])) < len(text) + 4000
    (row,) = done.lines
    law = next(finding for finding in row["findings"] if finding["clause"] == "Governing Law")
    assert (law["abstained"], MAIL in law["spans"][0]["quote"], law["failed_quotes"]) == (False, True, 0)
    spent = row["transaction"]
    assert (spent["degradation"], spent["input_tokens"], spent["output_tokens"]) == ("full", 1000, 100)
    assert 0 < spent["cost_usd"] < 0.01
    assert done.run["cost_usd"] == spent["cost_usd"]
    assert spent["model"] == "gpt-5-mini"
    asked = {id_ for best in questions_of(provider.requests[0]).clauses.values() for id_, _ in best}
    assert {block.id for block in questions_of(provider.requests[0]).passages} == asked


def test_unknown_price_is_unknown(command: Command, contract: Path) -> None:
    """A model that no price is known of costs null, never nothing."""
    with MockProvider(honest) as provider:
        done = review(command, provider, contract, model="openai-chat:made-up-model-1")
    assert done.code == 0, done.stderr
    assert done.lines[0]["transaction"]["cost_usd"] is None
    assert done.run["cost_usd"] is None
    assert "unknown" in done.stderr


def test_fabricated_quotation_is_never_shown(command: Command, contract: Path) -> None:
    """A model that invents its quotations is sent to a lawyer, and the invention is nowhere in what is written."""
    with MockProvider(lying) as provider:
        done = review(command, provider, contract)
    assert done.code == 0, done.stderr
    (row,) = done.lines
    assert all(finding["abstained"] and finding["failed_quotes"] for finding in row["findings"])
    for name in ("results.jsonl", "report.html", "summary.csv"):
        assert FABRICATED not in (command.out / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("mode", ["error", "rate limited", "garbage", "empty"])
def test_local_reviewer_answers_for_a_dead_provider(command: Command, contract: Path, mode: Mode) -> None:
    """Whatever way the provider fails, the contract is reviewed, and its row says by whom."""
    with MockProvider(honest, mode=mode) as provider:
        done = review(command, provider, contract)
    assert (done.code, done.run["failed"]) == (0, 0), done.stderr
    spent = done.lines[0]["transaction"]
    assert (spent["degradation"], spent["model"]) == ("reduced", "seawall-local-1")
    assert provider.requests


def test_breaker_spares_a_dead_provider(command: Command, contract: Path, tmp_path: Path) -> None:
    """After its first failures a provider is not asked for every contract; all contracts are reviewed nevertheless."""
    folder = tmp_path / "in"
    folder.mkdir()
    text = contract.read_text(encoding="utf-8")
    for number in range(60):
        path = folder / f"{number:02}.txt"
        path.write_text(
            text.replace("laws of the State", f"laws, by docket {number}, of the State"), encoding="utf-8"
        )
    with MockProvider(honest, mode="error") as provider:
        done = review(command, provider, folder)
    assert (done.code, done.run["reviewed"]) == (0, 60), done.stderr
    assert {row["transaction"]["degradation"] for row in done.lines} == {"reduced"}
    # A client library may ask twice for one contract: what counts is for how many it was asked.
    asked_for = {prompt_of(request) for request in provider.requests}
    assert 10 <= len(asked_for) < 45
