"""Runs that outlive their request: what is kept of one, and what a store of them promises.

    queued ──claim──▶ running ──finish──▶ done | failed | cancelled | refused
       ▲                 │
       └── lease over ───┘   (with tries left; else failed, or cancelled where that was asked for)

Every read takes the tenant: another tenant's run is not found, exactly as one that never was.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, get_args

from seawall.foundation.errors import ConfigError, Rejected, StoreError
from seawall.foundation.ids import new_id
from seawall.foundation.principal import Principal
from seawall.foundation.units import Period
from seawall.orchestration.engine import Json

RunState = Literal["queued", "running", "done", "failed", "cancelled", "refused"]
EndState = Literal["done", "failed", "cancelled", "refused"]
RunLane = Literal["interactive", "batch", "background"]
LANES: tuple[RunLane, ...] = get_args(RunLane)
ENDED: frozenset[RunState] = frozenset(get_args(EndState))
TRUNCATED = "truncated"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CODE = re.compile(r"[a-z0-9-]{0,64}")


class LeaseLost(StoreError):
    """The run is no longer this owner's: it ended, expired, or was taken by another after the lease ran out."""


class RunExists(StoreError):
    """The tenant has a run with this id: whoever stored it first does the work."""


class QueueFull(Rejected):
    """So many runs wait already that another would wait too long; `retry_after` is when a place should be free."""

    by = "run queue"

    def __init__(self, limit: int, whose: str, retry_after: float) -> None:
        super().__init__(f"{limit} runs of {whose} wait already; try again in {retry_after:.0f} s")
        self.retry_after = retry_after


def known_id(run_id: str) -> bool:
    """Whether an id could be one of ours: 1 to 64 letters, digits, `_` and `-`."""
    return _ID.fullmatch(run_id) is not None


def check_code(why: str) -> str:
    """Return the code; ConfigError unless it is one, since it is stored in plain text and must hold no content."""
    if _CODE.fullmatch(why) is None:
        raise ConfigError(
            "a reason is a code of at most 64 lower-case letters, digits and -, such as 'timed-out'; "
            "put what else there is to say into the output"
        )
    return why


@dataclass(frozen=True, slots=True)
class NewRun:
    """Work to be stored. `input` is any JSON; `attempts` is how many owners may try, as a dead one's try counts.

    Set `attempts=1` where doing it twice would do harm. `keep` overrides the store's retention.
    """

    principal: Principal
    agent: str
    input: Json
    lane: RunLane = "interactive"
    attempts: int = 3
    keep: Period | None = None
    id: str = field(default_factory=lambda: new_id("run"))

    def __post_init__(self) -> None:
        """Refuse what could not be found or tried."""
        if not known_id(self.id):
            raise ConfigError(
                "a run's id has 1 to 64 letters, digits, _ and -; leave it out to have one made"
            )
        if self.lane not in LANES:
            raise ConfigError(f"lane {self.lane!r} is none of {', '.join(LANES)}")
        if self.attempts < 1 or not self.agent:
            raise ConfigError("a run needs an agent's name and at least 1 attempt")


@dataclass(frozen=True, slots=True)
class Run:
    """A run without its content. Times are seconds since the epoch; `why` is a code, empty unless it ended badly.

    `last_seq` is the number of its last event, 0 where it has none; `attempts` is how often it was begun.
    """

    id: str
    tenant: str
    agent: str
    lane: RunLane
    state: RunState
    created_at: float
    expires_at: float
    started_at: float | None
    ended_at: float | None
    attempts: int
    cancel_requested: bool
    why: str
    last_seq: int
    truncated: bool

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with its content; `output` is None until it ended."""

    run: Run
    principal: Principal
    input: Json
    output: Json


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a run until a moment; `fence` tells this holder from an earlier one of the same name."""

    tenant: str
    run_id: str
    owner: str
    fence: int
    until: float
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A run to be worked on, now, by the holder of the lease."""

    run: Run
    principal: Principal
    input: Json
    lease: Lease


class Event(NamedTuple):
    """Something that happened in a run, to be appended."""

    kind: str
    data: Json


class RunEvent(NamedTuple):
    """An event in its place: a run's first has `seq` 1, and none is left out."""

    seq: int
    kind: str
    data: Json


class Appended(NamedTuple):
    """Number of the run's last event, and whether it is full: then that event is `truncated`, and none follows."""

    last_seq: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after a given one, in order, and the run as it stood before they were read."""

    run: Run
    events: Sequence[RunEvent]
    after: int

    @property
    def complete(self) -> bool:
        """Whether the run has ended and this page reaches its last event: nothing more will come."""
        reached = self.events[-1].seq if self.events else self.after
        return self.run.ended and reached >= self.run.last_seq


@dataclass(frozen=True, slots=True)
class Swept:
    """How many rows a sweep deleted, and how many runs it took from owners that are gone."""

    runs: int
    keys: int
    lost: int


def after_lost_lease(*, cancel_requested: bool, attempts: int, most_attempts: int) -> tuple[RunState, str]:
    """State and code of a run whose owner let the lease run out."""
    if cancel_requested:
        return "cancelled", ""
    if attempts >= most_attempts:
        # A run that kills whoever works on it must not go round for ever.
        return "failed", "worker-lost"
    return "queued", ""


class RunStore(Protocol):
    """Runs that several processes share. Every method raises StoreError where the store fails.

    A lease is the only right to change a run; LeaseLost says that it is gone, and the work should stop.
    """

    async def create(self, new: NewRun) -> Run:
        """Queue a run; QueueFull where too many wait, RunExists where the tenant has one of this id."""
        ...

    async def begin(self, new: NewRun, owner: str) -> Taken:
        """Store a run that its caller works on at once, without queueing; RunExists as for `create`."""
        ...

    async def claim(
        self,
        owner: str,
        *,
        most: int = 1,
        lanes: Sequence[RunLane] = LANES,
        agents: Sequence[str] | None = None,
    ) -> Sequence[Taken]:
        """Take up to `most` queued runs, better lanes first, the oldest first within a lane; no two callers get one."""
        ...

    async def heartbeat(self, lease: Lease) -> Lease:
        """Keep the run for another lease time; the new lease says whether somebody asked to cancel."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the run back to the queue, undone; the try does not count."""
        ...

    async def finish(self, lease: Lease, state: EndState, output: Json = None, why: str = "") -> Run:
        """End the run. `why` is a code such as `timed-out`, stored in plain text; what else there is goes into `output`."""
        ...

    async def cancel(self, tenant: str, run_id: str) -> Run | None:
        """End a queued run; ask the owner of a running one to stop; leave an ended one. None where there is none."""
        ...

    async def get(self, tenant: str, run_id: str) -> RunDetail | None:
        """Read one run."""
        ...

    async def list(self, tenant: str, *, most: int = 50, before: str | None = None) -> Sequence[Run]:
        """Read a tenant's runs, newest first; `before` is the id of the last one of the page before."""
        ...

    async def append_events(self, lease: Lease, events: Sequence[Event]) -> Appended:
        """Append a group of events, all in one write, up to the run's bound."""
        ...

    async def events_after(self, tenant: str, run_id: str, seq: int, *, most: int = 500) -> EventPage | None:
        """Read the events after `seq` (0: from the first), at most `most`; None where there is no such run."""
        ...

    async def waiting(self) -> Mapping[RunLane, int]:
        """How many runs are queued in each lane."""
        ...

    async def sweep(self) -> Swept:
        """Delete what expired, and put back or end what dead owners left. Call it every minute."""
        ...
