"""Refusals as problem details (RFC 9457), and the catalogue of all that there are.

Each has a page under `docs/problems/`, and its `type` is that page's address in the service itself: `/problems/CODE`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Any

Headers = Sequence[tuple[bytes, bytes]]

MEDIA_TYPE = b"application/problem+json"
_CONTENT = (b"content-type", MEDIA_TYPE)


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of refusal: what a client may build on. `title` says it to a person; `again` that trying later can help."""

    code: str
    status: int
    title: str
    again: bool = False


_ALL = (
    Problem("bad-request", 400, "The request cannot be read"),
    Problem("unauthenticated", 401, "The caller is not known"),
    Problem("forbidden", 403, "The caller may not do this"),
    Problem("restricted", 403, "This person's data may not be processed"),
    Problem("not-found", 404, "There is no such thing here"),
    Problem("method-not-allowed", 405, "This cannot be done here"),
    Problem("request-timeout", 408, "The request came too slowly"),
    Problem("in-flight", 409, "The same request is under way", again=True),
    Problem("too-large", 413, "The body is too large"),
    Problem("uri-too-long", 414, "The address is too long"),
    Problem("unsupported-media-type", 415, "The body is of a kind that is not read here"),
    Problem("invalid", 422, "The request does not fit its schema"),
    Problem("idempotency-mismatch", 422, "This key belongs to another request"),
    Problem("guard-blocked", 422, "The content was refused"),
    Problem("quota-exceeded", 429, "The caller's share is spent", again=True),
    Problem("distrusted", 429, "The caller is not heard for now", again=True),
    Problem("headers-too-large", 431, "The headers are too large"),
    Problem("failed", 500, "The service failed"),
    Problem("agent-failed", 502, "The agent failed"),
    Problem("overloaded", 503, "The service has no room for this now", again=True),
    Problem("draining", 503, "This process is about to end", again=True),
    Problem("deadline", 503, "It could not be done in the time allowed", again=True),
    Problem("unavailable", 503, "What this depends on does not answer", again=True),
    Problem("interrupted", 503, "The answer broke off", again=True),
    Problem("timed-out", 504, "The agent did not finish in time", again=True),
)
CATALOGUE = MappingProxyType({problem.code: problem for problem in _ALL})
_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def type_of(code: str) -> str:
    """Return the `type` of a problem, a reference relative to the service."""
    return f"/problems/{code}"


def problem(code: str, detail: str = "", *, retry_after: float | None = None, **more: Any) -> dict[str, Any]:
    """Return a problem as JSON has it. `detail` is for the caller's eyes: no content, no key, nothing internal.

    `more` are members such as `run_id`, `resume_id`, `errors`; None is left out.
    """
    kind = CATALOGUE[code]
    told: dict[str, Any] = {"type": type_of(code), "title": kind.title, "status": kind.status, "code": code}
    if detail:
        told["detail"] = detail
    if retry_after is not None:
        told["retry_after"] = round(retry_after, 3)
    return told | {name: value for name, value in more.items() if value is not None}


def whole_seconds(retry_after: float) -> int:
    """Return a wait as headers have it: rounded up, at least 1, so that who obeys is not refused again."""
    return max(1, ceil(retry_after))


def retry_header(retry_after: float) -> tuple[bytes, bytes]:
    """Return `Retry-After` (RFC 9110)."""
    return (b"retry-after", b"%d" % whole_seconds(retry_after))


def rendered(told: dict[str, Any], headers: Headers = ()) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body of a problem's answer."""
    body = _json(told).encode("utf-8", "replace")
    own = [_CONTENT, (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    if (retry_after := told.get("retry_after")) is not None:
        own.append(retry_header(retry_after))
    return told["status"], [*own, *headers], body
