"""One thing that a run depends on, with everything that stands between the two.

Names are the kind and the name of it: `model gpt-5`, `tool lookup`, `mcp files`, `agent risk`, `store redis`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from seawall.defense.chaos import Injector, Plan
from seawall.defense.dependency.admission import Admission, Door
from seawall.defense.dependency.announce import announcing
from seawall.defense.dependency.protection import Protection
from seawall.defense.dependency.trail import UNRECORDED, Trail
from seawall.defense.load import GateStats
from seawall.defense.resilience import Breaker, Circuit, RetryBudget, current_allowance
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import Rejected
from seawall.foundation.events import EventBus
from seawall.foundation.units import seconds

P = ParamSpec("P")
T = TypeVar("T")


class Dependency:
    """Calls one dependency behind its bulkhead, its circuit breaker, a time limit and a retry budget.

    A call is `await dependency.call(attempt)`, where `attempt` is called once a try; a function under `@dependency`;
    or a block under `async with dependency.admitted()`, which is tried once. What holds a call back is raised as
    Overloaded, CircuitOpen or OutOfTime, all `Rejected`; TimedOut where there was no answer in time; else what the
    attempt raised. Only an `idempotent` call is made again: what failed may have done something before. `replaceable`
    says that whoever calls has something else to turn to, so that calls are given up when the circuit opens because
    they hang. It works inside an agent's run and without any agent. For use from one event loop.
    """

    def __init__(
        self,
        name: str,
        protection: Protection | None = None,
        *,
        events: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
        circuit: Circuit | None = None,
        injector: Injector | None = None,
        replaceable: bool = False,
    ) -> None:
        self.name = name
        self.protection = protection or Protection()
        self.circuit = circuit or Breaker(self.protection.breaker, clock)
        self.circuit.listen(announcing(name, events or EventBus()))
        self.budget = RetryBudget(self.protection.retries)
        self._door = Door(
            name,
            self.protection,
            self.circuit,
            clock,
            injector=injector,
            replaceable=replaceable or self.protection.optional,
        )
        self._most = self.protection.retries.most
        hedge = self.protection.hedge
        self._hedge_after = None if hedge is None else seconds(hedge.after)

    def stats(self) -> GateStats:
        """Return the present and past of its bulkhead."""
        return self._door.gate.stats()

    def admitted(self, trail: Trail = UNRECORDED) -> Admission:
        """Admit one attempt, made in the block that follows."""
        return Admission(self._door, trail)

    async def call(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        idempotent: bool = False,
        trail: Trail = UNRECORDED,
        garble: Callable[[Plan, T], T] | None = None,
    ) -> T:
        """Call it, once or, where that can help and is paid for, again; `garble` breaks an answer as chaos wants it."""
        once = partial(self._once, attempt, trail, garble)
        if idempotent and self._hedge_after is not None:
            once = partial(self._hedged, once, self._hedge_after)
        return await self._trying(once, idempotent=idempotent)

    @asynccontextmanager
    async def opened(
        self,
        opening: Callable[[Admission], AbstractAsyncContextManager[T]],
        *,
        idempotent: bool = True,
        trail: Trail = UNRECORDED,
    ) -> AsyncGenerator[T]:
        """Open a stream; it is opened again as a call is made again, and keeps its place until the block is left.

        `opening` keeps the time itself, and reports on its Admission.
        """
        async with AsyncExitStack() as stack:
            yield await self._trying(partial(self._open, stack, opening, trail), idempotent=idempotent)

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Decorate a function whose every call goes to this dependency, and may not be made twice."""
        return self.wrap(function)

    def wrap(
        self, function: Callable[P, Awaitable[T]], *, idempotent: bool = False
    ) -> Callable[P, Awaitable[T]]:
        """Return `function` with every call of it made through this dependency."""

        @wraps(function)
        async def through(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self.call(lambda: function(*args, **kwargs), idempotent=idempotent)

        return through

    async def _once(
        self,
        attempt: Callable[[], Awaitable[T]],
        trail: Trail,
        garble: Callable[[Plan, T], T] | None,
    ) -> T:
        async with Admission(self._door, trail) as admission:
            plan = admission.plan
            if plan is None:
                return await attempt()
            await plan.before()
            answer = await attempt()
            return plan.garble(answer) if garble is None else garble(plan, answer)

    async def _open(
        self,
        stack: AsyncExitStack,
        opening: Callable[[Admission], AbstractAsyncContextManager[T]],
        trail: Trail,
    ) -> T:
        async with AsyncExitStack() as own:
            admission = await own.enter_async_context(Admission(self._door, trail, limited=False))
            opened = await own.enter_async_context(opening(admission))
            stack.push_async_exit(own.pop_all())
            return opened

    async def _trying(self, once: Callable[[], Awaitable[T]], *, idempotent: bool) -> T:
        tried = 0
        while True:
            try:
                answer = await once()
            except Exception as error:
                # What was held back was no traffic, and earns no retries.
                if not (tried or isinstance(error, Rejected)):
                    self.budget.deposit()
                tried += 1
                wait = self._wait(error, tried) if idempotent and tried <= self._most else None
                if wait is None:
                    raise
            else:
                if not tried:
                    self.budget.deposit()
                return answer
            await asyncio.sleep(wait)

    def _wait(self, error: Exception, tried: int) -> float | None:
        """Return the seconds until another try, and pay for it; None where there is none."""
        fault = self._door.fault_of(error)
        if not fault.again:
            return None
        wait = self.budget.wait(tried, fault.retry_after)
        allowance = current_allowance()
        if wait is None or self.circuit.state != "closed":
            return None
        if allowance is not None and allowance.until - self._door.now() <= wait:
            return None
        if allowance is not None and allowance.purse.retries <= 0:
            return None
        if not self.budget.withdraw():
            return None
        if allowance is not None:
            allowance.purse.take()
        return wait

    def _may_hedge(self) -> bool:
        allowance = current_allowance()
        if self.circuit.state != "closed" or (allowance is not None and allowance.purse.retries <= 0):
            return False
        return self.budget.withdraw() and (allowance is None or allowance.purse.take())

    async def _hedged(self, once: Callable[[], Awaitable[T]], after: float) -> T:
        tasks = [asyncio.ensure_future(once())]
        try:
            await asyncio.wait(tasks, timeout=after)
            if not tasks[0].done() and self._may_hedge():
                tasks.append(asyncio.ensure_future(once()))
            while True:
                done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                good = next((task for task in tasks if task in done and _answered(task)), None)
                if good is not None or not waiting:
                    return (good or tasks[0]).result()
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _answered(task: "asyncio.Future[T]") -> bool:
    return not task.cancelled() and task.exception() is None
