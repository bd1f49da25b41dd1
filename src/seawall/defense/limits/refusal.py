"""What a caller over its limit is told."""

from datetime import UTC, datetime
from decimal import Decimal

from pydantic_ai.exceptions import AgentRunError, UsageLimitExceeded

from seawall.defense.limits.store import Decision
from seawall.foundation.errors import Rejected


class RateLimited(Rejected, UsageLimitExceeded):
    """A limit refused the work before it began. No fallback model is tried: another provider would not change
    the count.

    `decision` holds the numbers for headers; the text names the limit, never the caller.
    """

    by = "rate limit"

    def __init__(self, decision: Decision) -> None:
        # UsageLimitExceeded would add advice to raise the limit, which is not the caller's to follow.
        AgentRunError.__init__(self, _text(decision))
        self.decision = decision
        self.retry_after = decision.retry_after

    def __reduce__(self) -> tuple[type["RateLimited"], tuple[Decision]]:
        """Rebuild from the decision, where the inherited way would rebuild from the text."""
        return type(self), (self.decision,)


class BudgetExceeded(RateLimited):
    """A budget is spent. `resets_at` is when it begins anew, seconds since the epoch; None where it never does."""

    by = "budget"

    def __init__(self, decision: Decision, resets_at: float | None) -> None:
        super().__init__(decision)
        self.resets_at = resets_at
        self.args = (_spent(decision, resets_at),)
        self.message = self.args[0]

    def __str__(self) -> str:
        """Say which budget, how much is left of how much, and when it begins anew."""
        return str(self.args[0])

    def __reduce__(self) -> tuple[type["RateLimited"], tuple[Decision, float | None]]:  # type: ignore[override]
        """Rebuild from the decision."""
        return type(self), (self.decision, self.resets_at)


def _spent(decision: Decision, resets_at: float | None) -> str:
    whole = decision._replace(remaining=decision.limit)
    when = (
        "it does not begin anew"
        if resets_at is None
        else f"it begins anew at {datetime.fromtimestamp(resets_at, UTC):%Y-%m-%d %H:%M} UTC"
    )
    return f"budget {decision.name!r}: {_left(decision)} left of {_left(whole)}, too little for the request; {when}"


def _text(decision: Decision) -> str:
    wait = f"try again in {decision.retry_after:.3g} s" if decision.retry_after else "try again later"
    if decision.store_full:
        return f"rate limit {decision.name!r}: its store counts as many callers as it can hold; {wait}"
    if decision.degraded and decision.remaining == 0:
        return f"rate limit {decision.name!r}: its shared store gives no answer, and what may be spent without it is spent; {wait}"
    observed = f"rate limit {decision.name!r} reached: {_left(decision)} left"
    if decision.retry_after is None:
        return f"{observed}, and the request asks for more than may ever be spent at once; split it"
    return f"{observed}; {wait}"


def _left(decision: Decision) -> str:
    if decision.of == "usd":
        return f"{Decimal(decision.remaining).scaleb(-6).normalize():f} usd"
    return f"{decision.remaining}" if decision.of == "requests" else f"{decision.remaining} {decision.of}"
