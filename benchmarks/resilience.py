"""What resilience costs a call, and what it saves in an outage: `python -m benchmarks.resilience`; JSON at the end.

The outage: a steady stream of requests to an agent whose first model hangs for half of the time, with a second one to
fall back to; once hardened, once bare with Pydantic AI's own fallback and a time limit. Both models are servers of
another process, on real sockets of this machine.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.settings import ModelSettings

from benchmarks.resilience_micro import micro
from benchmarks.resilience_server import Mode, Server
from seawall import (
    Bulkhead,
    CircuitBreaker,
    EventBus,
    Fallback,
    Policy,
    Principal,
    Protection,
    Rejected,
    Retries,
    harden,
)
from seawall.foundation.events import BreakerChanged, Event

WHO = Principal("acme", "load")
TIME_LIMIT = 5.0
# Three times what an answer takes, as a breaker of a quick dependency would have it.
BREAKER = CircuitBreaker(
    slow_call="120ms", slow_rate=0.5, last=10, minimum_calls=5, open_for="5s", max_open="10s"
)


class SocketModel(Model):
    """A model behind a plain HTTP call, so that what is measured is not a provider's SDK."""

    def __init__(self, name: str, port: int, time_limit: float | None = None) -> None:
        super().__init__()
        self._name, self._port, self._time_limit = name, port, time_limit

    @property
    def model_name(self) -> str:
        return self._name

    @property
    def system(self) -> str:
        return "socket"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        try:
            async with asyncio.timeout(self._time_limit):
                status, body = await self._post(b'{"messages": "..."}')
        except TimeoutError as error:
            raise ModelAPIError(self._name, "no answer in time") from error
        if status != 200:
            raise ModelHTTPError(status, self._name)
        return ModelResponse(parts=[TextPart(json.loads(body)["text"])], model_name=self._name)

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(
                b"POST / HTTP/1.1\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            return int(head.split(b" ", 2)[1]), await reader.read()
        finally:
            writer.close()


@dataclass
class Log:
    """What became of each request: when it was sent, how long it took, which level its answer had."""

    rows: list[tuple[float, float, str]] = field(default_factory=list[tuple[float, float, str]])

    def part(self, begins: float, ends: float) -> dict[str, Any]:
        rows = [row for row in self.rows if begins <= row[0] < ends]
        took = sorted(row[1] for row in rows)
        levels = Counter(row[2] for row in rows)
        return {
            "requests": len(rows),
            **levels,
            "p50_ms": _percentile(took, 0.5),
            "p99_ms": _percentile(took, 0.99),
        }


async def load(ask: Callable[[], Awaitable[str]], log: Log, rate: float, seconds: float) -> None:
    """Send `rate` requests a second, whether or not earlier ones are back."""
    began = time.perf_counter()
    tasks: list[asyncio.Task[None]] = []

    async def one() -> None:
        sent = time.perf_counter()
        try:
            level = await ask()
        except (Rejected, ModelAPIError) as error:
            level = "refused" if isinstance(error, Rejected) else "failed"
        except ExceptionGroup:
            level = "failed"
        log.rows.append((sent - began, time.perf_counter() - sent, level))

    for number in range(int(rate * seconds)):
        late = began + number / rate - time.perf_counter()
        if late > 0:
            await asyncio.sleep(late)
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)


async def outage(
    servers: tuple[Server, Server], rate: float, seconds: float, *, protected: bool
) -> dict[str, Any]:
    """Let the first model hang from a quarter to three quarters of the time."""
    first, second = servers
    began = time.perf_counter()
    changes: list[tuple[float, str, str]] = []

    def heard(event: Event) -> None:
        if isinstance(event, BreakerChanged):
            changes.append((time.perf_counter() - began, event.before, event.after))

    log, hangs, heals = Log(), seconds / 4, 3 * seconds / 4
    if protected:
        policy = Policy(
            fallbacks=[Fallback(SocketModel("second", second.port), protection=Protection())],
            breaker=BREAKER,
            bulkhead=Bulkhead(concurrency=256),
            call_timeout=f"{TIME_LIMIT}s",
            abuse=None,
        )
        agent = Agent(SocketModel("first", first.port), name="reviewer")
        safe = harden(agent, policy, events=EventBus(heard))

        async def ask() -> str:
            return (await safe.run("go", deps=None, principal=WHO)).degradation
    else:
        models = [
            SocketModel(name, server.port, TIME_LIMIT)
            for name, server in (("first", first), ("second", second))
        ]
        bare = Agent(FallbackModel(models[0], models[1]), name="reviewer")

        async def ask() -> str:
            result = await bare.run("go")
            last = result.all_messages()[-1]
            return "full" if isinstance(last, ModelResponse) and last.model_name == "first" else "fallback"

    before = first.counts().get("hang", 0)

    async def weather() -> None:
        await asyncio.sleep(hangs)
        await asyncio.to_thread(first.tell, "hang")
        await asyncio.sleep(heals - hangs)
        await asyncio.to_thread(first.tell, "answer")

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(weather())
        group.create_task(load(ask, log, rate, seconds))
    return _report(log, changes, first.counts().get("hang", 0) - before, (hangs, heals, seconds))


