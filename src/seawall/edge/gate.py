"""The way in, by a request's line and headers alone: who it is, whether it may ask, whether there is room.

What can be decided without waiting was decided by the front; what has to wait (a place, a store far away, a key of an identity
provider) waits here, in the request's own task, and what the front did not see is seen here.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from seawall.defense.abuse import Distrusted
from seawall.defense.limits import Caller, Decision, RateLimited, take_all
from seawall.defense.load import Pass, Shed
from seawall.edge.auth.authenticate import Pending
from seawall.edge.auth.refused import AuthRefused
from seawall.edge.deadline import DEADLINE, BadHeader, deadline_of
from seawall.edge.dialects import rendered_for
from seawall.edge.entry import Entry
from seawall.edge.front import CALLER, problem_of_login
from seawall.edge.head import Head, read_head
from seawall.edge.http.problems import problem
from seawall.edge.http.rate_headers import state_header
from seawall.edge.http.request_id import request_id, trace_of
from seawall.edge.http.security import SECURITY
from seawall.edge.refusals import problem_of
from seawall.edge.shedding import outcome_of, problem_of_shed
from seawall.edge.site import Site
from seawall.foundation.errors import Rejected
from seawall.foundation.events import Refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Told = dict[str, Any]


_FAILED = 500


@dataclass(slots=True)
class _Asking:
    """A request on its way in: what is known of it so far."""

    head: Head
    headers: Headers
    request_id: str
    caller: Caller | None = None
    decision: Decision | None = None
    status: int | None = None


class Gate:
    """Stands before the application; `open_paths` ask for no caller, everything else does.

    Work, which is whatever is posted, needs a place; reading does not.
    """

    def __init__(self, app: App, site: Site, open_paths: frozenset[str]) -> None:
        self._app = app
        self._site = site
        self._open = open_paths
        self.draining = False

    def drain(self) -> None:
        """Let nothing more in, and send away whoever waits."""
        self.draining = True
        self._site.admission.drain()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        headers: Headers = scope["headers"]
        client = scope.get("client")
        head = read_head(scope["method"], scope["path"], headers, client[0] if client else "")
        asking = _Asking(head, headers, request_id(head.own.get(b"x-request-id")))
        sending = self._with_headers(asking, send)
        if head.path in self._open or head.path.startswith("/problems/"):
            await self._app(scope, receive, sending)
            return
        try:
            entry = await self._admitted(asking, scope.get(CALLER))
        except (Rejected, BadHeader, _Refused) as refusal:
            await _answer(sending, *rendered_for(head.path, _told(refusal)))
            return
        scope["seawall"] = entry
        try:
            await self._app(scope, receive, sending)
        finally:
            if entry.place is not None:
                entry.place.leave(outcome_of(asking.status))

    async def _admitted(self, asking: _Asking, caller: Caller | None) -> Entry:
        """Return what is known of a request that goes on; raise why it does not."""
        if self.draining:
            raise _Refused(problem("draining", retry_after=1.0))
        caller = asking.caller = caller or await self._known(asking)
        waits = deadline_of(asking.head.own.get(DEADLINE))
        until = None if waits is None else self._site.clock.monotonic() + waits
        try:
            await self._counted(asking, caller)
        except (Distrusted, RateLimited) as refusal:
            self._site.events.publish(Refused("", caller.tenant, refusal.by, refusal.retry_after))
            raise
        if asking.head.works and self._site.people.is_restricted(caller.tenant, caller.subject):
            raise _Refused(problem("restricted"))
        place = await self._place(asking, caller, until) if asking.head.works else None
        return Entry(caller, asking.request_id, trace_of(asking.head.own.get(b"traceparent")), until, place)

    async def _known(self, asking: _Asking) -> Caller:
        caller = self._site.authenticator.authenticate(asking.headers, asking.head.ip)
        if isinstance(caller, Pending):
            caller = await caller.settle()
        if isinstance(caller, AuthRefused):
            raise _Refused(problem_of_login(caller))
        return caller

    async def _counted(self, asking: _Asking, caller: Caller) -> None:
        stores = self._site.stores
        standing = None if stores.trust is None else await stores.trust.look(caller)
        if standing is not None and standing.retry_after is not None:
            raise Distrusted(standing.retry_after)
        if stores.counters is None or not self._site.limits.all:
            return
        now = self._site.clock.monotonic()
        weight = 1 if standing is None else standing.weight
        asking.decision = await take_all(stores.counters, self._site.limits.all, caller, now, weight)
        if asking.decision is not None and not asking.decision.ok:
            raise RateLimited(asking.decision)

    async def _place(self, asking: _Asking, caller: Caller, until: float | None) -> Pass:
        place = await self._site.admission.enter(asking.head.ticket(caller, until))
        if isinstance(place, Shed):
            raise _Refused(problem_of_shed(place))
        return place

    def _headers(self, asking: _Asking) -> Headers:
        own: Headers = [(b"x-request-id", asking.request_id.encode()), *SECURITY]
        if asking.caller is not None:
            own += self._site.limits.headers
        if asking.decision is not None:
            own.append(state_header(asking.decision))
        return own

    def _with_headers(self, asking: _Asking, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                if self._site.settings.audit.sync and message["status"] < _FAILED:
                    # Nobody learns of what was decided before it is on disk.
                    await asyncio.to_thread(self._site.records.audit.flush)
                asking.status = message["status"]
                self._site.metrics.answered(message["status"])
                message["headers"] = [*message["headers"], *self._headers(asking)]
            await send(message)

        return sending


class _Refused(Exception):
    """A refusal that is told as it is."""

    def __init__(self, told: Told) -> None:
        super().__init__(told["code"])
        self.told = told


def _told(refusal: Exception) -> Told:
    if isinstance(refusal, _Refused):
        return refusal.told
    if isinstance(refusal, BadHeader):
        return problem("bad-request", str(refusal))
    return problem_of(refusal)


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
