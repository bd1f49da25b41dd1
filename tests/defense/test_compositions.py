"""Every pair of breaker, retry, bulkhead, deadline, fallback and hedge, with each way to end, whole and streamed."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError, RunTimedOut

from seawall import Bulkhead, CircuitBreaker, EventBus, Hedge, Policy, Rejected, Retries, harden
from seawall.defense.hardened import Hardened
from seawall.defense.load import Slot
from seawall.defense.model_stack import endpoints_of
from seawall.defense.resilience import Permit
from seawall.foundation.events import Event, TransactionFinished
from seawall.foundation.transaction import Transaction
from tests.defense.streams import ALICE, ScriptedModel, Step, forever, text

FACTORS: dict[str, tuple[str, ...]] = {
    "breaker": ("closed", "half-open", "open"),
    "retries": ("none", "paid"),
    "bulkhead": ("free", "queueing", "full"),
    "deadline": ("far", "near"),
    "fallback": ("none", "one"),
    "hedge": ("off", "on"),
    "reading": ("whole", "stream"),
    "ending": ("answers", "fails", "hangs", "cancelled"),
}
STEPS: dict[str, list[Step]] = {
    "answers": text("One. ", "Two."),
    "fails": [ModelHTTPError(503, "primary")],
    "hangs": [forever],
    "cancelled": [forever],
}


@dataclass(frozen=True)
class Case:
    """One composition."""

    breaker: str
    retries: str
    bulkhead: str
    deadline: str
    fallback: str
    hedge: str
    reading: str
    ending: str

    @property
    def asked(self) -> bool:
        """Whether the first model is asked at all."""
        return self.breaker != "open" and self.bulkhead != "full"


def all_pairs() -> list[Case]:
    """Cover every pair of values of every two factors, greedily; the same cases each time."""
    names = list(FACTORS)
    whole = [dict(zip(names, values, strict=True)) for values in itertools.product(*FACTORS.values())]
    missing = {
        ((a, x), (b, y)) for a, b in itertools.combinations(names, 2) for x in FACTORS[a] for y in FACTORS[b]
    }
    cases: list[Case] = []
    while missing:
        pairs = {id(one): set(itertools.combinations(one.items(), 2)) & missing for one in whole}
        best = max(whole, key=lambda one: len(pairs[id(one)]))
        missing -= pairs[id(best)]
        cases.append(Case(**best))
    return cases


CASES = all_pairs()


def policy_of(case: Case, spare: ScriptedModel) -> Policy:
    return Policy(
        breaker=CircuitBreaker(
            minimum_calls=1, open_for="1ms" if case.breaker == "half-open" else "1h", max_open="1h"
        ),
        bulkhead=Bulkhead(concurrency=1, queue=1 if case.bulkhead == "queueing" else 0, max_wait="5s"),
        retries=Retries(most=1 if case.retries == "paid" else 0, share=1.0, first="1ms"),
        deadline="5s" if case.deadline == "far" else "400ms",
        fallbacks=[spare] if case.fallback == "one" else [],
        hedge=Hedge("30ms") if case.hedge == "on" else None,
        call_timeout="150ms",
        abuse=None,
    )


async def prepare(case: Case, safe: Hardened[None, str]) -> Slot | None:
    """Bring the first model's circuit and bulkhead into the state of the case; return the place that is taken."""
    dependency = endpoints_of(safe.guarded_model)[0].dependency
    if case.breaker != "closed":
        permit = await dependency.circuit.enter()
        assert isinstance(permit, Permit)
        dependency.circuit.record(permit, "failure")
        if case.breaker == "half-open":
            await asyncio.sleep(0.003)
    if case.bulkhead == "free":
        return None
    slot = await dependency._door.gate.acquire()
    assert isinstance(slot, Slot)
    return slot


async def ask(case: Case, safe: Hardened[None, str]) -> tuple[str, BaseException | None]:
    try:
        if case.reading == "whole":
            return (await safe.run("go", deps=None, principal=ALICE)).output, None
        async with safe.run_stream("go", deps=None, principal=ALICE) as stream:
            return "".join([piece async for piece in stream.text()]), None
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  the oracle looks at whatever it is
        return "", error


def expected(case: Case) -> set[str]:
    """What the caller may get, by simple rules: `first`, `spare`, `refused`, `timeout` or `cancelled`."""
    otherwise = "spare" if case.fallback == "one" else "refused"
    if not case.asked:
        return {otherwise}
    if case.ending == "answers":
        return {"first"}
    if case.ending == "cancelled":
        return {"cancelled"}
    late = {"timeout"} if case.deadline == "near" else set[str]()
    return {otherwise} | (late if case.ending == "hangs" else set())


def got(answer: str, error: BaseException | None) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, RunTimedOut):
        return "timeout"
    if isinstance(error, Rejected):
        return "refused"
    assert error is None, repr(error)
    return "first" if answer == "One. Two." else "spare"


OUTCOMES = {
    "first": {("ok", "full")},
    "spare": {("ok", "fallback")},
    "refused": {("refused", "refused"), ("failed", "refused")},
    "timeout": {("timeout", "refused")},
    "cancelled": {("cancelled", "full")},
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(astuple(case)))
async def test_they_compose(case: Case) -> None:
    """The caller gets what simple rules say; one row says the same; nothing is held, nothing runs, nothing is asked too often."""
    rows: list[Transaction] = []

    def keep(event: Event) -> None:
        if isinstance(event, TransactionFinished):
            rows.append(event.transaction)

    primary = ScriptedModel(STEPS[case.ending])
    spare = ScriptedModel(text("From the spare."), name="spare")
    safe: Hardened[None, str] = harden(
        Agent(primary, name="reader"), policy_of(case, spare), events=EventBus(keep)
    )
    before = asyncio.all_tasks()
    slot = await prepare(case, safe)
    task = asyncio.create_task(ask(case, safe))
    if slot is not None and case.bulkhead == "queueing":
        await asyncio.sleep(0.01)
        slot.release()
    if case.ending == "cancelled" and case.asked:
        await primary.waiting.wait()
        task.cancel()
    await asyncio.wait([task], timeout=20)
    answer, error = await task
    if slot is not None:
        slot.release()
    came = got(answer, error)
    assert came in expected(case)
    (row,) = rows
    assert (row.outcome, row.degradation) in OUTCOMES[came]
    check_nothing_is_left(safe, [primary, spare], before)
    tries = 1 + (case.retries == "paid" or (case.hedge == "on" and case.reading == "whole"))
    assert primary.entered <= (tries if case.asked else 0)
    assert spare.entered <= 1


def check_nothing_is_left(
    safe: Hardened[None, str], models: Sequence[ScriptedModel], before: set[asyncio.Task[Any]]
) -> None:
    endpoints = endpoints_of(safe.guarded_model)
    assert [one.dependency.stats().running for one in endpoints] == [0] * len(endpoints)
    assert [one.dependency.stats().queued for one in endpoints] == [0] * len(endpoints)
    assert {one.dependency.circuit.snapshot().probes for one in endpoints} == {0}
    assert all(model.entered == model.left for model in models)
    assert asyncio.all_tasks() == before


def test_every_pair_is_there() -> None:
    """No two values were left untried together."""
    for (a, xs), (b, ys) in itertools.combinations(FACTORS.items(), 2):
        seen = {(getattr(case, a), getattr(case, b)) for case in CASES}
        assert seen == set(itertools.product(xs, ys)), (a, b)
