"""`/v1/chat/completions` and `/v1/models`: every agent as a model, for clients that speak OpenAI's protocol."""

import time

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from seawall.edge.entry import Entry
from seawall.edge.http.problems import retry_header
from seawall.edge.openai import (
    Head,
    UnknownModel,
    chunks,
    completion,
    failure_of,
    model_list,
    read_request,
    to_ask,
)
from seawall.edge.openai.requests import ChatRequest
from seawall.edge.openai.shapes import ChatCompletion, ChatProblem, ModelList
from seawall.edge.presence import CallerLeft, while_present
from seawall.edge.route_docs import documented
from seawall.edge.served import Served, ServedAgent
from seawall.edge.site import Site
from seawall.edge.sse import EventStream
from seawall.edge.work import waited_for
from seawall.foundation.ids import new_id


def chat_routes(site: Site) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1", tags=["openai"])
    began = int(time.time())

    @router.get("/models", **documented(ModelList, problem=ChatProblem))
    async def models(request: Request) -> Response:
        """List the agents that this caller may ask, as models."""
        entry: Entry = request.scope["seawall"]
        return JSONResponse(model_list([name for name in site.served if entry.may_run(name)], began))

    @router.post(
        "/chat/completions",
        **documented(ChatCompletion, body=ChatRequest, streams=True, problem=ChatProblem),
    )
    async def complete(request: Request) -> Response:
        """Ask an agent as if it were a model; its own instructions stand, whatever the messages say."""
        try:
            return await _completed(site, request)
        except (CallerLeft, ClientDisconnect):
            raise
        except Exception as error:  # noqa: BLE001  this protocol has its own shape for errors
            failure = failure_of(error)
            response = JSONResponse(failure.body, failure.status)
            if failure.retry_after is not None:
                response.raw_headers.append(retry_header(failure.retry_after))
            return response

    return router


async def _completed(site: Site, request: Request) -> Response:
    entry: Entry = request.scope["seawall"]
    ask = to_ask(read_request(await request.body()))
    agent = _agent(site, entry, ask.model)
    ask.check_form(says_text=agent.says_text)
    head = Head(new_id("chatcmpl"), ask.model, int(time.time()))
    with waited_for(site, entry):
        if not ask.stream:
            answer = await while_present(request.receive, agent.run(ask.prompt, entry.caller, ask.history))
            return JSONResponse(completion(answer, head))
        opening = agent.stream(ask.prompt, entry.caller, history=ask.history)
        frames = chunks(opening, head, says_text=agent.says_text, include_usage=ask.include_usage)
        return EventStream(frames, first=await anext(frames))


def _agent(site: Site, entry: Entry, name: str) -> ServedAgent:
    served: Served | None = site.served.get(name)
    if not isinstance(served, ServedAgent) or not entry.may_run(name):
        raise UnknownModel
    return served
