"""Numbers about the service for Prometheus: kept as things happen, gauges once a second, read at `/metrics`.

No label is a tenant's, a caller's or a path's: there are as many series as there are agents, guards and dependencies, whoever
asks. Several workers share their numbers through files in `PROMETHEUS_MULTIPROC_DIR`, which `seawall serve` sets.
"""

import asyncio
import os
from typing import Any, Literal, NamedTuple, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.multiprocess import MultiProcessCollector

from seawall.defense.load import LoadStats
from seawall.defense.load.pressure import resident
from seawall.foundation.events import Event, GuardTripped, LoginFailed, TransactionFinished
from seawall.foundation.transaction import Transaction

SHARED = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
# How what several workers have of a gauge becomes one number.
_Over = Literal["livesum", "livemax"]


class Metrics:
    """The numbers of one process; subscribes to the event stream."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._count_things()
        self._gauge_things()
        self._of_agent: dict[str, _OfAgent] = {}
        self._before: LoadStats | None = None

    def _count_things(self) -> None:
        self._answers = self._counter("http_answers", "HTTP answers, sheds included.", "status")
        self._runs = self._counter("transactions", "Runs of agents.", "agent", "outcome", "degradation")
        self._parts = self._counter("transaction_part_seconds", "Where runs' time went.", "agent", "part")
        self._tokens = self._counter("tokens", "Tokens, as providers count them.", "agent", "kind")
        self._dollars = self._counter("cost_usd", "Cost of runs whose price is known.", "agent")
        self._unpriced = self._counter("transactions_unpriced", "Runs whose price is unknown.", "agent")
        self._trips = self._counter("guard_trips", "What guards did.", "guard", "outcome")
        self._logins = self._counter("logins_failed", "Callers who were not let in.", "reason")
        self._broken = self._counter("break_glass", "Grants of access to content that operators opened.")
        self._shed = self._counter("shed", "Work that was not begun.", "reason")
        self._admitted = self._counter("admitted", "Work that was begun.")
        self._seconds = Histogram(
            "seawall_transaction_seconds",
            "How long runs took.",
            ["agent"],
            registry=self._registry,
            buckets=_SECONDS,
        )

    def _gauge_things(self) -> None:
        self._running = self._gauge("running", "Work under way.", "livesum")
        self._limit = self._gauge("limit", "How much may be under way.", "livesum")
        self._queued = self._gauge("queued", "Work that waits.", "livesum", "lane")
        self._memory = self._gauge("resident_bytes", "Memory held.", "livesum")
        self._tasks = self._gauge("tasks", "Tasks of the event loop.", "livesum")
        late = "How late the event loop is, one time in a hundred."
        self._lag = self._gauge("loop_lag_seconds", late, "livemax")
        states = "0 closed, 1 half-open, 2 open, 3 isolated."
        self._breakers = self._gauge("breaker_state", states, "livemax", "dependency")

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"seawall_{name}", what, labels, registry=self._registry)

    def _gauge(self, name: str, what: str, of_workers: _Over, *labels: str) -> Gauge:
        return Gauge(f"seawall_{name}", what, labels, registry=self._registry, multiprocess_mode=of_workers)

    def __call__(self, event: Event) -> None:
        """Count what happened."""
        match event:
            case TransactionFinished():
                self._count(event.transaction)
            case GuardTripped():
                self._trips.labels(event.guard, event.outcome).inc()
            case LoginFailed():
                self._logins.labels(event.reason).inc()
            case _:
                pass

    def answered(self, status: int) -> None:
        """Count an answer."""
        self._answers.labels(status).inc()

    def glass_broken(self) -> None:
        """Count a grant of access to content."""
        self._broken.inc()

    def look(self, load: LoadStats, breakers: list[tuple[str, float]]) -> None:
        """Take the numbers of the moment."""
        before = self._before
        self._before = load
        self._admitted.inc(load.admitted - (0 if before is None else before.admitted))
        for reason, number in load.shed.items():
            self._shed.labels(reason).inc(number - (0 if before is None else before.shed[reason]))
        for lane, number in load.queued.items():
            self._queued.labels(lane).set(number)
        self._running.set(load.running)
        self._limit.set(load.limit)
        self._lag.set(load.lag)
        self._memory.set(resident())
        self._tasks.set(len(asyncio.all_tasks()))
        for name, state in breakers:
            self._breakers.labels(name).set(state)

    def text(self) -> bytes:
        """Return all of them, of every worker, in Prometheus' text format."""
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)
        return generate_latest(everybody)

    def _count(self, row: Transaction) -> None:
        self._runs.labels(row.agent, row.outcome, row.degradation).inc()
        of = self._of_agent.get(row.agent) or self._agent(row.agent)
        of.seconds.observe(row.seconds)
        of.queue.inc(row.queue_seconds)
        of.guard.inc(row.guard_seconds)
        of.model.inc(row.model_seconds)
        of.input.inc(row.input_tokens)
        of.output.inc(row.output_tokens)
        if row.cost_usd is None:
            of.unpriced.inc()
        else:
            of.dollars.inc(float(row.cost_usd))

    def _agent(self, name: str) -> "_OfAgent":
        found = _OfAgent(
            self._seconds.labels(name),
            self._parts.labels(name, "queue"),
            self._parts.labels(name, "guard"),
            self._parts.labels(name, "model"),
            self._tokens.labels(name, "input"),
            self._tokens.labels(name, "output"),
            self._dollars.labels(name),
            self._unpriced.labels(name),
        )
        self._of_agent[name] = found
        return found


class _OfAgent(NamedTuple):
    """The numbers of one agent, looked up once."""

    seconds: Histogram
    queue: Counter
    guard: Counter
    model: Counter
    input: Counter
    output: Counter
    dollars: Counter
    unpriced: Counter


def forget_this_process() -> None:
    """Take a worker that ends out of the sums over those that live."""
    if SHARED in os.environ:
        cast("Any", multiprocess).mark_process_dead(os.getpid())
