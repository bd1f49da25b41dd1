"""Circuit breakers whose state all processes share through Redis, and which go on alone while it gives no answer."""

import asyncio
import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from types import TracebackType
from typing import Any, NamedTuple, Self

from seawall.defense.resilience.breaker import State
from seawall.defense.resilience.config import CircuitBreaker
from seawall.defense.resilience.shared_breaker import Heard, Line, SharedBreaker
from seawall.defense.resilience.shared_script import EXCHANGE, NAMES
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import ConfigError, StoreError
from seawall.foundation.patterns import compile_pattern
from seawall.foundation.storage.redis import RedisScripts
from seawall.foundation.units import Period, seconds

_NAMESPACE = compile_pattern(r"[A-Za-z0-9_.-]{1,64}")
_RANDOM = secrets.SystemRandom().random
_US = 1_000_000
_JITTER = 0.2
_STATES: dict[bytes, State] = {
    b"closed": "closed",
    b"open": "open",
    b"half_open": "half_open",
    b"isolated": "isolated",
}
_MOST_BREAKERS = 256
# Seconds between two times of saying which breakers there are.
_NAMED_AGAIN = 60.0
# Seconds; shorter than the rest that a store gets which did not answer, so that what got no answer is dead by then.
_DEADLINE = 0.5


class _Answer(NamedTuple):
    heeded: bool
    now: int
    heard: dict[int, Heard]


