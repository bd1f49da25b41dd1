"""The way in, by a request's line and headers alone: who it is, whether it may ask, whether there is room.

Where counts are kept in memory, nothing of it waits: what is refused is refused before there is a task for it, which is
what `Front` is for. What has to wait (a place, a store far away, a key of an identity provider) waits in the request's own.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from seawall.defense.abuse import Distrusted
from seawall.defense.limits import Caller, Decision, RateLimited, take_all
from seawall.defense.load import Gate as Places
from seawall.defense.load import Refused, Slot
from seawall.edge.auth.authenticate import Pending
from seawall.edge.auth.refused import AuthRefused
from seawall.edge.deadline import DEADLINE, BadHeader, deadline_of
from seawall.edge.entry import Entry
from seawall.edge.http.problems import problem, rendered
from seawall.edge.http.rate_headers import policy_header, state_header
from seawall.edge.http.request_id import Trace, request_id, trace_of
from seawall.edge.http.security import SECURITY
from seawall.edge.refusals import problem_of
from seawall.edge.site import Site
from seawall.foundation.errors import Rejected

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]
Head = list[tuple[bytes, bytes]]
Told = dict[str, Any]

_NAMES = frozenset({b"x-request-id", b"traceparent"})


@dataclass(slots=True)
class Asking:
    """A request on its way in: what is known of it so far."""

    method: bytes
    path: bytes
    headers: Head
    ip: str
    caller: Caller | None = None
    until: float | None = None
    decision: Decision | None = None
    request_id: str = ""
    trace: Trace | None = None


class Gate:
    """Stands before the application; `open_paths` ask for no caller, everything else does.

    Work, which is whatever is posted, needs a place; reading does not.
    """

    def __init__(self, app: App, site: Site, places: Places, open_paths: frozenset[str]) -> None:
        self._app = app
        self._site = site
        self._places = places
        self._open = open_paths
        self._policy = policy_header(site.limits)
        self.draining = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        headers: Head = scope["headers"]
        client = scope.get("client")
        asking = Asking(
            scope["method"].encode(), scope["path"].encode(), headers, client[0] if client else ""
        )
        self._name(asking)
        if scope["path"] in self._open or scope["path"].startswith("/problems/"):
            await self._app(scope, receive, self._with_headers(asking, send))
            return
        try:
            place = await self._admitted(asking)
        except (Rejected, BadHeader, _Unknown) as refusal:
            await _answer(send, *rendered(_told(refusal), self._headers(asking)))
            return
        assert asking.caller is not None
        assert asking.trace is not None
        scope["seawall"] = Entry(asking.caller, asking.request_id, asking.trace, asking.until)
        with place or nullcontext():
            await self._app(scope, receive, self._with_headers(asking, send))

    async def _admitted(self, asking: Asking) -> Slot | None:
        """Return the place of work, None for what needs none; raise why it does not go on."""
        if self.draining:
            raise _Unknown(problem("draining", retry_after=1.0))
        caller = self._site.authenticator.authenticate(asking.headers, asking.ip)
        if isinstance(caller, Pending):
            caller = await caller.settle()
        if isinstance(caller, AuthRefused):
            raise _Unknown(_unauthenticated(caller))
        asking.caller = caller
        asking.until = self._until(asking)
        await self._counted(asking, caller)
        if asking.method != b"POST":
            return None
        place = await self._places.acquire()
        if isinstance(place, Refused):
            raise _Unknown(problem("overloaded", retry_after=place.retry_after))
        if asking.until is not None and self._site.clock.monotonic() >= asking.until:
            place.release()
            raise _Unknown(
                problem("deadline", "the time that the caller allows went by in the queue", retry_after=1.0)
            )
        return place

    async def _counted(self, asking: Asking, caller: Caller) -> None:
        stores = self._site.stores
        standing = None if stores.trust is None else await stores.trust.look(caller)
        if standing is not None and standing.retry_after is not None:
            raise Distrusted(standing.retry_after)
        if stores.counters is None or not self._site.limits:
            return
        now = self._site.clock.monotonic()
        weight = 1 if standing is None else standing.weight
        asking.decision = await take_all(stores.counters, self._site.limits, caller, now, weight)
        if asking.decision is not None and not asking.decision.ok:
            raise RateLimited(asking.decision)

    def _until(self, asking: Asking) -> float | None:
        said = next((value for name, value in asking.headers if name == DEADLINE), None)
        waits = deadline_of(said)
        return None if waits is None else self._site.clock.monotonic() + waits

    def _name(self, asking: Asking) -> None:
        told = {name: value for name, value in asking.headers if name in _NAMES}
        asking.request_id = request_id(told.get(b"x-request-id"))
        asking.trace = trace_of(told.get(b"traceparent"))

    def _headers(self, asking: Asking) -> Head:
        own: Head = [(b"x-request-id", asking.request_id.encode()), *SECURITY]
        if asking.caller is not None and self._site.limits:
            own.append(self._policy)
        if asking.decision is not None:
            own.append(state_header(asking.decision))
        return own

    def _with_headers(self, asking: Asking, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers(asking)]
            await send(message)

        return sending


class _Unknown(Exception):
    """A refusal that is told as it is."""

    def __init__(self, told: Told) -> None:
        super().__init__(told["code"])
        self.told = told


def _told(refusal: Exception) -> Told:
    if isinstance(refusal, _Unknown):
        return refusal.told
    if isinstance(refusal, BadHeader):
        return problem("bad-request", str(refusal))
    return problem_of(refusal)


def _unauthenticated(refused: AuthRefused) -> Told:
    if refused.again:
        return problem("unavailable", refused.detail, retry_after=5.0)
    return problem("unauthenticated", refused.detail)


async def _answer(send: Send, status: int, headers: Head, body: bytes) -> None:
    if status == 401:
        headers = [*headers, (b"www-authenticate", b'Bearer realm="seawall"')]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
