"""Redis or Valkey, asked in bounded time: Lua scripts, and nothing else."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import StoreError
from seawall.foundation.events import EventBus
from seawall.foundation.storage.circuit import StoreCircuit, StoreState
from seawall.foundation.units import Period, seconds

T = TypeVar("T")


def _as_it_is(answer: Any) -> Any:
    return answer


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script; Redis knows it by its SHA-1, which is an address here and no protection."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        """Work the address out once."""
        object.__setattr__(self, "sha", sha1(self.text.encode(), usedforsecurity=False).hexdigest())


class RedisScripts:
    """Runs scripts on one Redis; every call ends within `timeout`, whatever Redis does.

    A call that fails or takes longer raises StoreError, and Redis is then left alone for `rest`: calls in that
    time raise at once, so that a hung store delays a few callers by `timeout`, not every one. After it a single
    call tries again while the others still raise; where that fails too, the rest grows, up to `longest_rest`. So it is
    found within that time after it came back. `state`, `isolate` and `reset` are as in `StoreCircuit`. A script that timed
    out may have run all the same. For use from one event loop; close it with `aclose`.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: Period = "40ms",
        rest: Period = "1s",
        longest_rest: Period = "10s",
        events: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._timeout = seconds(timeout)
        self._circuit = StoreCircuit("redis", rest=rest, longest=longest_rest, events=events, clock=clock)
        client: Any = Redis
        self._redis = client.from_url(
            url,
            socket_timeout=self._timeout,
            socket_connect_timeout=self._timeout,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )

    @property
    def state(self) -> StoreState:
        """Closed, open, half-open while a call tries it, or isolated; for readiness, metrics and the console."""
        return self._circuit.state

    @property
    def healthy(self) -> bool:
        """Whether it answers, as far as is known."""
        return self._circuit.state == "closed"

    def isolate(self, why: str = "isolated by an operator") -> None:
        """Ask Redis nothing until `reset`, as if it were away; calls under way end as they do."""
        self._circuit.isolate(why)

    def reset(self, why: str = "reset by an operator") -> None:
        """Ask Redis again from now on."""
        self._circuit.reset(why)

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[bytes | str | int],
        *,
        read: Callable[[Any], T] = _as_it_is,
    ) -> T:
        """Run `script` in one atomic step and return what it returns, as `read` makes it out.

        StoreError where there is no answer in time, or none that `read` can make out.
        """
        call, cancelled = self._circuit.enter(), _cancellations()
        try:
            async with asyncio.timeout(self._timeout):
                answer = read(await self._evaluate(script, keys, args))
            self._circuit.answered(call)
        # The last ones: what came back is no answer of that script, or not even of Redis.
        except (RedisError, OSError, ValueError, TypeError, LookupError) as error:
            if _cancellations() > cancelled:
                raise asyncio.CancelledError from error
            self._circuit.failed(call, type(error).__name__)
            raise StoreError(
                f"the shared store gave no answer within {self._timeout * 1000:g} ms ({type(error).__name__})"
            ) from error
        finally:
            # A call that its caller gave up must not keep the others out for ever.
            self._circuit.left(call)
        if _cancellations() > cancelled:
            # On Python 3.11 the driver can swallow a cancellation: whoever was cancelled must not go on.
            raise asyncio.CancelledError
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _evaluate(
        self, script: Script, keys: Sequence[bytes], args: Sequence[bytes | str | int]
    ) -> Any:
        try:
            return await self._redis.evalsha(script.sha, len(keys), *keys, *args)
        except NoScriptError:
            # A store that was restarted has forgotten its scripts.
            return await self._redis.eval(script.text, len(keys), *keys, *args)


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
