"""Counters of one process."""

import heapq
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from seawall.defense.limits.gcra import Verdict, nanoseconds, wait_seconds
from seawall.defense.limits.store import (
    Decision,
    Receipt,
    Take,
    Taken,
    check_requests,
    check_settlement,
    decide,
    decide_one,
)
from seawall.foundation.errors import ConfigError

_CLEANED_PER_KEY = 2
_CLEANED_WHEN_FULL = 64
_SHORTEST_WAIT_WHEN_FULL = 1_000_000_000


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
        # A bucket or a log; its first number is the instant from which it need not be kept.
        self._states: dict[bytes, Any] = {}
        # One entry for each key, holding an instant at which it was to expire: where its bucket has grown since, the
        # entry is put off when it is due; where it has shrunk, the key stays a little longer than it must.
        self._due: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        """Buckets held."""
        return len(self._states)

    @property
    def degraded(self) -> bool:
        """Never: there is no store that could be away."""
        return False

    async def take(self, requests: Sequence[Take], now: float) -> Decision:
        """Spend from every bucket or from none; nothing is awaited between looking and spending, so it is
        atomic.
        """
        instant = nanoseconds(now)
        if len(requests) != 1:
            return self._take(requests, instant, None)
        # As below, for the one limit that most callers have: half the time.
        request = requests[0]
        if self._due and self._due[0][0] <= instant:
            self._clean(instant, _CLEANED_PER_KEY)
        digest = blake2b(request.key.encode(), key=self._secret, digest_size=16).digest()
        rule: Any = request.quota
        before = self._states.get(digest)
        verdict, state = rule.judge(before, instant, request.cost)
        if verdict.ok and request.cost:
            if before is not None:
                self._states[digest] = state
            elif not self._keep({digest: state}, instant):
                return self._full(requests, instant)
        return decide_one(request, verdict)

    async def reserve(self, requests: Sequence[Take], now: float) -> Decision:
        """Take, and keep a receipt."""
        return self._take(requests, nanoseconds(now), [])

    async def settle(self, receipt: Receipt, used: Sequence[int], now: float) -> bool:
        """Give back what was not used, charge what was used beyond; once. False only where a charge to a bucket
        already forgotten finds the store full.
        """
        check_settlement(receipt, used)
        if not receipt.open:
            return True
        receipt.open = False
        instant, noted = nanoseconds(now), True
        for (digest, quota, cost, mark), units in zip(receipt.taken, used, strict=True):
            rule: Any = quota
            state = rule.settle(self._states.get(digest), mark, instant, cost - units)
            if state is not None:
                noted = self._keep({digest: state}, instant) and noted
        return noted

    def _take(self, requests: Sequence[Take], instant: int, taken: list[Taken] | None) -> Decision:
        check_requests(requests)
        self._clean(instant, _CLEANED_PER_KEY * len(requests))
        staged: dict[bytes, Any] = {}
        verdicts: list[Verdict] = []
        for request in requests:
            digest = blake2b(request.key.encode(), key=self._secret, digest_size=16).digest()
            rule: Any = request.quota
            before = staged.get(digest) or self._states.get(digest)
            verdict, state = rule.judge(before, instant, request.cost)
            verdicts.append(verdict)
            if verdict.ok and request.cost:
                staged[digest] = state
            if taken is not None:
                taken.append(Taken(digest, request.quota, request.cost, state))
        decision = decide(requests, verdicts, None if taken is None else Receipt(taken))
        if decision.ok and not self._keep(staged, instant):
            return self._full(requests, instant)
        return decision

    def _keep(self, staged: dict[bytes, Any], now: int) -> bool:
        new = [digest for digest in staged if digest not in self._states]
        if new and len(self._states) + len(new) > self._max_keys:
            self._clean(now, _CLEANED_WHEN_FULL)
            # Cleaning never drops a key of this take that is live, but it may drop one that had expired.
            new = [digest for digest in staged if digest not in self._states]
            if len(self._states) + len(new) > self._max_keys:
                return False
        for digest in new:
            heapq.heappush(self._due, (staged[digest][0], digest))
        self._states.update(staged)
        return True

    def _clean(self, now: int, entries: int) -> None:
        for _ in range(entries):
            if not self._due or self._due[0][0] > now:
                return
            digest = self._due[0][1]
            ends = self._states[digest][0]
            if ends > now:
                heapq.heapreplace(self._due, (ends, digest))
            else:
                heapq.heappop(self._due)
                del self._states[digest]

    def _full(self, requests: Sequence[Take], now: int) -> Decision:
        self.full_refusals += 1
        wait = wait_seconds(max(_SHORTEST_WAIT_WHEN_FULL, self._due[0][0] - now))
        first = requests[0]
        return Decision(False, first.quota.limit, 0, wait, wait, first.name, store_full=True, of=first.of)
