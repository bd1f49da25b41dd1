"""A profile after NIST's AI Risk Management Framework: what the running configuration answers, and what is left to people.

Source: NIST AI 100-1 (2023) and AI 600-1 (2024). A self-assessment: nobody has certified anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Action:
    """One subcategory, what of it is in place here (`current`), and what is left (`target`)."""

    id: str
    asks: str
    current: str
    target: str


def profile(facts: Mapping[str, Any]) -> list[Action]:
    """Return the profile of a service of which `facts` holds the record of processing, see `seawall compliance art30`."""
    measures = facts["security_measures"]
    agents = ", ".join(one["name"] for one in facts["agents"]) or "none"
    times = ", ".join(f"{one['class']} {one['kept']}" for one in facts["time_limits"])
    return [
        Action("GOVERN 1.1", "legal requirements are understood and documented", _profile_said(facts), "a lawyer's word on which laws apply"),
        Action("GOVERN 1.6", "an inventory of AI systems", f"agents: {agents}", "systems beside this service"),
        Action("GOVERN 2.1", "roles and responsibilities", f"controller: {facts['controller']['name'] or 'not named'}", "who approves, who is on call"),
        Action("GOVERN 6.1", "third parties' risks", "; ".join(facts["recipients"]) or "no model of a provider", "a look at each provider, each year"),
        Action("MAP 1.1", "intended purposes are documented", "; ".join(facts["purposes"]) or "not said", "who is affected, and how"),
        Action("MAP 4.1", "risks of third-party data and software", "locked dependencies with hashes; weights are data", "licences and origin of your own documents"),
        Action("MEASURE 2.3", "performance in deployment", "a ledger row and metrics for each transaction", "a labelled sample of your own cases"),
        Action("MEASURE 2.4", "functionality and behaviour are monitored", "verdicts, degradation, breakers and limits in metrics and audit log", "alerts that somebody reads"),
        Action("MEASURE 2.6", "safe failure", "deadlines, circuit breakers, fallbacks, partial answers that say what is missing", "a drill"),
        Action("MEASURE 2.7", "security and resilience", "; ".join(measures), "a penetration test by others"),
        Action("MEASURE 2.8", "transparency and accountability", "an audit log with versions of policy, prompt and model, which cannot be changed unnoticed", "heads of it kept on another machine"),
        Action("MEASURE 2.10", "privacy", f"kept: {times}; erasure with a signed receipt", "a data protection impact assessment"),
        Action("MANAGE 1.3", "responses to risks are planned", "policy as data, one version for each change", "who decides on exceptions"),
        Action("MANAGE 2.3", "response to unknown risks", "an agent is isolated with one command, across replicas", "who may give it"),
        Action("MANAGE 2.4", "systems are superseded, disengaged or deactivated", "seawall breaker isolate; keys revoked within a second; drain on SIGTERM", "a drill of it"),
        Action("MANAGE 4.3", "incidents are communicated", "audit export for any span of time; break-glass access that is told", "whom to call within 72 hours (GDPR, Article 33)"),
    ]  # fmt: skip


def _profile_said(facts: Mapping[str, Any]) -> str:
    name = facts["profile"]
    return f"settings are under the profile {name!r}" if name else "no profile is set"
