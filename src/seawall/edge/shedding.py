"""What a caller is told whose work was shed, and how an answer is counted by the control that sheds."""

from types import MappingProxyType
from typing import Any

from seawall.defense.load import Outcome, Shed
from seawall.edge.http.problems import problem

_TOLD = MappingProxyType(
    {
        "full": ("overloaded", ""),
        "timeout": ("overloaded", "no room within the time that this kind of work may wait"),
        "pressure": ("overloaded", "the service is under pressure, and takes more urgent work first"),
        "deadline": ("deadline", "the answer would not have been there in the time that the caller allows"),
        "draining": ("draining", ""),
    }
)
_OK, _MISTAKE, _FAILED, _TIMED_OUT = 200, 400, 500, 504


def problem_of_shed(shed: Shed) -> dict[str, Any]:
    """Return the problem of work that was not begun."""
    code, detail = _TOLD[shed.reason]
    return problem(code, detail, retry_after=shed.retry_after)


def outcome_of(status: int | None) -> Outcome:
    """Return what an answer's status says of how long work takes: of a refusal, or of none at all, nothing."""
    if status is None or _MISTAKE <= status < _FAILED:
        return "ignored"
    if status == _TIMED_OUT:
        return "timeout"
    return "success" if status < _MISTAKE else "failure"
