"""What health shows, to machines and to people."""

from pathlib import Path

from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from seawall import Dependency, Ledger, Policy, Principal, Stores, guards, harden
from seawall.defense.health import Health
from seawall.edge.headers import degradation_headers
from seawall.foundation.transaction import Transaction

ALICE = Principal("acme", "alice")


def safe_agent() -> Agent[None, str]:
    agent = Agent(TestModel(model_name="first"), name="clerk")

    @agent.tool_plain
    def look_up(word: str) -> str:
        """Look a word up."""
        return word

    return agent


async def test_everything_that_a_run_depended_on_has_its_name_and_state() -> None:
    """Models and guards from the start, tools from their first call; an operator's word shows."""
    safe = harden(
        safe_agent(), Policy(guards=[guards.injection()], fallbacks=[TestModel(model_name="second")])
    )
    before = {"model first": "closed", "model second": "closed", "guard injection": "closed"}
    assert safe.health().breakers == before
    await safe.run("go", deps=None, principal=ALICE)
    assert safe.health().breakers == before | {"tool look_up": "closed"}
    assert safe.health().ok
    safe.circuits["model first"].isolate("maintenance")
    health = safe.health()
    assert (health.ok, health.degraded) == (False, {"model first": "isolated"})
    result = await safe.run("go", deps=None, principal=ALICE)
    assert (result.degradation, result.transaction.attempts[0]) == ("fallback", "first:breaker")


def test_a_ledger_and_a_memory_are_shown_beside_the_rest(tmp_path: Path) -> None:
    """Whatever has a state can be shown, under the name that it is given."""
    ledger, notes = Ledger(tmp_path / "ledger.db"), Dependency("memory notes")
    shown = {"ledger": ledger, "memory notes": notes.circuit}
    safe = harden(safe_agent(), Policy(), stores=Stores(shown=shown))
    assert safe.health().stores == {"ledger": "closed", "memory notes": "closed"}
    notes.circuit.isolate()
    assert safe.health().degraded == {"memory notes": "isolated"}
    ledger.close()


def test_health_as_json_and_as_metrics() -> None:
    """One number a dependency, ordered by name."""
    health = Health({"model a": "open", "tool b": "half_open"}, {"store trust": "closed"})
    assert health.as_json() == {
        "ok": False,
        "degraded": {"model a": "open", "tool b": "half_open"},
        "breakers": {"model a": "open", "tool b": "half_open"},
        "stores": {"store trust": "closed"},
    }
    assert [(labels["dependency"], value) for _, labels, value in health.metrics()] == [
        ("model a", 2.0),
        ("store trust", 0.0),
        ("tool b", 1.0),
    ]


def test_headers_say_the_level_and_what_is_missing() -> None:
    """Names are quoted, so that none can end the header or add another."""
    row = Transaction("t", "a", "s", "g", "m", 0.0, 1.0, "ok")
    assert degradation_headers(row) == {"Seawall-Degradation": "full"}
    odd = Transaction(
        "t",
        "a",
        "s",
        "g",
        "m",
        0.0,
        1.0,
        "ok",
        degradation="partial",
        missing=('tool "x"\r\nSet-Cookie: é', "agent risk"),
    )
    assert degradation_headers(odd) == {
        "Seawall-Degradation": "partial",
        "Seawall-Missing": '"tool \\"x\\"??Set-Cookie: ?", "agent risk"',
    }
