"""What is known of a request once it was let in."""

from dataclasses import dataclass

from seawall.defense.limits import Caller
from seawall.defense.load import Pass
from seawall.edge.http.request_id import Trace

# What a key may allow: to ask any agent (`run`, or `run:NAME` for one), to read what others of the tenant had done, to read
# the numbers of the service.
RUN = "run"
READ = "read"
METRICS = "metrics"


@dataclass(slots=True)
class Entry:
    """Who asks, under which name the request goes, and until when (monotonic seconds) its caller waits.

    `place` is what work holds until it is answered; None for what only reads.
    """

    caller: Caller
    request_id: str
    trace: Trace
    until: float | None = None
    place: Pass | None = None

    def may(self, scope: str) -> bool:
        """Whether the caller's key allows something: by its name, or by `*`."""
        return scope in self.caller.scopes or "*" in self.caller.scopes

    def may_run(self, agent: str) -> bool:
        """Whether it may ask an agent."""
        return self.may(RUN) or self.may(f"{RUN}:{agent}")

    def take_place(self) -> Pass | None:
        """Take the place over from the request, for work that may outlive it."""
        place, self.place = self.place, None
        return place
