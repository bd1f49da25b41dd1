"""What a request's head alone decides without waiting: refused as it arrives, in one write, before there is a task for it."""

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

from seawall.defense.load import Shed
from seawall.edge.auth.authenticate import Pending
from seawall.edge.auth.refused import AuthRefused
from seawall.edge.deadline import DEADLINE, BadHeader, deadline_of
from seawall.edge.dialects import is_openais, rendered_for
from seawall.edge.head import Head, read_head
from seawall.edge.http.problems import problem, whole_seconds
from seawall.edge.http.protocol import wire
from seawall.edge.http.request_id import request_id
from seawall.edge.http.security import SECURITY
from seawall.edge.shedding import problem_of_shed
from seawall.edge.site import Site

# Where in a scope the front leaves what it learnt of the caller, so that the gate need not ask again.
CALLER = "seawall.caller"
_UNNAMED = (b"x-request-id", b"")
_NAME = b"x-request-id: "
_UNAVAILABLE = 503
_MOST_READY = 256


class DoorKeeper:
    """The protocol's `Front`: a caller that nobody knows, and work that there is no room for, go no further.

    Whether there is room depends on whose work it is, so that is asked first. What has to wait for anything goes on.
    """

    def __init__(self, site: Site, open_paths: frozenset[str]) -> None:
        self._site = site
        self._open = open_paths
        self._limits = site.limits.headers
        self._ready: dict[tuple[bool, str, int], tuple[bytes, bytes]] = {}

    def refuse(self, method: bytes, path: bytes, scope: MutableMapping[str, Any], ip: str) -> bytes | None:
        """Return the answer of what is refused, None for what goes on."""
        name = path.decode("latin-1")
        if name in self._open or name.startswith("/problems/"):
            return None
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        caller = self._site.authenticator.authenticate(headers, ip)
        if isinstance(caller, Pending):
            return None
        if isinstance(caller, AuthRefused):
            head = read_head(method.decode("latin-1"), name, headers, ip)
            return self._answer(head, problem_of_login(caller))
        scope[CALLER] = caller
        if method != b"POST" or not self._site.admission.crowded:
            return None
        head = read_head("POST", name, headers, ip)
        try:
            waits = deadline_of(head.own.get(DEADLINE))
        except BadHeader:
            # The gate says so.
            return None
        until = None if waits is None else self._site.clock.monotonic() + waits
        shed = self._site.admission.refusal(head.ticket(caller, until))
        return None if shed is None else self._turned_away(head, shed)

    def _turned_away(self, head: Head, shed: Shed) -> bytes:
        """Answer as most of those before were answered: all but the request's name is the same for a whole second."""
        limits = self._site.limits.headers
        if limits is not self._limits or len(self._ready) > _MOST_READY:
            self._limits, self._ready = limits, {}
        key = is_openais(head.path), shed.reason, whole_seconds(shed.retry_after)
        ready = self._ready.get(key)
        if ready is None:
            told = problem_of_shed(replace(shed, retry_after=float(key[2])))
            whole = wire(*rendered_for(head.path, told, [_UNNAMED, *SECURITY, *limits]))
            before, _, after = whole.partition(_NAME)
            ready = self._ready[key] = before + _NAME, after
        self._site.metrics.answered(_UNAVAILABLE)
        return ready[0] + request_id(head.own.get(_UNNAMED[0])).encode() + ready[1]

    def _answer(self, head: Head, told: dict[str, Any]) -> bytes:
        self._site.metrics.answered(told["status"])
        named = (_UNNAMED[0], request_id(head.own.get(_UNNAMED[0])).encode())
        return wire(*rendered_for(head.path, told, [named, *SECURITY]))


def problem_of_login(refused: AuthRefused) -> dict[str, Any]:
    """Return what a caller is told who was not let in."""
    if refused.again:
        return problem("unavailable", refused.detail, retry_after=5.0)
    return problem("unauthenticated", refused.detail)
