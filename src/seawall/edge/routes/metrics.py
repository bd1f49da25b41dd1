"""`/metrics`: numbers for Prometheus, for a key with the scope `metrics`."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from seawall.edge.entry import METRICS, Entry
from seawall.edge.refusals import Unreadable
from seawall.edge.route_docs import documented
from seawall.edge.site import Site


def metric_routes(site: Site) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", response_class=Response, **documented(None, text=True))
    async def metrics(request: Request) -> Response:
        """Give every number that is kept, of all workers."""
        entry: Entry = request.scope["seawall"]
        if not entry.may(METRICS):
            raise Unreadable("forbidden", "this key has not the scope 'metrics'")
        return Response(site.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router
