"""Counters that several processes share, in one Redis or Valkey."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import Any, Literal

from seawall.defense.limits.gcra import Bucket, Quota, Verdict
from seawall.defense.limits.memory import MemoryStore
from seawall.defense.limits.redis_script import SETTLE, TAKE
from seawall.defense.limits.store import (
    Decision,
    Receipt,
    Take,
    Taken,
    check_requests,
    check_settlement,
    decide,
)
from seawall.defense.limits.window import Window
from seawall.foundation.errors import ConfigError, StoreError
from seawall.foundation.events import EventBus, StoreChanged
from seawall.foundation.patterns import compile_pattern
from seawall.foundation.storage.redis import RedisScripts
from seawall.foundation.units import Period, seconds

OnStoreError = Literal["local", "closed", "open"]

_NAMESPACE = compile_pattern(r"[A-Za-z0-9_.-]{1,64}")
_US = 1_000
# Without the store, whoever is refused for that may ask again when it is next tried.
_TRY_AGAIN = 1.0
# Microseconds; both together with the time since 1970 stay below 2^53, up to which doubles are exact.
_LONGEST_SPAN = 2 * 10**15
_LARGEST_CHARGE = 10**15


class RedisStore:
    """Buckets in Redis, one count for every process that uses the same `namespace` and `secret`.

    All limits of a take are one Lua script: all are spent or none, by Redis' own clock. Keys are keyed blake2b
    digests; every key expires once it is unused. Redis must not evict (`maxmemory-policy noeviction`).

    **While Redis answers**, at most `burst + (t + 1 µs) / interval` units (a window: `limit`) pass in any time t,
    over all processes. **While it does not**, `on_store_error` decides: `"closed"` refuses; `"open"` lets through
    uncounted; `"local"` (default) lets each of `replicas` processes spend its part of each limit from its own
    memory: the rate divided by `replicas`, burst or window divided and rounded down. What is rounded down to
    nothing, or asks for more than the part, is refused until Redis answers. Together the processes spend at most
    one limit more that way: `2 * (burst + t / interval)` in any time t that holds an outage. `degraded` says that
    it is so; `scripts` publishes StoreChanged. A take that Redis did and could not confirm in time counts as spent.

    **If Redis loses its memory** (a restart without persistence, a flush), every bucket counts as wholly spent at
    the instant at which a process that remembers first asks again. So the bound holds over the loss for every
    process that lived through it; processes started between the loss and that instant can spend up to one fresh
    burst besides. Where no process remembers, all buckets are new. `losses` counts what this process noticed.

    A reservation not settled within `hold` stays spent. For use from one event loop; closing `scripts` is its
    owner's business. ConfigError for settings that cannot hold.
    """

    def __init__(
        self,
        scripts: RedisScripts,
        *,
        secret: bytes,
        on_store_error: OnStoreError = "local",
        replicas: int | None = None,
        namespace: str = "seawall",
        hold: Period = "1h",
        events: EventBus | None = None,
    ) -> None:
        if not 16 <= len(secret) <= 64:
            raise ConfigError(
                f"RedisStore(secret): expected 16 to 64 random bytes, got {len(secret)}; such as keyring.key('limits')"
            )
        if on_store_error not in {"local", "closed", "open"}:
            raise ConfigError(f"on_store_error={on_store_error!r}: expected 'local', 'closed' or 'open'")
        if (replicas is None and on_store_error == "local") or (replicas is not None and replicas < 1):
            raise ConfigError(
                f"replicas={replicas!r}: say how many processes share this store, such as 4, or choose on_store_error='closed'"
            )
        if not _NAMESPACE.fullmatch(namespace):
            raise ConfigError(f"namespace={namespace!r}: expected 1 to 64 letters, digits, '_', '-' or '.'")
        self.losses = 0
        self._scripts = scripts
        self._secret = secret
        self._mode = on_store_error
        self._replicas = replicas or 1
        self._prefix = f"{{{namespace}}}:".encode()
        self._hold = round(seconds(hold) * 1000)
        self._events = events or EventBus()
        self._local = MemoryStore()
        self._epoch = b""
        self._nonce = secrets.token_hex(8)

    @property
    def degraded(self) -> bool:
        """Whether the last call got no answer, so that calls are decided without Redis."""
        return not self._scripts.healthy

    async def take(self, requests: Sequence[Take], now: float) -> Decision:
        """Spend from every bucket or from none; answers within the time limit of `scripts`, whatever Redis does."""
        return await self._ask(requests, now, hold=0)

    async def reserve(self, requests: Sequence[Take], now: float) -> Decision:
        """Take, and keep a receipt."""
        return await self._ask(requests, now, hold=self._hold)

    async def settle(self, receipt: Receipt, used: Sequence[int], now: float) -> bool:
        """Give back what was not used, charge what was used beyond; once, even where an answer was lost.

        False where Redis did not answer: what was reserved stays spent, unless it is tried again within `hold`.
        """
        check_settlement(receipt, used)
        if not receipt.id:
            return await self._local.settle(receipt, used, now)
        if not receipt.open:
            return True
        keys = [self._prefix + b"epoch", self._receipt_key(receipt.id)]
        arguments: list[bytes | str | int] = [self._epoch, self._nonce]
        for taken, units in zip(receipt.taken, used, strict=True):
            keys.append(self._prefix + taken.digest)
            arguments += _settled(taken, units)
        try:
            await self._scripts.run(SETTLE, keys, arguments)
        except StoreError:
            return False
        receipt.open = False
        return True

    async def _ask(self, requests: Sequence[Take], now: float, *, hold: int) -> Decision:
        check_requests(requests)
        digests = [self._digest(request.key) for request in requests]
        id_ = secrets.token_hex(16) if hold else ""
        keys = [self._prefix + b"epoch", self._receipt_key(id_), *(self._prefix + d for d in digests)]
        arguments: list[bytes | str | int] = [self._epoch, self._nonce, hold]
        for request in requests:
            arguments += _asked(request)
        try:
            read = partial(_answered, count=len(requests))
            epoch, instant, found = await self._scripts.run(TAKE, keys, arguments, read=read)
        except StoreError:
            return await self._without(requests, now, hold=hold)
        self._remember(epoch)
        verdicts = [_verdict(r, instant, f) for r, f in zip(requests, found, strict=True)]
        if not hold:
            return decide(requests, verdicts)
        taken = [_taken(r, d, f) for r, d, f in zip(requests, digests, found, strict=True)]
        return decide(requests, verdicts, Receipt(taken, id_))

    async def _without(self, requests: Sequence[Take], now: float, *, hold: int) -> Decision:
        first = requests[0]
        if self._mode == "open":
            limit = first.quota.limit
            return Decision(True, limit, limit, 0.0, 0.0, first.name, degraded=True, of=first.of)
        if self._mode == "closed":
            return _refused(first)
        parts = [replace(request, quota=request.quota.share(self._replicas)) for request in requests]
        for request, part in zip(requests, parts, strict=True):
            if part.quota.most < request.cost <= request.quota.most:
                return _refused(request)
        decision = await (self._local.reserve(parts, now) if hold else self._local.take(parts, now))
        return decision._replace(degraded=True)

    def _remember(self, epoch: bytes) -> None:
        if self._epoch and epoch != self._epoch:
            self.losses += 1
            why = "it lost its counters; every caller counts as having spent its burst"
            self._events.publish(StoreChanged("redis", healthy=True, why=why))
        self._epoch = epoch

    def _digest(self, key: str) -> bytes:
        return blake2b(key.encode(), key=self._secret, digest_size=16).digest()

    def _receipt_key(self, id_: str) -> bytes:
        return self._prefix + b"receipt:" + id_.encode()


def _answered(answer: list[Any], count: int) -> tuple[bytes, int, list[tuple[int, ...]]]:
    """Read what a take came to: the epoch, Redis' time, four numbers a bucket; ValueError where that is not it."""
    found = [tuple(int(n) for n in answer[at : at + 4]) for at in range(3, len(answer), 4)]
    if [len(numbers) for numbers in found] != [4] * count:
        raise ValueError("the answer has another shape than was asked for")
    return bytes(answer[2]), int(answer[1]), found


