"""From a run to its ledger row."""

import asyncio

from pydantic_ai.exceptions import RunTimedOut

from seawall.defense.degradation import Unavailable
from seawall.defense.guards import GuardBlocked
from seawall.defense.hardened_stream import StreamAbandoned
from seawall.defense.resume import StreamInterrupted
from seawall.defense.run_state import RunState
from seawall.foundation.errors import Rejected
from seawall.foundation.transaction import Outcome, Transaction


def row_of(run: RunState, *, policy_version: str, seconds: float, retention: float) -> Transaction:
    """Make the row of a run that took `seconds` and whose row is kept for `retention` seconds."""
    if run.vault is not None and len(run.vault):
        run.note_verdict("pseudonymise:replace")
    return Transaction(
        id=run.id,
        tenant=run.caller.tenant,
        subject=run.actor,
        agent=run.caller.agent or "",
        model=run.answered_by,
        started_at=run.started_at,
        expires_at=run.started_at + retention,
        outcome=run.outcome,
        seconds=seconds,
        queue_seconds=run.queue_seconds,
        guard_seconds=run.guard_seconds,
        model_seconds=run.model_seconds,
        input_tokens=run.usage.input_tokens,
        output_tokens=run.usage.output_tokens,
        tokens_without_retrieval=run.tokens_without_retrieval,
        requests=run.usage.requests,
        cost_usd=run.cost_usd,
        degradation=run.degradation,
        missing=tuple(run.missing),
        verdicts=tuple(run.verdicts),
        attempts=tuple(run.attempts),
        detail=run.detail,
        policy_version=policy_version,
        prompt_version=run.prompt_version,
    )


def outcome_of(error: BaseException) -> Outcome:
    """Say what a run came to that ended with `error`."""
    if isinstance(error, GuardBlocked):
        return "blocked"
    # Nobody turned the work away: there was nobody to do it.
    if isinstance(error, Rejected) and not isinstance(error, Unavailable | StreamInterrupted):
        return "refused"
    if isinstance(error, RunTimedOut):
        return "timeout"
    if isinstance(error, asyncio.CancelledError | StreamAbandoned):
        return "cancelled"
    return "failed"
