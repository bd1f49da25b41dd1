"""Where buckets are kept, and the one in this process."""

import heapq
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

from seawall.defense.limits.gcra import Quota, Verdict, gcra, nanoseconds, wait_seconds
from seawall.foundation.errors import ConfigError

_CLEANED_PER_KEY = 2
_CLEANED_WHEN_FULL = 64
_SHORTEST_WAIT_WHEN_FULL = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Take:
    """`cost` units wanted from the bucket `key`. The key may hold a caller's name: it is never printed, and
    stores hash it.
    """

    key: str = field(repr=False)
    quota: Quota
    name: str
    cost: int = 1

    def __post_init__(self) -> None:
        """A negative cost would be a way to buy units."""
        if self.cost < 0:
            raise ConfigError(f"limit {self.name!r}: cost {self.cost} must be 0 (only look) or more")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the work may start.

    `name`, `limit` and `remaining` are those of the limit that decided: the one that holds longest if
    refused, the one with least left if admitted. `retry_after` is seconds until the same request can pass (0
    if it did, None if it never will); `reset_after` is seconds until that limit is unused again.
    `store_full`: refused for want of room to count, not for what was asked.
    """

    ok: bool
    limit: int
    remaining: int
    retry_after: float | None
    reset_after: float
    name: str
    store_full: bool = False


class CounterStore(Protocol):
    """Keeps buckets. Refusal is a value, failure of the store is a StoreError: a limit's owner chooses what
    that means.
    """

    async def take(self, requests: Sequence[Take], now: float) -> Decision:
        """Spend from every bucket or from none, in one atomic step.

        `now` is monotonic seconds of this process; a store shared by several takes its own clock instead.
        """
        ...


class MemoryStore:
    """Buckets of one process, at most `max_keys`, for use from one event loop; gone when the process is.

    Keys are kept as blake2b digests under a secret that lives as long as the store. A bucket that is unused
    again is forgotten, which changes no decision; each take clears a bounded number of them, so no call ever
    sweeps the store. Full of buckets still in use, it refuses keys it does not know and goes on serving the
    ones it does: forgetting a live bucket would hand its caller a fresh burst, and whoever can make many keys
    could then lift every limit. `full_refusals` counts those: anything but 0 asks for a larger `max_keys`, or
    a limit on who makes the keys.
    """

    def __init__(self, max_keys: int = 100_000) -> None:
        if max_keys < 1:
            raise ConfigError(f"MemoryStore(max_keys={max_keys}): expected at least 1, such as 100_000")
        self.full_refusals = 0
        self._max_keys = max_keys
        self._secret = secrets.token_bytes(32)
        self._tats: dict[bytes, int] = {}
        # One entry for each key, holding the time at which it was last known to expire: its bucket may have grown
        # since, never shrunk, so whatever is not due here is not due there.
        self._due: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        """Buckets held."""
        return len(self._tats)

    async def take(self, requests: Sequence[Take], now: float) -> Decision:
        """Spend from every bucket or from none; nothing is awaited between looking and spending, so it is
        atomic.
        """
        if not requests:
            raise ConfigError("take() needs at least one request; where there is no limit, do not ask")
        instant = nanoseconds(now)
        self._clean(instant, _CLEANED_PER_KEY * len(requests))
        staged: dict[bytes, int] = {}
        verdicts: list[Verdict] = []
        for request in requests:
            digest = blake2b(request.key.encode(), key=self._secret, digest_size=16).digest()
            tat = staged.get(digest) or self._tats.get(digest, 0)
            verdict = gcra(tat, instant, request.quota, request.cost)
            verdicts.append(verdict)
            if verdict.ok and request.cost:
                staged[digest] = verdict.tat
        decision = _decide(requests, verdicts)
        if decision.ok and not self._keep(staged, instant):
            return self._full(requests, instant)
        return decision

    def _keep(self, staged: dict[bytes, int], now: int) -> bool:
        new = [digest for digest in staged if digest not in self._tats]
        if new and len(self._tats) + len(new) > self._max_keys:
            self._clean(now, _CLEANED_WHEN_FULL)
            # Cleaning never drops a key of this take that is live, but it may drop one that had expired.
            new = [digest for digest in staged if digest not in self._tats]
            if len(self._tats) + len(new) > self._max_keys:
                return False
        for digest in new:
            heapq.heappush(self._due, (staged[digest], digest))
        self._tats.update(staged)
        return True

    def _clean(self, now: int, entries: int) -> None:
        for _ in range(entries):
            if not self._due or self._due[0][0] > now:
                return
            digest = self._due[0][1]
            tat = self._tats[digest]
            if tat > now:
                heapq.heapreplace(self._due, (tat, digest))
            else:
                heapq.heappop(self._due)
                del self._tats[digest]

    def _full(self, requests: Sequence[Take], now: int) -> Decision:
        self.full_refusals += 1
        wait = wait_seconds(max(_SHORTEST_WAIT_WHEN_FULL, self._due[0][0] - now))
        first = requests[0]
        return Decision(False, first.quota.limit, 0, wait, wait, first.name, store_full=True)


def _decide(requests: Sequence[Take], verdicts: Sequence[Verdict]) -> Decision:
    refused = [index for index, verdict in enumerate(verdicts) if not verdict.ok]
    if refused:
        index = max(refused, key=lambda at: _longest(verdicts[at].retry_after))
    else:
        index = min(range(len(verdicts)), key=lambda at: verdicts[at].remaining)
    verdict, request = verdicts[index], requests[index]
    wait = None if verdict.retry_after is None else wait_seconds(verdict.retry_after)
    return Decision(
        not refused,
        request.quota.limit,
        verdict.remaining,
        wait,
        wait_seconds(verdict.reset_after),
        request.name,
    )


def _longest(wait: int | None) -> float:
    return float("inf") if wait is None else wait
