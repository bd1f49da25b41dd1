"""A refusal in the shape that the clients of a path read: problem details, or OpenAI's errors."""

import json
from typing import Any

from seawall.edge.http.problems import Headers, rendered, retry_header
from seawall.edge.openai.errors import of_problem

_OPENAI = ("/v1/chat/", "/v1/models")


def is_openais(path: str) -> bool:
    """Whether the clients of a path read OpenAI's errors."""
    return path.startswith(_OPENAI)


def rendered_for(
    path: str, told: dict[str, Any], headers: Headers = ()
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body of the answer that tells of a problem."""
    challenge: Headers = [(b"www-authenticate", b'Bearer realm="seawall"')] if told["status"] == 401 else ()
    if not is_openais(path):
        return rendered(told, [*headers, *challenge])
    body = json.dumps(of_problem(told), separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    own = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if (retry_after := told.get("retry_after")) is not None:
        own.append(retry_header(retry_after))
    return told["status"], [*own, *headers, *challenge], body
