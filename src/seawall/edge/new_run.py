"""Doing what was asked for: the answer at once, or the run's id, once for each `Idempotency-Key`."""

import json
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from seawall.edge.entry import Entry
from seawall.edge.headers import degradation_headers
from seawall.edge.once import once
from seawall.edge.presence import while_present
from seawall.edge.requests import Run, finished
from seawall.edge.served import Answer, Served
from seawall.edge.site import Site
from seawall.edge.work import answered
from seawall.orchestration.runs import NewRun, RunExists


async def create_run(site: Site, request: Request, served: Served, given: str, *, later: bool) -> Response:
    """Have something done with what was given, for whoever sent the request; its body must have been read."""
    entry: Entry = request.scope["seawall"]

    async def work(run_id: str) -> Response:
        if later:
            return await _later(site, served, given, entry, run_id)
        created = time.time()
        answer = await while_present(request.receive, answered(site, served, given, entry))
        return _answer(finished(run_id, served.name, created, answer), answer)

    return await once(site, entry, request, f"{later:d}{given}".encode("utf-8", "surrogatepass"), work)


async def _later(site: Site, served: Served, given: str, entry: Entry, run_id: str) -> Response:
    caller = entry.caller
    keep = site.settings.retention.of("content", caller.tenant)
    new = NewRun(caller, served.name, {"input": given}, lane="batch", keep=keep, id=run_id)
    try:
        run = await site.runs.create(new)
    except RunExists:
        # An earlier request under the same key stored it and died before it could say so.
        found = await site.runs.get(caller.tenant, run_id)
        assert found is not None
        run = found.run
    site.wake.set()
    told = Run(id=run.id, agent=run.agent, status=run.state, created_at=run.created_at)
    return JSONResponse(told.model_dump(mode="json"), 202, {"location": f"/v1/runs/{run.id}"})


def _answer(run: dict[str, Any], answer: Answer) -> Response:
    headers = degradation_headers(answer.transaction)
    cost = answer.transaction.cost_usd
    headers["Seawall-Cost"] = "unknown" if cost is None else f"{cost:f}"
    headers["Seawall-Transaction"] = answer.transaction.id
    body = json.dumps(run, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, 200, headers, "application/json")
