"""What an OpenAI client is told when it gets no answer, in the shape that it reads.

Source: OpenAI API reference, "Error codes": `{"error": {"message", "type", "param", "code"}}`; the official client
chooses its exception by the status, and raises APIError for such an object within a stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from seawall.defense import StreamInterrupted
from seawall.edge.refusals import problem_of
from seawall.foundation.errors import SeawallError

_SERVER_ERROR = 500
_TYPES = MappingProxyType(
    {401: "authentication_error", 403: "permission_error", 429: "rate_limit_exceeded"},
)
# Problem codes that OpenAI has a name of its own for; all others keep theirs, with underscores.
_CODES = MappingProxyType(
    {
        "unauthenticated": "invalid_api_key",
        "quota-exceeded": "rate_limit_exceeded",
        "guard-blocked": "content_filter",
    }
)


class BadRequest(SeawallError):
    """A request that cannot be answered as it stands: `param` is the field that says why, `code` the reason.

    The text is safe to show: it names fields and limits, never what the caller wrote into them.
    """

    status = 400

    def __init__(self, message: str, param: str | None = None, code: str = "unsupported_value") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class UnknownModel(BadRequest):
    """No agent that this caller may ask has the name it gave as `model`."""

    status = 404

    def __init__(self) -> None:
        super().__init__(
            "model: no agent of this name may be asked; GET /v1/models lists those that may",
            "model",
            "model_not_found",
        )


class ApprovalNeeded(SeawallError):
    """A run paused for somebody's word on a call of a tool, which an OpenAI client has no way to give."""

    def __init__(self) -> None:
        super().__init__(
            "the agent waits for an approval, which this protocol has no way to give; ask in another way"
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer; `code` is the problem's. `retry_after`: seconds until asking again can help, None where
    it cannot, or nobody knows.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after: float | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of it, as a client reads it."""
        body = error_body(self.status, self.code, self.message, self.param)
        if self.retry_after is not None:
            body["error"]["retry_after"] = self.retry_after
        return body


def failure_of(error: BaseException) -> Failure:
    """Return what a caller is told of an error: what `problem_of` says of it, but for errors of this protocol alone."""
    match error:
        case BadRequest():
            return Failure(error.status, error.code, str(error), error.param)
        case ApprovalNeeded():
            return Failure(409, "approval-needed", str(error))
        case StreamInterrupted():
            # Its own text speaks of a resume id, which this protocol has no place for.
            told = problem_of(error)
            told["detail"] = "the answer broke off: take back what came of it, and ask again"
        case _:
            told = problem_of(error)
    return Failure(told["status"], told["code"], _said(told), retry_after=told.get("retry_after"))


def error_body(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """Return the JSON of an error: its type by the status, `code` as OpenAI has it, or as the problem's own is."""
    kind = _TYPES.get(status, "server_error" if status >= _SERVER_ERROR else "invalid_request_error")
    named = _CODES.get(code, code.replace("-", "_"))
    return {"error": {"message": message, "type": kind, "param": param, "code": named}}


def of_problem(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Translate problem details (RFC 9457), as the gate writes them, for a client that reads OpenAI's shape."""
    status, code = int(problem.get("status", _SERVER_ERROR)), str(problem.get("code", "failed"))
    return Failure(status, code, _said(problem), retry_after=problem.get("retry_after")).body


def _said(problem: Mapping[str, Any]) -> str:
    return str(problem.get("detail") or problem.get("title") or "refused")
