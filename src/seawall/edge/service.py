"""The service as an ASGI application: the gate, the routes, and the parts behind them for as long as it runs."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from seawall.edge.app import Seawall
from seawall.edge.background import Background
from seawall.edge.dialects import rendered_for
from seawall.edge.front import DoorKeeper
from seawall.edge.gate import Gate
from seawall.edge.http.intake import Intake
from seawall.edge.http.problems import problem, rendered
from seawall.edge.logs import note_lost_errors, told
from seawall.edge.metrics import forget_this_process
from seawall.edge.minding import minded
from seawall.edge.openapi import document
from seawall.edge.opening import open_site
from seawall.edge.presence import CallerLeft
from seawall.edge.refusals import REFUSALS, problem_of
from seawall.edge.routes.agents import agent_routes
from seawall.edge.routes.chat import chat_routes
from seawall.edge.routes.health import OPEN, health_routes
from seawall.edge.routes.metrics import metric_routes
from seawall.edge.routes.runs import run_routes
from seawall.edge.settings import Settings
from seawall.edge.site import Site
from seawall.foundation.compliance.keyring import Keyring

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_STATUS = {404: "not-found", 405: "method-not-allowed"}
# One collection of everything takes 100 ms in a process of this size, during which nobody is answered: what was there
# before the first request is left out of it, and the rest is looked at seldom.
_COLLECT = (50_000, 50, 100)
_BODY_SECONDS = 30.0
_log = logging.getLogger("seawall.service")


class Application:
    """One worker's application. Its parts open with the lifespan and close with it; a process of its own is tuned for it."""

    def __init__(
        self, app: Seawall, settings: Settings, keyring: Keyring, *, owns_process: bool = False
    ) -> None:
        self._app = app
        self._settings = settings
        self._keyring = keyring
        self._owns_process = owns_process
        self._gate: Gate | None = None
        # The parts, for as long as they are open.
        self.site: Site | None = None
        # What the protocol asks before there is a request.
        self.front: DoorKeeper | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer a request, or live through the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and self._gate is not None:
            await self._gate(scope, receive, send)

    def drain(self) -> None:
        """Take nothing new from now on."""
        if self._gate is not None:
            self._gate.drain()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                asyncio.get_running_loop().set_exception_handler(note_lost_errors)
                site = await stack.enter_async_context(open_site(self._app, self._settings, self._keyring))
                self.site, self._gate = site, self._assembled(site)
                await stack.enter_async_context(Background(site))
                await stack.enter_async_context(minded(self._app, site))
                stack.callback(forget_this_process)
            except BaseException as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            if self._owns_process:
                gc.collect()
                gc.freeze()
                gc.set_threshold(*_COLLECT)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.drain()
            for live in list(site.live.values()):
                live.end()
                await live.ended()
        await send({"type": "lifespan.shutdown.complete"})

    def _assembled(self, site: Site) -> Gate:
        web = FastAPI(title=self._app.title, version="1", docs_url=None, redoc_url=None)
        for kind in REFUSALS:
            web.add_exception_handler(kind, _told)
        web.add_exception_handler(Exception, _told)
        web.add_exception_handler(HTTPException, _no_route)
        web.add_exception_handler(CallerLeft, _left)
        web.add_exception_handler(ClientDisconnect, _left)
        web.include_router(health_routes(site, lambda: self._gate is not None and self._gate.draining))
        web.include_router(agent_routes(site))
        web.include_router(run_routes(site))
        web.include_router(chat_routes(site))
        web.include_router(metric_routes(site))
        for routes in self._app.routes:
            web.include_router(routes(site))
        document(web)
        bounded = Intake(
            _answered(web),
            max_body=self._settings.max_body,
            body_seconds=_BODY_SECONDS,
            larger=dict.fromkeys(self._app.uploads, self._settings.max_upload),
            render=rendered_for,
        )
        self.front = DoorKeeper(site, OPEN)
        return Gate(bounded, site, OPEN)


def _answered(web: FastAPI) -> Callable[[Any, Receive, Send], Awaitable[None]]:
    """Have an error end where it was answered: passed on it would be logged with its words, and the connection closed."""

    async def answered(scope: Any, receive: Receive, send: Send) -> None:
        try:
            await web(scope, receive, send)
        except Exception as error:  # noqa: BLE001  whatever it is, its caller was told already
            _log.error("a request failed: %s", told(error))

    return answered


async def _left(_request: Request, _error: Exception) -> Response:
    # Nobody reads it; the status is nginx's for the access log.
    return Response(status_code=499)


async def _told(_request: Request, error: Exception) -> Response:
    return _response(problem_of(error))


async def _no_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _response(problem(_STATUS.get(error.status_code, "bad-request")))
    response.headers.update(error.headers or {})
    return response


def _response(told: dict[str, Any]) -> Response:
    status, headers, body = rendered(told)
    response = Response(body, status)
    response.raw_headers = headers
    return response
