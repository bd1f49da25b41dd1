"""The script of shared breakers next to a plain model of it, which keeps everything and counts from scratch."""

import asyncio
import json
import math
from itertools import count
from typing import Any, cast

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seawall.defense.resilience import CircuitBreaker
from seawall.defense.resilience.shared_breaker import rules_of
from seawall.defense.resilience.shared_script import EXCHANGE
from seawall.foundation.storage.redis import RedisScripts
from tests.redis_server import RedisServer

CONFIG = CircuitBreaker(
    failure_rate=0.5,
    slow_rate=0.75,
    slow_call="6s",
    window="20s",
    last=12,
    minimum_calls=6,
    open_for="10s",
    max_open="35s",
    half_open_probes=2,
)
LEASE = 12_000_000
START = 1_700_000_000_000_000
# Each example starts with nothing.
KEYS = count()


class Model:
    """One breaker as it should be: a list of counts and a list of leases, neither ever cleared."""

    def __init__(self) -> None:
        self.state, self.why, self.by = "closed", "", ""
        self.order: int = 0
        self.change: int = 0
        self.trips: int = 0
        self.till: int = 0
        self.floor: int = 0
        self.era = 0
        self.counts: list[tuple[int, int, list[int]]] = []
        self.leases: list[list[Any]] = []

    def move(self, state: str, why: str, by: str, change: int) -> None:
        """Begin another era."""
        self.state, self.why, self.by, self.change, self.era = state, why, by, change, self.era + 1

    def open(self, now: int, shorter: float, why: str, by: str) -> None:
        """Open for the time that the trips so far give."""
        base = min(10_000_000 * 2.0**self.trips, 35_000_000)
        self.trips += 1
        self.till = max(now + math.floor(base * shorter), self.floor)
        self.move("open", why, by, max(now, self.change + 1))

    def held(self, now: int, status: str = "held") -> list[list[Any]]:
        """List this era's leases of one status; what is held too long is lost."""
        for lease in self.leases:
            if lease[3] == "held" and now - lease[2] >= LEASE and status == "held":
                lease[3] = "lost"
        return [lease for lease in self.leases if lease[0] == self.era and lease[3] == status]

    def merge(self, now: int, line: dict[str, Any], by: str) -> None:
        """Believe the later of the two."""
        view: dict[str, Any] = line.get("view") or {
            "state": "closed",
            "trips": 0,
            "left": 0,
            "why": "closed meanwhile",
            "fresh": False,
        }
        theirs, mine = (line["order"], line["change"]), (self.order, self.change)
        state, why = view["state"], view["why"]
        if state == "half_open":
            state, why = "open", "its probes are not known here; the next call asks anew"
        if state == self.state == "open" and (theirs > mine or (view["fresh"] and theirs[0] == mine[0])):
            self.till, self.trips = max(self.till, now + view["left"]), max(self.trips, view["trips"])
        elif theirs > mine:
            self.move(state, why, by, theirs[1])
            self.till, self.trips = now + view["left"], view["trips"]
        if theirs > mine:
            if theirs[0] > mine[0]:
                self.floor = 0
            self.order, self.change = theirs

    def count(self, now: int, new: list[int], shorter: float, by: str) -> None:
        """Look at the newest slices, back to where they hold the last calls or the window ends."""
        current = now // 2_000_000
        self.counts.append((self.era, current, new))
        calls, failures, slow = 0, 0, 0
        for slot in range(current, current - 10, -1):
            if calls >= 12:
                break
            here = [one for era, at, one in self.counts if era == self.era and at == slot]
            calls += sum(one[0] for one in here)
            failures += sum(one[1] for one in here)
            slow += sum(one[2] for one in here)
        if calls >= 6 and failures >= 0.5 * calls:
            self.open(now, shorter, f"{failures} of {calls} calls of all processes failed (limit 50%)", by)
        elif calls >= 6 and slow >= 0.75 * calls:
            self.open(now, shorter, f"{slow} of {calls} calls of all processes were slow (limit 75%)", by)

    def report(self, now: int, words: list[Any], shorter: float, by: str) -> None:
        """Take in what a probe came to."""
        change, name, verdict = words
        current = self.state == "half_open" and change == self.change
        found = [lease for lease in self.leases if lease[:2] == [self.era, name] and lease[3] == "held"]
        for lease in found:
            lease[3] = "won" if verdict == "success" and current else "given back"
        if current and verdict in {"failure", "slow"}:
            self.open(now, shorter, "a probe was slow" if verdict == "slow" else "a probe failed", by)
        elif current and len(self.held(0, "won")) == 2:
            self.trips = 0
            self.move("closed", "2 of 2 probes succeeded", by, max(now, self.change + 1))

    def ask(self, now: int, name: str, by: str) -> tuple[int, int]:
        """Grant a probe, or say when to ask again."""
        if self.state == "open" and now >= self.till:
            self.move("half_open", "its open time is over", by, max(now, self.change + 1))
        if self.state != "half_open":
            return 0, 0
        held = self.held(now)
        if len(held) + len(self.held(0, "won")) < 2:
            self.leases.append([self.era, name, now, "held"])
            return 1, 0
        return 0, min(min(lease[2] for lease in held) + LEASE - now, 10_000_000)

    def exchange(self, said: dict[str, Any]) -> list[Any]:
        """Answer like the script."""
        now, by, shorter, line = said["at"], said["me"], said["shorter"], said["lines"][0]
        if said["deadline"] and now > said["deadline"]:
            return [0, now]
        self.merge(now, line, by)
        if "floor" in line:
            self.floor = max(self.floor, now + line["floor"])
        if "count" in line and (self.state, self.order, self.change) == (
            "closed",
            line["order"],
            line["change"],
        ):
            self.count(now, line["count"], shorter, by)
        for words in line.get("reports", []):
            self.report(now, words, shorter, by)
        granted, wait = self.ask(now, line["lease"], by) if "lease" in line else (0, 0)
        believed = line["view"]["state"] if "view" in line else "closed"
        same = (self.state, self.order, self.change) == (believed, line["order"], line["change"])
        if same and "lease" not in line:
            return [1, now]
        left = max(0, self.till - now)
        told = [0, self.state, self.order, self.change, self.trips, left, self.why, self.by, granted, wait]
        return [1, now, told]


