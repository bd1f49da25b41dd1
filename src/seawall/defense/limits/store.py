"""The seam between limits and what counts: requests, decisions, and what every store of counters does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from seawall.defense.limits.gcra import Quota, Verdict, wait_seconds
from seawall.defense.limits.spend import Unit
from seawall.defense.limits.window import Window
from seawall.foundation.errors import ConfigError


@dataclass(slots=True)
class Take:
    """`cost` units wanted from the bucket `key`. The key may hold a caller's name: it is never printed, and
    stores hash it.
    """

    # Not frozen, and Decision a tuple: a frozen dataclass takes as long to make as the whole decision.

    key: str = field(repr=False)
    quota: Quota | Window
    name: str
    cost: int = 1
    of: Unit = "requests"

    def __post_init__(self) -> None:
        """A negative cost would be a way to buy units."""
        if self.cost < 0:
            raise ConfigError(f"limit {self.name!r}: cost {self.cost} must be 0 (only look) or more")


class Taken(NamedTuple):
    """One bucket of a receipt: `mark` is how the take left it."""

    digest: bytes
    quota: Quota | Window
    cost: int
    mark: Any


class Receipt:
    """What a reservation took, for the store that took it to settle once. `open` until then."""

    __slots__ = ("id", "open", "taken")

    def __init__(self, taken: Sequence[Taken], id_: str = "") -> None:
        self.taken = tuple(taken)
        self.id = id_
        self.open = True


class Decision(NamedTuple):
    """Whether the work may start.

    `name`, `limit`, `remaining` (whole units of `of`; micro-dollars for usd) are those of the limit that decided:
    the one that holds longest if refused, the one with the least share left if admitted. `retry_after` is seconds
    until the same request can pass (0 if it did, None if it never will); `reset_after` is seconds until that limit
    is unused again. `store_full`: refused for want of room to count, not for what was asked. `degraded`: decided
    without the shared store. `receipt`: what `settle` needs, where the take was a reservation.
    """

    ok: bool
    limit: int
    remaining: int
    retry_after: float | None
    reset_after: float
    name: str
    store_full: bool = False
    degraded: bool = False
    of: Unit = "requests"
    receipt: Receipt | None = None


class CounterStore(Protocol):
    """Keeps buckets. Refusal is a value; a store that cannot answer raises StoreError, or decides without as its
    owner told it to.

    `now` is monotonic seconds of this process; a store shared by several takes its own clock instead.
    """

    @property
    def degraded(self) -> bool:
        """Whether it decides without the store that is shared, for readiness and metrics."""
        ...

    async def take(self, requests: Sequence[Take], now: float) -> Decision:
        """Spend from every bucket or from none, in one atomic step."""
        ...

    async def reserve(self, requests: Sequence[Take], now: float) -> Decision:
        """Take, and keep a receipt. A reservation nobody settles stays spent, and is earned back with time."""
        ...

    async def settle(self, receipt: Receipt, used: Sequence[int], now: float) -> bool:
        """Give back what was reserved and not used, bucket by bucket, or charge what was used beyond.

        `used` is whole units in the order of the reservation. What is charged beyond is taken whatever is left;
        what is given back never lets anyone over a limit. The first settlement counts, every later one of the same
        receipt changes nothing. False where the store could not note it: it may be tried again.
        """
        ...


def decide(requests: Sequence[Take], verdicts: Sequence[Verdict], receipt: Receipt | None = None) -> Decision:
    """Make one decision of a verdict on each request: all must agree."""
    if len(requests) == 1:
        return decide_one(requests[0], verdicts[0], receipt)
    refused = [at for at, verdict in enumerate(verdicts) if not verdict.ok]
    if refused:
        index = max(refused, key=lambda at: _longest(verdicts[at].retry_after))
    else:
        index = min(
            range(len(verdicts)), key=lambda at: verdicts[at].remaining / max(1, requests[at].quota.most)
        )
    return decide_one(requests[index], verdicts[index], receipt)


def decide_one(request: Take, verdict: Verdict, receipt: Receipt | None = None) -> Decision:
    """Make a decision of the verdict on the request that decides."""
    ok, _, remaining, wait, reset = verdict
    after = None if wait is None else wait_seconds(wait)
    kept = receipt if ok else None
    # By position: names would take half as long again.
    return Decision(
        ok,
        request.quota.limit,
        remaining,
        after,
        wait_seconds(reset),
        request.name,
        False,
        False,
        request.of,
        kept,
    )


def check_requests(requests: Sequence[Take]) -> None:
    """Refuse to decide on nothing."""
    if not requests:
        raise ConfigError("take() needs at least one request; where there is no limit, do not ask")


def check_settlement(receipt: Receipt, used: Sequence[int]) -> None:
    """Refuse a settlement that does not fit its reservation."""
    if len(used) != len(receipt.taken) or any(units < 0 for units in used):
        raise ConfigError(
            f"settle() got {len(used)} amounts for {len(receipt.taken)} buckets: expected one of at least 0 for each"
        )


def _longest(wait: int | None) -> float:
    return float("inf") if wait is None else wait
