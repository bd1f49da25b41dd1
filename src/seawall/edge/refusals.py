"""From what work raised to the problem that its caller is told."""

from typing import Any

from pydantic_ai.exceptions import AgentRunError, RunTimedOut

from seawall.defense import NothingToResume, RateLimited, StreamInterrupted
from seawall.defense.guards import GuardBlocked
from seawall.edge.http.intake import BodyRefused
from seawall.edge.http.problems import problem
from seawall.foundation.errors import Rejected, StoreError

_BY = {
    "guards": "guard-blocked",
    "pseudonyms": "guard-blocked",
    "rate limit": "quota-exceeded",
    "trust": "distrusted",
    "bulkhead": "overloaded",
    "run queue": "overloaded",
    "breaker": "unavailable",
    "dependencies": "unavailable",
    "deadline": "deadline",
}


class Unreadable(Exception):
    """A request that is refused for what it says; `code` is the problem's, `errors` where in the body it is."""

    def __init__(self, code: str, detail: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.errors = errors


# What is told to the caller and is no fault of the service: whatever else is raised is logged as one.
REFUSALS = (Rejected, BodyRefused, Unreadable, AgentRunError, StoreError)


def problem_of(error: BaseException) -> dict[str, Any]:
    """Return what a caller is told of an error. Of one that is not a refusal it learns only that it happened."""
    match error:
        case StreamInterrupted():
            resume = error.resume_id or None
            return problem("interrupted", str(error), retry_after=error.retry_after, resume_id=resume)
        case NothingToResume():
            return problem("not-found", str(error))
        case RateLimited():
            policies = [error.decision.name]
            detail = str(error)
            return problem(
                "quota-exceeded", detail, retry_after=error.retry_after, **{"violated-policies": policies}
            )
        case GuardBlocked():
            return problem("guard-blocked", str(error))
        case Rejected():
            return problem(_BY.get(error.by, "unavailable"), str(error), retry_after=error.retry_after)
        case BodyRefused() | Unreadable():
            return problem(error.code, str(error), errors=getattr(error, "errors", None))
        case RunTimedOut():
            return problem("timed-out", "the agent did not finish within its deadline")
        case StoreError():
            return problem("unavailable", "a store of the service does not answer")
        case AgentRunError():
            return problem(
                "agent-failed", f"the agent failed with {type(error).__name__}; its ledger row says more"
            )
        case _:
            return problem("failed", f"the service failed with {type(error).__name__}; its log says more")
