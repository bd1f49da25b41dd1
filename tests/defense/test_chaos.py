"""Injected faults: which calls meet one, what it does to them, and that it ends."""

import asyncio
import copy
import json
import logging
import string
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seawall.defense.chaos import Chaos, ChaosError, Fault, Injected, Injector, Kind, Plan, garble_text
from seawall.defense.faults import read_fault
from seawall.foundation.errors import ConfigError
from seawall.testing import FakeClock

KINDS: tuple[Kind, ...] = ("latency", "error", "hang", "garbage", "truncate")
PRINTABLE = set(string.ascii_letters + string.digits + string.punctuation)


def fault(kind: Kind, rate: float = 1.0, target: str = "tool lookup") -> Fault:
    """Make a fault that is on."""
    return Fault(kind, rate, target, seconds=30.0 if kind == "latency" else None)


def certain(kind: Kind, clock: FakeClock | None = None, *, seed: int = 1) -> Plan:
    """Plan one call that meets the fault for certain."""
    plan = Injector(Chaos([fault(kind)], seed=seed), clock or FakeClock()).plan("tool lookup")
    assert plan is not None
    assert plan.kind == kind
    return plan


class Source:
    """A stream that knows whether it was closed."""

    def __init__(self, items: int) -> None:
        self._items = items
        self.given = 0
        self.closed = False

    async def read(self) -> AsyncGenerator[int]:
        try:
            for item in range(self._items):
                self.given += 1
                yield item
        finally:
            self.closed = True


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Fault("gremlins", 0.1, "tool *"), "latency, error, hang, garbage, truncate"),  # pyright: ignore[reportArgumentType]
        (lambda: Fault("error", 1.1, "tool *"), "from 0 to 1"),
        (lambda: Fault("error", -0.1, "tool *"), "from 0 to 1"),
        (lambda: Fault("error", float("nan"), "tool *"), "from 0 to 1"),
        (lambda: Fault("error", 0.1, " "), "'tool lookup'"),
        (lambda: Fault("latency", 0.1, "tool *"), "seconds=2"),
        (lambda: Fault("latency", 0.1, "tool *", seconds=0), "seconds=2"),
        (lambda: Fault("latency", 0.1, "tool *", seconds=float("inf")), "seconds=2"),
        (lambda: Fault("hang", 0.1, "tool *", seconds=2), "leave seconds out"),
        (lambda: Chaos([]), "chaos=None"),
        (lambda: Chaos(["error"]), "chaos=None"),  # pyright: ignore[reportArgumentType]
        (lambda: Chaos([fault("error")], until="soon"), "a duration"),
        (lambda: Chaos([fault("error", 0.6), fault("hang", 0.6)]), "add up to 1.2"),
    ],
)
def test_what_cannot_hold_is_refused(make: Callable[[], object], said: str) -> None:
    """An unknown kind, a rate that is none, a latency without its seconds: each is told what to write."""
    with pytest.raises(ConfigError, match=said.replace("*", r"\*")):
        make()


def test_it_is_described_as_it_was_written() -> None:
    """The description is plain data with everything that was set, and none of what was not."""
    chaos = Chaos((fault("latency", 0.1, "model *"), fault("hang", 0.2)), seed=7, until="90s")
    assert json.loads(json.dumps(chaos.describe())) == {
        "faults": [
            {"kind": "latency", "rate": 0.1, "target": "model *", "seconds": 30.0},
            {"kind": "hang", "rate": 0.2, "target": "tool lookup"},
        ],
        "seed": 7,
        "until": "90s",
    }
    # Ten tenths are a hair more than one in binary, and are not refused for it.
    assert Chaos([fault("error", 0.1)] * 10).until == "10m"


