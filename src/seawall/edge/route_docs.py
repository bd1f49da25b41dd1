"""What the OpenAPI document says of a route, in one line where the route is."""

from typing import Any

from pydantic import BaseModel

from seawall.edge.http.problems import CATALOGUE

# What any route may come to, before it is even asked.
_EVERYWHERE = (400, 401, 403, 404, 405, 408, 413, 414, 415, 422, 429, 431, 500, 502, 503, 504)
_EVENT = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}
_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_UPLOAD: dict[str, Any] = {
    "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE}}}
}


class Problem(BaseModel):
    """A refusal (RFC 9457). `type` is the address of a page about it; `code` is what a program may rely on."""

    type: str
    title: str
    status: int
    code: str
    detail: str | None = None
    retry_after: float | None = None
    run_id: str | None = None
    resume_id: str | None = None


def documented(
    answer: type[BaseModel] | None,
    *,
    body: type[BaseModel] | None = None,
    later: bool = False,
    streams: bool = False,
    upload: bool = False,
    text: bool = False,
    problem: type[BaseModel] = Problem,
) -> dict[str, Any]:
    """Return what FastAPI is told of a route whose bodies it does not read itself."""
    kind = "application/problem+json" if problem is Problem else "application/json"
    told = {kind: {"schema": _ref(problem)}}
    content: dict[str, Any] = {}
    if answer is not None:
        content["application/json"] = {"schema": _ref(answer)}
    if streams:
        content["text/event-stream"] = {"schema": _EVENT}
    if text:
        content["text/plain"] = {"schema": {"type": "string"}}
    titles: dict[int, list[str]] = {status: [] for status in _EVERYWHERE}
    for known in CATALOGUE.values():
        if known.status in titles:
            titles[known.status].append(known.title)
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": "; ".join(said), "content": told} for status, said in titles.items()
    }
    responses[200] = {"description": "The answer", "content": content}
    if later and answer is not None:
        responses[202] = {
            "description": "It will be done",
            "content": {"application/json": {"schema": _ref(answer)}},
        }
    if body is not None or upload:
        responses[409] = {"description": CATALOGUE["in-flight"].title, "content": told}
    extra: dict[str, Any] = {"responses": responses}
    taken = _UPLOAD if upload else {}
    if body is not None:
        taken = {"application/json": {"schema": _ref(body)}}
    if taken:
        extra["openapi_extra"] = {"requestBody": {"required": True, "content": taken}}
    return extra


def _ref(shape: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{shape.__name__}"}
