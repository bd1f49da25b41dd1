"""`/v1/runs`: how far a run is, its end, and the rest of its stream."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from seawall.edge.entry import READ, Entry
from seawall.edge.refusals import Unreadable
from seawall.edge.requests import Run
from seawall.edge.route_docs import documented
from seawall.edge.site import Site
from seawall.edge.sse import EventStream
from seawall.foundation.events import ContentRead
from seawall.foundation.units import seconds
from seawall.orchestration.runs import RunDetail, known_id


def run_routes(site: Site) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/runs", tags=["runs"])
    beat = seconds(site.settings.heartbeat)

    @router.get("/{run_id}", **documented(Run))
    async def read_run(request: Request) -> Response:
        """Say how far a run is, and what came of it."""
        return JSONResponse(_told(await _found(site, request)))

    @router.post("/{run_id}/cancel", **documented(Run))
    async def cancel_run(request: Request) -> Response:
        """End a run that is not over; one that is stays as it is."""
        detail = await _found(site, request)
        await site.runs.cancel(detail.run.tenant, detail.run.id)
        site.end(detail.run.id)
        return JSONResponse(_told(await _found(site, request)))

    @router.get("/{run_id}/events", **documented(None, streams=True))
    async def events(request: Request) -> Response:
        """Go on reading a stream, from the event after `Last-Event-ID`."""
        entry: Entry = request.scope["seawall"]
        live = site.live.get(request.path_params["run_id"])
        if live is None or live.owner != (entry.caller.tenant, entry.caller.subject):
            raise Unreadable("not-found", "no stream of this id; one is kept for its reader for a short time")
        said = request.headers.get("last-event-id", "0")
        after = int(said) if said.isdigit() and len(said) < 16 else 0
        if not live.keeps(after):
            raise Unreadable("not-found", "what came after this event is no longer kept; ask anew")
        return EventStream(live.frames(after, beat=beat))

    return router


async def _found(site: Site, request: Request) -> RunDetail:
    entry: Entry = request.scope["seawall"]
    run_id = request.path_params["run_id"]
    detail = await site.runs.get(entry.caller.tenant, run_id) if known_id(run_id) else None
    own = detail is not None and detail.principal.subject == entry.caller.subject
    if detail is None or not (own or entry.may(READ)):
        raise Unreadable("not-found", "no run of this id; what was answered at once is not kept")
    reader = site.people.names(entry.caller.tenant, entry.caller.subject)[0]
    site.events.publish(ContentRead(run_id, entry.caller.tenant, reader, "own" if own else READ))
    return detail


def _told(detail: RunDetail) -> dict[str, Any]:
    run = detail.run
    known: Any = detail.output or {}
    plain = Run(id=run.id, agent=run.agent, status=run.state, created_at=run.created_at)
    return {**plain.model_dump(mode="json"), **known, "status": run.state}
