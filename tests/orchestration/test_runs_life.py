"""A run's life against a reference: whatever is asked in whatever order, the store says what a few lines of Python say."""

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.principal import Principal
from seawall.orchestration.run_rows import RunLimits
from seawall.orchestration.run_store import open_run_store
from seawall.orchestration.runs import (
    LANES,
    EndState,
    Event,
    Lease,
    LeaseLost,
    NewRun,
    RunLane,
    RunState,
)
from seawall.testing.clock import FakeClock

LEASE, MOST_EVENTS = 30.0, 6
RING = Keyring.ephemeral()
ENDS: list[EndState] = ["done", "failed", "cancelled", "refused"]


@dataclass
class Reference:
    """What should be true of one run."""

    new: NewRun
    created_at: float
    expires_at: float
    order: int
    most: int
    state: RunState = "queued"
    attempts: int = 0
    fence: int = 0
    until: float = 0.0
    cancel: bool = False
    output: object = None
    events: list[object] = field(default_factory=list[object])

    def place(self) -> tuple[int, float, str]:
        return LANES.index(self.new.lane), self.created_at, self.new.id


class RunLife(RuleBasedStateMachine):
    """Two tenants' runs, several owners, leases old and new, and a clock that is turned."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = contextlib.AsyncExitStack()
        limits = RunLimits(lease="30s", retention="200s", events=MOST_EVENTS)
        opened = open_run_store(Path(self.folder.name), RING, limits=limits, clock=self.clock)
        self.runs = self.runner.run(self.stack.enter_async_context(opened))
        self.known: dict[str, Reference] = {}
        self.leases: list[Lease] = []
        self.count = 0

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    def now(self) -> float:
        return self.clock.time()

    def readable(self) -> list[Reference]:
        return [run for run in self.known.values() if run.expires_at > self.now()]

    def holds(self, lease: Lease) -> Reference | None:
        run = self.known[lease.run_id]
        held = run.state == "running" and run.fence == lease.fence and run.expires_at > self.now()
        return run if held else None

    def lose(self) -> int:
        """Every run whose lease is over goes on, or ends."""
        lost = [run for run in self.known.values() if run.state == "running" and run.until <= self.now()]
        for run in lost:
            if run.cancel:
                run.state = "cancelled"
            else:
                run.state = "failed" if run.attempts >= run.most else "queued"
        return len(lost)

    def take(self, run: Reference) -> None:
        run.state, run.until = "running", self.now() + LEASE
        run.attempts += 1
        run.fence += 1

    def make(self, tenant: str, lane: RunLane, attempts: int) -> NewRun:
        self.count += 1
        # Ids in the order of their making, as `new_id` gives them.
        run_id = f"run_{self.count:06d}"
        return NewRun(Principal(tenant, "u"), "agent", self.count, lane, attempts, id=run_id)

    def remember(self, new: NewRun, most: int) -> Reference:
        run = Reference(new, self.now(), self.now() + 200, self.count, most)
        self.known[new.id] = run
        return run

    @initialize()
    def one_run(self) -> None:
        self.create("acme", "batch", 2)

    @rule(tenant=st.sampled_from(["acme", "globex"]), lane=st.sampled_from(LANES), attempts=st.integers(1, 3))
    def create(self, tenant: str, lane: RunLane, attempts: int) -> None:
        new = self.make(tenant, lane, attempts)
        self.runner.run(self.runs.create(new))
        self.remember(new, attempts)

    @rule(tenant=st.sampled_from(["acme", "globex"]))
    def begin(self, tenant: str) -> None:
        new = self.make(tenant, "interactive", 3)
        self.leases.append(self.runner.run(self.runs.begin(new, "web")).lease)
        self.take(self.remember(new, 1))

    @rule(most=st.integers(0, 3), lanes=st.sets(st.sampled_from(LANES)))
    def claim(self, most: int, lanes: set[RunLane]) -> None:
        taken = self.runner.run(self.runs.claim("worker", most=most, lanes=sorted(lanes)))
        self.lose()
        waiting = [run for run in self.readable() if run.state == "queued" and run.new.lane in lanes]
        expected = sorted(waiting, key=Reference.place)[:most]
        assert [(one.run.id, one.input) for one in taken] == [(run.new.id, run.new.input) for run in expected]
        for run, one in zip(expected, taken, strict=True):
            self.take(run)
            self.leases.append(one.lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        if run := self.holds(lease):
            assert self.runner.run(self.runs.heartbeat(lease)).cancel_requested == run.cancel
            run.until = self.now() + LEASE
        else:
            with pytest.raises(LeaseLost):
                self.runner.run(self.runs.heartbeat(lease))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), state=st.sampled_from(ENDS))
    def finish(self, data: st.DataObject, state: EndState) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        if run := self.holds(lease):
            self.runner.run(self.runs.finish(lease, state, f"from {lease.fence}"))
            run.state, run.output = state, f"from {lease.fence}"
        else:
            with pytest.raises(LeaseLost):
                self.runner.run(self.runs.finish(lease, state, "too late"))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        if run := self.holds(lease):
            self.runner.run(self.runs.release(lease))
            run.state = "cancelled" if run.cancel else "queued"
            run.attempts -= 1
        else:
            with pytest.raises(LeaseLost):
                self.runner.run(self.runs.release(lease))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), values=st.lists(st.integers(0, 9), max_size=4))
    def append(self, data: st.DataObject, values: list[int]) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        events = [Event("word", value) for value in values]
        run = self.holds(lease)
        if run is None:
            with pytest.raises(LeaseLost):
                self.runner.run(self.runs.append_events(lease, events))
            return
        said = self.runner.run(self.runs.append_events(lease, events))
        if len(run.events) <= MOST_EVENTS:
            fits = values[: MOST_EVENTS - len(run.events)]
            run.events += fits
            if len(fits) < len(values):
                run.events.append({"kept": MOST_EVENTS})
        assert said == (len(run.events), len(run.events) > MOST_EVENTS)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(list(self.known.values())))
        said = self.runner.run(self.runs.cancel(run.new.principal.tenant, run.new.id))
        if run.expires_at <= self.now():
            assert said is None
            return
        if run.state in {"queued", "running"}:
            run.cancel = True
            run.state = "cancelled" if run.state == "queued" else "running"
        assert said is not None
        assert said.state == run.state

    @rule(by=st.sampled_from([1.0, 29.0, 30.0, 100.0]))
    def turn_the_clock(self, by: float) -> None:
        self.clock.advance(by)

    @rule()
    def sweep(self) -> None:
        swept = self.runner.run(self.runs.sweep())
        self.lose()
        gone = [run_id for run_id, run in self.known.items() if run.expires_at <= self.now()]
        assert swept.runs <= len(gone)

    @invariant()
    def reads_agree(self) -> None:
        self.runner.run(self._compare())

    async def _compare(self) -> None:
        waiting = dict.fromkeys(LANES, 0)
        for run in self.readable():
            waiting[run.new.lane] += run.state == "queued"
        assert await self.runs.waiting() == waiting
        for tenant in ("acme", "globex"):
            mine = [run.new.id for run in self.readable() if run.new.principal.tenant == tenant]
            assert [run.id for run in await self.runs.list(tenant)] == sorted(mine, reverse=True)
        for run in list(self.known.values())[-4:]:
            of, run_id = run.new.principal.tenant, run.new.id
            assert await self.runs.get("globex" if of == "acme" else "acme", run_id) is None
            found, page = await self.runs.get(of, run_id), await self.runs.events_after(of, run_id, 0)
            if run.expires_at <= self.now():
                assert found is None
                assert page is None
                continue
            assert found is not None
            assert page is not None
            facts = found.run
            assert (facts.state, facts.attempts, facts.cancel_requested) == (
                run.state,
                run.attempts,
                run.cancel,
            )
            assert found.output == run.output
            assert [event.data for event in page.events] == run.events
            assert [event.seq for event in page.events] == list(range(1, len(run.events) + 1))


RunLife.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestRunLife = RunLife.TestCase
