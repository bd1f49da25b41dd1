"""`/healthz`: this process is alive. `/readyz`: what it depends on, and how it answers. `/problems`: the catalogue."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from seawall.edge.http.problems import CATALOGUE, type_of
from seawall.edge.refusals import Unreadable
from seawall.edge.route_docs import documented
from seawall.edge.site import Site

OPEN = frozenset({"/healthz", "/readyz", "/openapi.json", "/problems"})


def health_routes(site: Site, draining: Callable[[], bool]) -> APIRouter:
    """Make the routes; none of them asks who is calling."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def alive() -> Response:
        """Say that this process runs."""
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def ready() -> Response:
        """Say whether requests should come here, and what works less than it should: never a reason to send none."""
        found = {name: served.health() for name, served in site.served.items()}
        shown = {name: health.as_json() for name, health in found.items()}
        degraded = any(health.degraded for health in found.values())
        status = "draining" if draining() else "degraded" if degraded else "ready"
        load = asdict(site.admission.stats())
        return JSONResponse({"status": status, "agents": shown, "load": load}, 503 if draining() else 200)

    @router.get("/problems")
    async def problems() -> Response:
        """List every problem that a request can meet."""
        return JSONResponse([_problem(code) for code in CATALOGUE])

    @router.get("/problems/{code}", **documented(None))
    async def one_problem(request: Request) -> Response:
        """Say what one problem is."""
        code = request.path_params["code"]
        if code not in CATALOGUE:
            raise Unreadable("not-found", "no problem of this name; see GET /problems")
        return JSONResponse(_problem(code))

    return router


def _problem(code: str) -> dict[str, Any]:
    kind = CATALOGUE[code]
    return {
        "type": type_of(code),
        "code": code,
        "status": kind.status,
        "title": kind.title,
        "again": kind.again,
    }
