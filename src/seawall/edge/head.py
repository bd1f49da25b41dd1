"""A request as far as its line and headers say what it is: all that is known when it is decided upon."""

from collections.abc import Iterable
from dataclasses import dataclass

from seawall.defense.limits import Caller
from seawall.defense.load import Lane, Ticket
from seawall.edge.http.priority import lane_of

# What stands for a kilobyte more in the queue: an ordinary run is asked for in less than this.
_ORDINARY_BYTES = 16_384
_OWN = frozenset(
    {b"x-request-id", b"traceparent", b"seawall-deadline", b"priority", b"content-length", b"content-type"}
)


@dataclass(frozen=True, slots=True)
class Head:
    """One request's line and headers; `own` are those that the gate reads, each once."""

    method: str
    path: str
    own: dict[bytes, bytes]
    ip: str

    @property
    def works(self) -> bool:
        """Whether it asks for work, which needs a place; reading does not."""
        return self.method == "POST"

    def ticket(self, caller: Caller, until: float | None) -> Ticket:
        """Return what it asks for a place with. It costs more the longer its body, known before a byte of it is read."""
        lane: Lane = lane_of(self.own.get(b"priority"))
        length = self.own.get(b"content-length", b"")
        cost = 1.0 + (int(length) / _ORDINARY_BYTES if length.isdigit() and len(length) < 16 else 0.0)
        return Ticket(caller.tenant, lane, cost, until, kind=self.path)


def read_head(method: str, path: str, headers: Iterable[tuple[bytes, bytes]], ip: str) -> Head:
    """Pick out what the gate reads; of a header that is there twice, the last."""
    return Head(method, path, {name: value for name, value in headers if name in _OWN}, ip)
