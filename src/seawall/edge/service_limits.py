"""The limits of a service, all agents together; they can be changed while it runs."""

from collections.abc import Sequence

from seawall.defense import RateLimit, SlidingWindow
from seawall.edge.app import Seawall
from seawall.edge.http.problems import Headers
from seawall.edge.http.rate_headers import policy_header
from seawall.edge.settings import Settings


def limits_of(app: Seawall, settings: Settings) -> Sequence[RateLimit | SlidingWindow]:
    """Return the limits of the settings, or else those of the application."""
    return app.limits if settings.limits is None else [limit.rate_limit() for limit in settings.limits]


class ServiceLimits:
    """What holds now: `all`, and as `headers` what every answer says of them."""

    def __init__(self, limits: Sequence[RateLimit | SlidingWindow]) -> None:
        self.change(limits)

    def change(self, limits: Sequence[RateLimit | SlidingWindow]) -> None:
        """Have other limits hold from now on; what was spent of one that keeps its name stays spent."""
        self.all = tuple(limits)
        self.headers: Headers = [policy_header(self.all)] if self.all else []
