"""`/v1/agents`: who may be asked, and asking."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from seawall.edge.bodies import read_json
from seawall.edge.entry import Entry
from seawall.edge.live_stream import LiveStream
from seawall.edge.new_run import create_run
from seawall.edge.refusals import Unreadable
from seawall.edge.requests import AgentCard, Agents, Run, RunRequest
from seawall.edge.route_docs import documented
from seawall.edge.served import Served, ServedAgent
from seawall.edge.shedding import outcome_of
from seawall.edge.site import Site
from seawall.edge.sse import EventStream
from seawall.edge.work import streamed
from seawall.foundation.ids import new_id
from seawall.foundation.units import seconds


def agent_routes(site: Site) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/agents", tags=["agents"])

    @router.get("", **documented(Agents))
    async def agents(request: Request) -> Response:
        """Say which agents this caller may ask."""
        entry: Entry = request.scope["seawall"]
        cards = [
            AgentCard(name=one.name, description=one.description, output_schema=one.schema)
            for name, one in site.served.items()
            if entry.may_run(name)
        ]
        return JSONResponse(Agents(agents=cards).model_dump(mode="json"))

    @router.post("/{agent}/runs", **documented(Run, body=RunRequest, later=True, streams=True))
    async def ask_agent(request: Request) -> Response:
        """Have an agent do something: the answer at once, as it is written, or later."""
        entry: Entry = request.scope["seawall"]
        served = served_to(site, entry, request.path_params["agent"])
        asked = await read_json(request, RunRequest)
        if asked.stream:
            return _streamed(site, served, asked, entry)
        assert asked.input is not None
        return await create_run(site, request, served, asked.input, later=asked.later)

    return router


def served_to(site: Site, entry: Entry, name: str) -> Served:
    """Return what this caller may ask under a name; Unreadable where there is nothing, or it may not."""
    served = site.served.get(name)
    if served is None or not entry.may_run(name):
        raise Unreadable("not-found", "no agent of this name that this caller may ask; see GET /v1/agents")
    return served


def _streamed(site: Site, served: Served, asked: RunRequest, entry: Entry) -> Response:
    if not isinstance(served, ServedAgent):
        raise Unreadable("invalid", f"{served.name!r} does not stream; leave stream out")
    owner = (entry.caller.tenant, entry.caller.subject)
    live = LiveStream(new_id("run"), owner, patience=seconds(site.settings.resume))
    site.keep(live)
    place = entry.take_place()

    async def work(stream: LiveStream) -> None:
        status = await streamed(site, served, asked.input, asked.resume, entry, stream)
        if place is not None:
            place.leave(outcome_of(status))

    task = live.begin(work)
    if place is not None:
        task.add_done_callback(lambda _: place.leave("ignored"))
    frames = live.frames(0, beat=seconds(site.settings.heartbeat))
    return EventStream(frames, {"seawall-run": live.run_id})