class SharedBreakers:
    """The breakers of one process that share their state with every process of the same `namespace` and `secret`.

    Use it as `async with`, on one event loop; closing `scripts` is its owner's business. One background task tells
    Redis what is new and hears what others said, for all breakers in one script call each `every`, and at once when
    one trips, a probe ends or an operator speaks: so all processes agree within `every` and two round trips. Which
    state wins, and what happens without Redis, is said at `SharedBreaker`.

    Keys are keyed blake2b digests of the names and expire: isolated after 400 days, all else after 10 minutes or
    longer unused. The names themselves, for an operator to see, are kept in one set for an hour. The `why` of an operator is kept in Redis as it is. Redis must not evict (`noeviction`). At most
    256 breakers. ConfigError for settings that cannot hold.
    """

    def __init__(
        self,
        scripts: RedisScripts,
        *,
        secret: bytes,
        namespace: str = "seawall",
        every: Period = "100ms",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not 16 <= len(secret) <= 64:
            raise ConfigError(
                f"SharedBreakers(secret): expected 16 to 64 random bytes, got {len(secret)}; such as keyring.key('breakers')"
            )
        if not _NAMESPACE.fullmatch(namespace):
            raise ConfigError(f"namespace={namespace!r}: expected 1 to 64 letters, digits, '_', '-' or '.'")
        self.every = seconds(every)
        self.me = secrets.token_hex(4)
        self._scripts = scripts
        self._secret = secret
        self._prefix = f"{{{namespace}}}:breaker:".encode()
        self._clock = clock
        self._breakers: dict[str, SharedBreaker] = {}
        self._named: dict[str, float] = {}
        self._urgent = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # What to add to this process's clock to have Redis' own; a guess until Redis has answered once.
        self._ahead = round((clock.time() - clock.monotonic()) * _US)
        self._heard = False

    async def __aenter__(self) -> Self:
        """Begin to exchange; waits for nothing."""
        self._task = asyncio.create_task(self._run(), name="seawall shared breakers")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell what is still to be told, and stop; the breakers go on in this process alone."""
        task, self._task = self._task, None
        assert task is not None, "entered before it is left"
        # Asked to end rather than cancelled: on Python 3.11 a call to Redis can lose a cancellation.
        self.wake()
        await task
        with suppress(StoreError):
            await self._exchange([breaker for breaker in self._breakers.values() if breaker.pending])

    @property
    def answers(self) -> bool:
        """Whether Redis answered last, so that states are shared."""
        return self._task is not None and not self._task.done() and self._scripts.healthy

    def breaker(self, name: str, config: CircuitBreaker) -> SharedBreaker:
        """Return the breaker of that name, the same one each time; ConfigError if it has another config."""
        found = self._breakers.get(name)
        if found is None:
            if len(self._breakers) >= _MOST_BREAKERS:
                raise ConfigError(
                    f"SharedBreakers: expected at most {_MOST_BREAKERS} breakers; name them by dependency, never by caller"
                )
            digest = blake2b(name.encode(), key=self._secret, digest_size=16).hexdigest()
            found = SharedBreaker(config, self, self._prefix + digest.encode(), self._clock)
            self._breakers[name] = found
            self.wake()
        elif found.config != config:
            raise ConfigError(
                f"breaker {name!r} is there with another config; give both the same, or two names"
            )
        return found

    async def exchange(self) -> None:
        """Tell and hear now, for all breakers; StoreError where Redis gives no answer."""
        await self._exchange(list(self._breakers.values()))

    async def names(self) -> list[str]:
        """Return the name of every breaker that any process made lately; StoreError where Redis gives no answer."""
        known = await self._scripts.run(NAMES, [self._prefix + b"names"], list(self._breakers), read=_names)
        now = self._clock.monotonic()
        self._named = dict.fromkeys(self._breakers, now)
        return sorted(known)

    def wake(self) -> None:
        """Exchange now rather than at the next turn."""
        self._urgent.set()

    def store_time(self, now: float) -> int:
        """Return Redis' time at the monotonic second `now` in microseconds, as far as it is known here."""
        return round(now * _US) + self._ahead

    async def ask(self, breaker: SharedBreaker, lease: str) -> Heard:
        """Ask for a probe under the name `lease`; StoreError where there is no answer."""
        heard = (await self._exchange([breaker], lease))[0]
        if heard is None:
            raise StoreError(
                "the shared store did not say whether a probe may pass; see what else writes to it"
            )
        return heard

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while self._task is task and not task.cancelling():
            self._urgent.clear()
            with suppress(StoreError):
                await self.exchange()
                if self._unnamed(self._clock.monotonic()):
                    await self.names()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.every):
                    await self._urgent.wait()

    def _unnamed(self, now: float) -> bool:
        return any(now - self._named.get(name, -_NAMED_AGAIN) >= _NAMED_AGAIN for name in self._breakers)

    async def _exchange(self, breakers: Sequence[SharedBreaker], lease: str = "") -> list[Heard | None]:
        """Tell and hear in one atomic step; StoreError, and every breaker on its own, where there is no answer."""
        if not breakers:
            return []
        sent = self._clock.monotonic()
        lines = [breaker.say(sent, lease) for breaker in breakers]
        try:
            answer = await self._run_script(breakers, lines)
            if not answer.heeded:
                # Redis answers, only its clock went ahead of what is known of it here: now it is known.
                answer = await self._run_script(breakers, lines)
            if not answer.heeded:
                raise StoreError(
                    "the shared store read two calls too late to heed them; see that it is not overloaded"
                )
        except StoreError:
            for breaker in breakers:
                breaker.unheard(self._clock.monotonic())
            raise
        heard = [answer.heard.get(index) for index in range(len(breakers))]
        for breaker, line, one in zip(breakers, lines, heard, strict=True):
            breaker.hear(line, one, sent)
        return heard

    async def _run_script(self, breakers: Sequence[SharedBreaker], lines: Sequence[Line]) -> _Answer:
        now = self._clock.monotonic()
        said = {
            "at": self._at(),
            "deadline": self.store_time(now + _DEADLINE) if self._heard else 0,
            "me": self.me,
            "shorter": 1 - _JITTER * _RANDOM(),
            "lines": [line.said for line in lines],
        }
        arguments: list[bytes | str] = [json.dumps(said), *[breaker.rules for breaker in breakers]]
        keys = [breaker.key for breaker in breakers]
        answer = await self._scripts.run(EXCHANGE, keys, arguments, read=_read)
        self._ahead = answer.now - round(self._clock.monotonic() * _US)
        self._heard = True
        return answer

    def _at(self) -> int:
        # Redis tells the time; a test that turns it says another.
        return 0


def _names(answer: Any) -> list[str]:
    return [bytes(name).decode() for name in answer]


def _read(answer: Any) -> _Answer:
    """Make out what the script returned; ValueError or TypeError where that is something else."""
    heeded, now, *lines = answer
    heard: dict[int, Heard] = {}
    for index, state, order, change, trips, left, why, by, granted, wait in lines:
        heard[int(index)] = Heard(
            _STATES[bytes(state)],
            int(order),
            int(change),
            int(trips),
            int(left),
            bytes(why).decode(),
            bytes(by).decode(),
            bool(granted),
            int(wait),
        )
    return _Answer(bool(heeded), int(now), heard)
