"""Audit records as the AI Act names things, for whoever has to hand logs out.

Source: Regulation (EU) 2024/1689, Articles 12 (events over the lifetime: situations of risk, monitoring of operation), 14
(human oversight), 19 and 26(6) (kept for six months or longer). Whether a system falls under them is for its operator to say.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# What Article 12(2)(a) calls situations that may present a risk: something was not let pass, or did not work as meant.
_RISKS = frozenset(
    {"guard.tripped", "run.refused", "trust.changed", "login.failed", "breaker.changed", "work.shed"}
)
_HUMAN = "approval.decided"


def log_entry(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return one record, as `AuditLog.read` yields it, as a log entry; `erased` where its person was."""
    facts: Mapping[str, Any] = record["facts"] or {}
    kind = record["kind"]
    entry: dict[str, Any] = {
        "event_id": f"{record['tenant']}/{record['seq']}",
        "event": kind,
        "recorded_at": _time(record["at"]),
        "person_or_system": record["actor"],
        "run_id": record["run_id"],
        "situation_of_risk": kind in _RISKS or facts.get("outcome") in {"blocked", "failed", "timeout"},
        "erased": record["facts"] is None,
    }
    if kind == "run.finished" and facts:
        entry["period_of_use"] = {"start": _time(record["at"] - facts["seconds"]), "end": _time(record["at"])}
        entry["system"] = {
            "agent": facts["agent"],
            "model": facts["model"],
            "policy_version": facts["policy"],
            "prompt_version": facts["prompt"],
        }
        entry["result"] = {"outcome": facts["outcome"], "degradation": facts["degradation"]}
        entry["checks"] = facts["verdicts"].split()
    elif kind == _HUMAN and facts:
        entry["human_oversight"] = {"about": facts["tool"], "approved": facts["approved"]}
    elif facts:
        entry["details"] = dict(facts)
    return entry


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
