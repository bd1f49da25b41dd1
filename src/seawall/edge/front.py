"""Work that there is no room for, refused as it arrives: before anybody asks who it is from, and without a task for it."""

from seawall.defense.load import Gate as Places
from seawall.edge.http.problems import problem, rendered
from seawall.edge.http.protocol import wire
from seawall.edge.http.request_id import request_id
from seawall.edge.http.security import SECURITY


class FullHouse:
    """The protocol's `Front`: where all places and the queue are taken, posted work costs one write."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def refuse(
        self, method: bytes, _path: bytes, headers: list[tuple[bytes, bytes]], _ip: str
    ) -> bytes | None:
        """Return the answer of what is refused, None for what goes on."""
        refused = self._places.full() if method == b"POST" else None
        if refused is None:
            return None
        given = next((value for name, value in headers if name == b"x-request-id"), None)
        told = problem("overloaded", retry_after=refused.retry_after)
        return wire(*rendered(told, [(b"x-request-id", request_id(given).encode()), *SECURITY]))
