"""The OpenAPI document of the service (3.1): FastAPI's, with the shapes that the routes read and write themselves."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from seawall.edge.openai.requests import ChatRequest
from seawall.edge.openai.shapes import ChatCompletion, ChatProblem, ModelList
from seawall.edge.requests import Agents, Run, RunRequest
from seawall.edge.route_docs import Problem

_SHAPES = (Agents, ChatCompletion, ChatProblem, ChatRequest, ModelList, Problem, Run, RunRequest)
_OPEN = ("/healthz", "/readyz", "/problems")


def document(web: FastAPI) -> None:
    """Have the application describe itself fully; the document is made at the first look."""

    def made() -> dict[str, Any]:
        if web.openapi_schema is None:
            web.openapi_schema = _document(web)
        return web.openapi_schema

    web.openapi = made


def _document(web: FastAPI) -> dict[str, Any]:
    told = get_openapi(title=web.title, version=web.version, routes=web.routes)
    _, shapes = models_json_schema(
        [(shape, "validation") for shape in _SHAPES], ref_template="#/components/schemas/{model}"
    )
    parts = told.setdefault("components", {})
    parts.setdefault("schemas", {}).update(shapes["$defs"])
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    told["security"] = [{"key": []}]
    for path, item in told["paths"].items():
        for operation in item.values():
            if path.startswith(_OPEN):
                operation["security"] = []
    return told
