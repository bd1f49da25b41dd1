"""What a caller over its limit is told."""

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