def _report(
    log: Log, changes: list[tuple[float, str, str]], dead: int, times: tuple[float, float, float]
) -> dict[str, Any]:
    hangs, heals, ends = times
    requests = len(log.rows)
    levels = Counter(row[2] for row in log.rows)
    whole = [sent + took for sent, took, level in log.rows if level == "full" and sent >= heals]
    before, during = log.part(0, hangs), log.part(hangs, heals)
    return {
        "requests": requests,
        "answered_full": levels["full"],
        "answered_degraded": levels["fallback"],
        "refused": levels["refused"],
        "failed": levels["failed"],
        "answered_percent": round(100 * (levels["full"] + levels["fallback"]) / requests, 3),
        "before": before,
        "during": during,
        "after": log.part(heals, ends),
        "p99_during_to_before": round(during["p99_ms"] / before["p99_ms"], 2),
        "calls_to_the_dead_dependency": dead,
        "calls_to_the_dead_dependency_percent": round(100 * dead / requests, 3),
        "seconds_to_first_full_answer_after_healing": round(min(whole) - heals, 3) if whole else None,
        "probes_until_it_closed": _probes(changes, heals),
        "breaker": [f"{at:.2f} s: {before} -> {after}" for at, before, after in changes],
    }


def _probes(changes: list[tuple[float, str, str]], heals: float) -> int:
    """Count the probes that it took from healing to the circuit's closing."""
    later = [after for at, _, after in changes if at >= heals]
    until = later[: later.index("closed")] if "closed" in later else later
    return until.count("half_open")


async def storm(server: Server, mode: Mode, requests: int) -> dict[str, Any]:
    """Have everything fail, once with the retry budget alone to hold retries back and once with the breaker too."""
    await asyncio.to_thread(server.tell, mode)
    results: dict[str, Any] = {}
    never = CircuitBreaker(failure_rate=1.0, minimum_calls=10**9, last=None)
    for name, breaker in (("budget_alone", never), ("with_breaker", CircuitBreaker())):
        policy = Policy(breaker=breaker, retries=Retries(most=3, first="1ms", longest="5ms"), abuse=None)
        safe = harden(Agent(SocketModel("first", server.port), name="reviewer"), policy)
        before = server.counts().get(mode, 0)

        async def ask() -> str:
            return (await safe.run("go", deps=None, principal=WHO)).degradation  # noqa: B023

        for _ in range(requests // 20):
            await load(ask, Log(), 1e6, 20 / 1e6)
        attempts = server.counts().get(mode, 0) - before
        results[name] = {"requests": requests, "attempts": attempts, "ratio": round(attempts / requests, 4)}
    await asyncio.to_thread(server.tell, "answer")
    return results


def _percentile(ordered: list[float], share: float) -> float:
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else 0.0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=80.0)
    asked = parser.parse_args()
    _say("microseconds a call …")
    results: dict[str, Any] = {"us_per_call": await micro()}
    with Server() as first, Server() as second:
        for name, protected in (("outage", True), ("outage_unprotected", False)):
            _say(f"{name}: {asked.seconds:g} s at {asked.rate:g} requests a second …")
            results[name] = await outage((first, second), asked.rate, asked.seconds, protected=protected)
        _say("retry storm …")
        results["retry_storm"] = {
            mode: await storm(first, mode, 1000) for mode in ("overloaded", "rate limited")
        }
    print(json.dumps(results))


if __name__ == "__main__":
    asyncio.run(main())