def test_it_says_that_it_is_on(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody runs chaos unknowingly: the log says so once, as a warning."""
    caplog.set_level(logging.INFO, logger="seawall.chaos")
    Injector(Chaos([fault("error")], seed=5, until="2m"), FakeClock())
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "chaos is on for 2m: 1 faults, seed 5")
    ]


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(0.02, 0.45), other=st.floats(0.0, 0.45), seed=st.integers(0, 2**32))
def test_the_share_is_the_rate(rate: float, other: float, seed: int) -> None:
    """Each fault's share of the calls comes to its own rate, whatever else the same calls may meet."""
    calls = 4000
    chaos = Chaos([fault("error", other), fault("garbage", rate, "tool *")], seed=seed)
    injector = Injector(chaos, FakeClock())
    planned = [injector.plan("tool lookup") for _ in range(calls)]
    for kind, expected, injected in zip(("error", "garbage"), (other, rate), injector.stats(), strict=True):
        met = sum(plan is not None and plan.kind == kind for plan in planned)
        assert injected.times == met
        # Six standard deviations: never by chance in all the runs there will be.
        assert abs(met / calls - expected) <= 6 * (expected * (1 - expected) / calls) ** 0.5 + 1e-9


@given(seed=st.integers(0, 100), order=st.lists(st.sampled_from(["model a", "tool b", "mcp c"]), max_size=60))
def test_a_seed_repeats_itself(seed: int, order: list[str]) -> None:
    """What the n-th call of a dependency meets depends on the seed alone, not on the calls of others between."""
    chaos = Chaos([fault(kind, 0.19, "*") for kind in KINDS], seed=seed)

    def met(injector: Injector, name: str) -> tuple[Kind, int] | None:
        plan = injector.plan(name)
        return None if plan is None else (plan.kind, plan.cut_after)

    together, alone = Injector(chaos, FakeClock()), Injector(chaos, FakeClock())
    mixed = [(name, met(together, name)) for name in order]
    for name in set(order):
        assert [met(alone, name) for _ in range(order.count(name))] == [m for n, m in mixed if n == name]


@given(st.text(max_size=30), st.sampled_from(["tool lookup", "tool *", "*", "tool look[tu]p", "model ?"]))
@example("tool lookup ", "tool lookup")
@example("TOOL LOOKUP", "tool lookup")
def test_only_the_target_is_hit(name: str, target: str) -> None:
    """A name that the pattern does not match whole is never planned for, one that it matches always."""
    matches = {
        "tool lookup": name == "tool lookup",
        "tool *": name.startswith("tool "),
        "*": True,
        "tool look[tu]p": name in {"tool looktp", "tool lookup"},
        "model ?": len(name) == 7 and name.startswith("model "),
    }
    injector = Injector(Chaos([fault("error", 1.0, target)]), FakeClock())
    assert all((injector.plan(name) is not None) == matches[target] for _ in range(3))


@given(st.lists(st.floats(0, 40), max_size=40))
def test_it_ends(steps: list[float]) -> None:
    """Before `until` every call is hit, and from then on none."""
    clock = FakeClock()
    injector = Injector(Chaos([fault("error")], until="60s"), clock)
    ends = clock.monotonic() + 60
    for step in steps:
        clock.advance(step)
        on = clock.monotonic() < ends
        assert (injector.plan("tool lookup") is not None) is on is injector.active


def test_those_listed_first_come_first() -> None:
    """Where rates of several patterns are more than one together, the last ones give way."""
    injector = Injector(Chaos([fault("error", 0.9), fault("garbage", 0.9, "tool *")]), FakeClock())
    for _ in range(2000):
        assert injector.plan("tool lookup") is not None
    errors, garbage = injector.stats()
    assert errors == Injected("error", "tool lookup", 2000 - garbage.times)
    assert 100 < garbage.times < 300


def test_a_rate_of_nothing_is_nothing() -> None:
    """A fault that is switched to a rate of nought is not injected, not even by a draw of nought."""
    injector = Injector(Chaos([fault("error", 0.0)]), FakeClock(), random=lambda: 0.0)
    assert injector.plan("tool lookup") is None


def test_names_are_not_kept_for_ever() -> None:
    """A flood of names costs bounded memory, and those beyond it are hit as often as the others."""
    injector = Injector(Chaos([fault("error", 0.5, "tool *")]), FakeClock())
    hit = sum(injector.plan(f"tool {number}") is not None for number in range(6000))
    assert 2700 < hit < 3300
    assert len(injector._routes) <= 1024
    assert injector.stats()[0].times == hit


async def test_an_error_is_a_lost_connection() -> None:
    """It is raised before the call, and read as a reset by what reads faults; it can be copied and sent."""
    with pytest.raises(ChaosError, match="'tool lookup'") as raised:
        await certain("error").before()
    assert isinstance(raised.value, ConnectionError)
    fault_read = read_fault(raised.value)
    assert (fault_read.kind, fault_read.counts) == ("reset", True)
    again = copy.copy(raised.value)
    assert (again.kind, again.name, str(again)) == ("error", "tool lookup", str(raised.value))


@pytest.mark.parametrize("kind", ["latency", "hang"])
async def test_waits_can_be_cancelled(kind: Kind) -> None:
    """A call that is held up goes as soon as it is cancelled, and leaves no task behind."""
    before = asyncio.all_tasks()
    call = asyncio.create_task(certain(kind).before())
    await asyncio.sleep(0)
    assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert asyncio.all_tasks() == before


async def test_no_wait_outlasts_the_chaos() -> None:
    """A latency passes and a hang breaks off when the chaos is over, however long they were to last."""
    clock = FakeClock()
    injectors = [Injector(Chaos([fault(kind)], until="10s"), clock) for kind in ("latency", "hang")]
    clock.advance(9.999)
    held, hung = [plan for one in injectors if (plan := one.plan("tool lookup")) is not None]
    await held.before()
    with pytest.raises(ChaosError, match="hang"):
        await hung.before()


@given(st.text(max_size=200), st.binary(max_size=200), st.integers(0, 1000))
def test_garbage_has_the_length_of_what_it_stands_for(text: str, data: bytes, seed: int) -> None:
    """Text becomes printable text of its length, bytes bytes of theirs; the same plan gives the same."""
    plan = certain("garbage", seed=seed)
    garbage = plan.garble(text)
    assert len(garbage) == len(text)
    assert set(garbage) <= PRINTABLE
    assert plan.garble(text) == garbage
    assert isinstance(plan.garble(data), bytes)
    assert len(plan.garble(data)) == len(data)


@pytest.mark.parametrize("value", [{"ok": True}, [1, 2], (1,), 7, 1.5, True, None])
@given(seed=st.integers(0, 1000))
def test_garbage_for_data_is_no_data(value: object, seed: int) -> None:
    """In the place of a dict or a list stands text that no reader of JSON accepts."""
    garbage = certain("garbage", seed=seed).garble(value)
    assert isinstance(garbage, str)
    with pytest.raises(json.JSONDecodeError):
        json.loads(garbage)


@pytest.mark.parametrize("kind", ["garbage", "truncate"])
def test_an_object_cannot_come_of_it(kind: Kind) -> None:
    """What something else has read already is lost, as it would have been to that reader."""
    with pytest.raises(ChaosError, match=kind):
        certain(kind).garble(object())


def test_a_whole_answer_is_cut_in_half() -> None:
    """Truncated text is the beginning of it; other faults leave an answer alone."""
    assert certain("truncate").garble("abcdef") == "abc"
    assert certain("truncate").garble(b"abc") == b"a"
    answer: dict[str, Any] = {"ok": True}
    for kind in ("latency", "error", "hang"):
        assert certain(kind).garble(answer) is answer


async def test_garbage_and_truncation_do_not_hold_up() -> None:
    """Faults of what comes back let the call begin."""
    await certain("garbage").before()
    await certain("truncate").before()


def test_garbled_text_comes_of_the_numbers_given() -> None:
    """The extremes of the random numbers give the extremes of what is printable."""
    assert garble_text("abc", lambda: 0.0) == "!!!"
    assert garble_text("ab", lambda: 0.999999) == "~~"


@pytest.mark.parametrize("items", [0, 1, 5, 100])
@pytest.mark.parametrize("seed", range(6))
async def test_a_stream_breaks_off(items: int, seed: int) -> None:
    """The first few items come, then the connection is lost, and the stream behind is closed; a short one is no excuse."""
    plan, source, got = certain("truncate", seed=seed), Source(items), list[int]()
    with pytest.raises(ChaosError, match="truncate"):
        async for item in plan.truncated(source.read()):
            got.append(item)
    assert got == list(range(min(items, plan.cut_after)))
    assert 1 <= plan.cut_after <= 8
    # A generator that was never begun has nothing to close.
    assert source.closed or items == 0 or not source.given


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "truncate"])
async def test_other_faults_leave_a_stream_whole(kind: Kind) -> None:
    """Passed through a plan that does not truncate, a stream is what it was, and is closed when it is left early."""
    source = Source(20)
    assert [item async for item in certain(kind).truncated(source.read())] == list(range(20))
    source = Source(20)
    reading = certain(kind).truncated(source.read())
    assert await anext(reading) == 0
    await reading.aclose()
    assert source.closed
