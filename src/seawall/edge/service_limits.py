"""The limits of a service, all agents together; they can be changed while it runs."""

from collections.abc import Sequence

from seawall.defense import RateLimit, SlidingWindow
from seawall.edge.http.problems import Headers
from seawall.edge.http.rate_headers import policy_header


class ServiceLimits:
    """What holds now: `all`, and as `headers` what every answer says of them."""

    def __init__(self, limits: Sequence[RateLimit | SlidingWindow]) -> None:
        self.change(limits)

    def change(self, limits: Sequence[RateLimit | SlidingWindow]) -> None:
        """Have other limits hold from now on; what was spent of one that keeps its name stays spent."""
        self.all = tuple(limits)
        self.headers: Headers = [policy_header(self.all)] if self.all else []
