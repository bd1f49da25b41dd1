"""From the event stream to audit records: everything that was decided, floods of the same refusal counted together."""

import threading
from collections.abc import Mapping
from typing import NamedTuple

from seawall.foundation.audit.log import AuditLog
from seawall.foundation.audit.record import AuditRecord, Fact
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.events import (
    ApprovalDecided,
    BreakerChanged,
    BudgetWarned,
    ContentRead,
    Event,
    GuardTripped,
    LoginFailed,
    OperatorActed,
    Refused,
    StoreChanged,
    ToolCalled,
    TransactionFinished,
    TrustChanged,
    WorkShed,
)
from seawall.foundation.transaction import Transaction

_WINDOW = 1.0
_MOST_COUNTED = 1_000
_MOST_LISTED = 16


class _Repeated(NamedTuple):
    tenant: str
    kind: str
    actor: str
    reason: str


class AuditTrail:
    """Subscribes to the event stream and appends a record for each decision.

    Refusals and failed logins come by the thousand where somebody floods: the first of a kind, of the same caller, is a
    record at once, and how often it was repeated within the second one more, at the first event after it or at `tick`.
    With `every` each is a record of its own. At most 1,000 kinds are told apart in a second; further ones count as `other`.
    """

    def __init__(self, log: AuditLog, *, clock: Clock = SYSTEM_CLOCK, every: bool = False) -> None:
        self._log = log
        self._clock = clock
        self._every = every
        self._since = clock.time()
        self._repeated: dict[_Repeated, int] = {}
        # Stores tell of their state from threads of their own.
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Note what happened; StoreError where the log cannot take more."""
        match event:
            case TransactionFinished(transaction=row):
                self._log.append(_of_run(row))
            case Refused(transaction_id=run_id, tenant=tenant, by=by, subject=actor):
                self._repeat(_Repeated(tenant, "run.refused", actor, by), run_id)
            case LoginFailed(reason=reason, ip_hash=address, key_id=key_id):
                self._repeat(_Repeated("", "login.failed", f"{address} {key_id}".strip(), reason), "")
            case _:
                tenant, kind, actor, run_id, facts = _plain(event)
                self._note(tenant, kind, actor, run_id, facts)

    def tick(self) -> None:
        """Write down what was counted, once its second is over."""
        with self._lock:
            counted = self._over(self._clock.time())
        self._counts(counted)

    def close(self) -> None:
        """Write down what was counted so far."""
        with self._lock:
            counted, self._repeated = self._repeated, {}
        self._counts(counted)

    def _repeat(self, what: _Repeated, run_id: str) -> None:
        with self._lock:
            counted = self._over(self._clock.time())
            if len(self._repeated) >= _MOST_COUNTED and what not in self._repeated:
                what = _Repeated("", what.kind, "other", "other")
            first = self._every or what not in self._repeated
            self._repeated[what] = 0 if first else self._repeated[what] + 1
        self._counts(counted)
        if first:
            self._note(what.tenant, what.kind, what.actor, run_id, {"reason": what.reason})

    def _over(self, now: float) -> dict[_Repeated, int]:
        # A clock that was set back ends the second too.
        if 0 <= now - self._since < _WINDOW:
            return {}
        self._since = now
        counted, self._repeated = self._repeated, {}
        return counted

    def _counts(self, counted: Mapping[_Repeated, int]) -> None:
        for what, times in counted.items():
            if times:
                self._note(what.tenant, what.kind, what.actor, "", {"reason": what.reason, "repeated": times})

    def _note(self, tenant: str, kind: str, actor: str, run_id: str, facts: Mapping[str, Fact]) -> None:
        now = self._clock.time()
        self._log.append(
            AuditRecord(tenant=tenant, kind=kind, at=now, actor=actor, run_id=run_id, facts=facts)
        )


_Plain = tuple[str, str, str, str, Mapping[str, Fact]]


def _plain(event: Event) -> _Plain:
    """Return tenant, kind, actor, run and facts of an event that is one record."""
    match event:
        case GuardTripped():
            facts = {"guard": event.guard, "outcome": event.outcome, "reason": event.reason_code}
            return event.tenant, "guard.tripped", event.subject, event.transaction_id, facts
        case ToolCalled():
            facts = {"tool": event.tool, "effects": event.effects, "outcome": event.outcome}
            return event.tenant, "tool.called", event.subject, event.transaction_id, facts
        case ApprovalDecided():
            facts = {"tool": event.tool, "approved": event.approved}
            return event.tenant, "approval.decided", event.subject, event.transaction_id, facts
        case ContentRead():
            return event.tenant, "content.read", event.reader, event.run_id, {"why": event.why}
        case OperatorActed():
            return event.tenant, event.act, event.operator, "", {"about": event.about}
        case BudgetWarned():
            return (
                event.tenant,
                "budget.warned",
                "",
                "",
                {"budget": event.budget, "share": round(event.share, 3)},
            )
        case TrustChanged():
            facts = {"scope": event.scope, "before": event.before, "after": event.after, "by": event.by}
            return event.tenant, "trust.changed", event.caller, "", facts
        case _:
            return "", *_of_service(event)


def _of_service(event: Event) -> tuple[str, str, str, Mapping[str, Fact]]:
    match event:
        case WorkShed():
            return "work.shed", "", "", {"reason": event.reason, "count": event.count}
        case BreakerChanged():
            facts = {"before": event.before, "after": event.after, "why": event.why}
            return "breaker.changed", "", "", {"dependency": event.dependency, **facts}
        case StoreChanged():
            return "store.changed", "", "", {"store": event.store, "healthy": event.healthy, "why": event.why}
        case _:
            # An event that nobody said the facts of is still one that happened.
            return f"event.{type(event).__name__}", "", "", {}


def _of_run(row: Transaction) -> AuditRecord:
    facts: dict[str, Fact] = {
        "agent": row.agent,
        "model": row.model,
        "outcome": row.outcome,
        "seconds": round(row.seconds, 3),
        "detail": row.detail,
        "degradation": row.degradation,
        "verdicts": " ".join(row.verdicts[:_MOST_LISTED]),
        "attempts": " ".join(row.attempts[:_MOST_LISTED]),
        "policy": row.policy_version,
        "prompt": row.prompt_version,
    }
    at = row.started_at + row.seconds
    return AuditRecord(
        tenant=row.tenant, kind="run.finished", at=at, actor=row.subject, run_id=row.id, facts=facts
    )