def _refused(request: Take) -> Decision:
    wait = _TRY_AGAIN
    return Decision(False, request.quota.limit, 0, wait, wait, request.name, degraded=True, of=request.of)


def _asked(request: Take) -> tuple[int, int, int, int]:
    """Say a take in numbers: slices (0 for a bucket), cost, the most at once, width; time in microseconds."""
    rule, cost = request.quota, request.cost
    if isinstance(rule, Window):
        # One more than the limit is refused like any more, and is a number Lua can hold.
        return rule.slices, min(cost, rule.limit + 1), rule.limit, _width(rule)
    span = _span(rule)
    if span > _LONGEST_SPAN:
        raise ConfigError(
            f"limit {request.name!r} takes longer than 63 years to earn back its burst; use a smaller burst"
        )
    return 0, span + 1 if cost > rule.burst else _time(rule, cost), span, 0


def _settled(taken: Taken, used: int) -> tuple[int, int, int, int, int, int]:
    rule = taken.quota
    if isinstance(rule, Window):
        spare = max(taken.cost - used, -_LARGEST_CHARGE)
        return rule.slices, spare, rule.limit, _width(rule), taken.mark, 0
    spare = max(_time(rule, taken.cost) - _time(rule, used), -_LARGEST_CHARGE)
    mark: Bucket = taken.mark
    return 0, spare, _span(rule), 0, mark.since, mark.tat + mark.given


def _taken(request: Take, digest: bytes, found: tuple[int, ...]) -> Taken:
    mark = found[2] if isinstance(request.quota, Window) else Bucket(*found[1:])
    return Taken(digest, request.quota, request.cost, mark)


def _verdict(request: Take, now: int, found: tuple[int, ...]) -> Verdict:
    """Read one bucket's four numbers; see the script."""
    rule, ok = request.quota, bool(found[0])
    never = not ok and request.cost > rule.most
    if isinstance(rule, Window):
        _, used, slot, free_at = found
        ends = max(now, (slot + rule.slices + 1) * _width(rule)) if used else now
        wait = None if never else 0 if ok else (free_at - now) * _US
        return Verdict(ok, ends * _US, max(0, rule.limit - used), wait, (ends - now) * _US)
    tat = found[1]
    spare = now + _span(rule) - tat
    wait = None if never else 0 if ok else (_time(rule, request.cost) - spare) * _US
    return Verdict(ok, tat * _US, max(0, spare * _US // rule.interval), wait, (tat - now) * _US)


def _time(rule: Quota, units: int) -> int:
    return -(-units * rule.interval // _US)


def _span(rule: Quota) -> int:
    return _time(rule, rule.burst)


def _width(rule: Window) -> int:
    return -(-rule.width // _US)