STATES = st.sampled_from(["closed", "open", "half_open", "isolated"])
VERDICTS = st.sampled_from(["success", "success", "failure", "slow", "ignored"])
WHEN = st.sampled_from(["same", "same", "same", "same", "now", "older", "newer", "nothing"])
LINES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "wait": st.sampled_from([0, 1, 1_500_000, 2_000_000, 12_000_000, 40_000_000]),
        "shorter": st.sampled_from([1.0, 0.8, 0.8731]),
        "order": st.sampled_from(["same", "same", "same", "same", "now", "older"]),
        "change": WHEN,
        "late": st.booleans() | st.just(False) | st.just(False),
        "forget": st.integers(0, 20),
    },
    optional={
        "view": st.fixed_dictionaries(
            {
                "state": STATES,
                "trips": st.integers(0, 3),
                "left": st.sampled_from([0, 5_000_000, 20_000_000]),
                "fresh": st.booleans(),
            }
        ),
        "count": st.lists(st.integers(0, 7), min_size=3, max_size=3),
        "floor": st.sampled_from([1, 30_000_000]),
        "reports": st.lists(st.tuples(st.booleans(), st.integers(0, 4), VERDICTS), min_size=1, max_size=3),
        "lease": st.just(True),
    },
)


class Script:
    """The process that speaks; what it says is relative to where the model stands."""

    def __init__(self) -> None:
        self.model, self.now, self.asked = Model(), START, 0
        self.leases: list[str] = []

    def said(self, step: dict[str, Any]) -> dict[str, Any]:
        """Turn a step into what a process would say."""
        self.now += step["wait"]
        model = self.model
        moments = {"now": self.now, "older": model.change - 1, "newer": model.change + 1, "nothing": 0}
        line: dict[str, Any] = {
            "order": {"same": model.order, "now": self.now, "older": max(0, model.order - 1)}[step["order"]],
            "change": max(0, moments.get(step["change"], model.change)),
        }
        if "view" in step:
            line["view"] = {**step["view"], "why": f"since {self.now}"}
        elif step["change"] == "same" and model.state != "closed":
            line["view"] = {"state": model.state, "trips": 1, "left": 1, "why": "", "fresh": False}
        news = {key: step[key] for key in ("count", "floor") if key in step}
        if "reports" in step:
            current = model.change
            news["reports"] = [
                [current if is_current else current - 1, self._lease(which), verdict]
                for is_current, which, verdict in step["reports"]
            ]
        if "lease" in step:
            self.leases.append(f"lease-{len(self.leases)}")
            news["lease"] = self.leases[-1]
        if news:
            line.update(news, news=True)
        deadline = self.now - 1 if step["late"] else self.now + 1
        return {
            "at": self.now,
            "deadline": deadline,
            "me": "us",
            "shorter": step["shorter"],
            "lines": [line],
        }

    def _lease(self, which: int) -> str:
        return self.leases[-1 - which] if which < len(self.leases) else "never granted"


def _plain(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_plain(one) for one in cast("list[Any]", answer)]
    return answer.decode() if isinstance(answer, bytes) else answer


ASK: dict[str, Any] = {
    "wait": 0,
    "shorter": 1.0,
    "order": "same",
    "change": "same",
    "late": False,
    "forget": 1,
}
OPENED: dict[str, Any] = {
    **ASK,
    "change": "newer",
    "view": {"state": "open", "trips": 1, "left": 0, "fresh": True},
}
FAILED: dict[str, Any] = {**ASK, "count": [6, 6, 0]}


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(LINES, max_size=40))
@example(
    steps=[
        OPENED,
        {**ASK, "lease": True},
        {**ASK, "lease": True},
        {**ASK, "lease": True},
        {**ASK, "reports": [(True, 1, "success"), (True, 1, "success")]},
        {**ASK, "reports": [(True, 2, "ignored")]},
        {**ASK, "lease": True},
        {**ASK, "lease": True},
        {**ASK, "reports": [(True, 1, "success")]},
    ]
)
@example(steps=[OPENED, *2 * [{**ASK, "lease": True}], {**ASK, "lease": True, "wait": 12_000_000}])
@example(steps=[{**ASK, "floor": 30_000_000}, {**ASK, "floor": 1}, FAILED])
@example(steps=[OPENED, {**ASK, "lease": True}, {**ASK, "lease": True, "wait": 40_000_000}])
@example(steps=[{**ASK, "count": [3, 2, 0]}, {**ASK, "wait": 2_000_000, "count": [3, 1, 0]}])
@example(steps=[{**ASK, "count": [3, 3, 0]}, {**ASK, "wait": 18_000_000, "count": [3, 3, 0]}])
@example(steps=[{**ASK, "count": [3, 3, 0]}, {**ASK, "wait": 20_000_000, "count": [3, 3, 0]}])
@example(steps=[{**ASK, "count": [5, 5, 0]}, {**ASK, "wait": 2_000_000, "count": [12, 4, 0]}])
@example(steps=[{**ASK, "count": [8, 0, 6]}])
@example(steps=[{**ASK, "floor": 30_000_000}, {**ASK, "order": "now", "change": "now", "wait": 1}, FAILED])
@example(steps=[OPENED, {**ASK, "lease": True}, {**ASK, "reports": [(False, 0, "failure")]}])
def test_the_script_and_the_model_answer_the_same(
    redis_server: RedisServer, steps: list[dict[str, Any]]
) -> None:
    """Whatever processes say, in whatever order, however late, and after whatever loss of memory."""

    async def scenario() -> None:
        scripts = RedisScripts(redis_server.url, timeout="5s")
        key = b"breaker-%d" % next(KEYS)
        speaker = Script()
        for step in steps:
            if step["forget"] == 0:
                speaker.model = Model()
                key = b"breaker-%d" % next(KEYS)
            said = speaker.said(step)
            answer = await scripts.run(EXCHANGE, [key], [json.dumps(said), rules_of(CONFIG)])
            assert _plain(answer) == speaker.model.exchange(said)
        await scripts.aclose()

    asyncio.run(scenario())
