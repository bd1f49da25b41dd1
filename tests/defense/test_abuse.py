"""Trust in one process: what it promises, under any history."""

import asyncio
import copy
import pickle
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from seawall.defense.abuse import Abuse, Distrusted, Ladder, MemoryTrust, Standing, Tenant
from seawall.defense.abuse.steps import (
    BANNED,
    COOLING,
    NEW,
    STEPS,
    Account,
    charge,
    owed_hits,
    step_of,
    weight_of,
)
from seawall.foundation.errors import ConfigError, Rejected
from seawall.foundation.events import Event, EventBus, TrustChanged
from seawall.foundation.principal import Principal
from seawall.testing import FakeClock

ANN = Principal("acme", "ann@example.org")
ACME = Tenant("acme")
DAY = 86_400.0


class Kept:
    """A memory store, its clock and the changes it published."""

    def __init__(self, policy: Abuse | None = None, **options: int) -> None:
        self.clock = FakeClock()
        self.changes: list[TrustChanged] = []
        self.store = MemoryTrust(policy or Abuse(), events=EventBus(self._note), clock=self.clock, **options)

    def _note(self, event: Event) -> None:
        assert isinstance(event, TrustChanged)
        self.changes.append(event)

    def steps(self, scope: str = "subject") -> list[tuple[str, str]]:
        return [(one.before, one.after) for one in self.changes if one.scope == scope]


def person(number: int, tenant: str = "acme") -> Principal:
    return Principal(tenant, f"u-{number}")


async def test_each_hit_costs_more_and_cool_downs_double_until_a_ban() -> None:
    """Weights 2 and 4, then cool-downs of 1, 2, 4 … minutes up to an hour, at ten hits a day's ban."""
    kept = Kept()
    standings = [await kept.store.spend(ANN) for _ in range(10)]
    assert [one.step for one in standings] == ["watched"] * 2 + ["cooling"] * 7 + ["banned"]
    assert [one.weight for one in standings[:6]] == [2, 4, 8, 16, 16, 16]
    waits = [one.retry_after for one in standings[2:]]
    assert waits == pytest.approx([60, 120, 240, 480, 960, 1920, 3600, DAY], abs=0.01)
    assert kept.steps() == [("trusted", "watched"), ("watched", "cooling"), ("cooling", "banned")]


async def test_trust_comes_back_with_time_and_each_change_is_told_once() -> None:
    """A cool-down ends in being watched, and that in trust, each announced at the first look that sees it."""
    kept = Kept()
    for _ in range(3):
        await kept.store.spend(ANN)
    assert (await kept.store.look(ANN)).refused
    kept.clock.advance(61)
    for _ in range(3):
        assert (await kept.store.look(ANN)).step == "watched"
    kept.clock.advance("31m")
    for _ in range(3):
        assert await kept.store.look(ANN) == Standing("trusted", 1, None, "subject")
    assert kept.steps()[2:] == [("cooling", "watched"), ("watched", "trusted")]
    assert [one.by for one in kept.changes] == ["guards", "guards", "time", "time"]
    assert all("ann" not in one.caller for one in kept.changes)


async def test_who_waits_as_told_is_heard_and_not_before() -> None:
    """The wait is enough, and a hundredth of a second less is not."""
    kept = Kept()
    for _ in range(12):
        await kept.store.spend(ANN)
    wait = (await kept.store.look(ANN)).retry_after
    assert wait is not None
    kept.clock.advance(wait - 0.01)
    assert (await kept.store.look(ANN)).step == "banned"
    kept.clock.advance(0.01)
    assert (await kept.store.look(ANN)).step == "watched"


@settings(deadline=None)
@given(st.integers(1_000, 2_000_000_000_000), st.sampled_from([3, 4, 7, 12]))
def test_a_clock_of_any_age_brings_nobody_back_early(start: int, hits: int) -> None:
    """Rounding of floats, however large the clock's reading, never makes a wait too short."""

    async def scenario() -> None:
        clock = FakeClock(monotonic=start / 1000)
        store = MemoryTrust(Abuse(), clock=clock)
        clock.advance((await store.spend(ANN, hits)).retry_after or 0.0)
        assert (await store.look(ANN)).step == "watched"

    asyncio.run(scenario())


@pytest.mark.parametrize("gap", [DAY, 3600.0, 601.0])
async def test_an_accidental_hit_now_and_then_never_leads_to_a_refusal(gap: float) -> None:
    """One hit a day, an hour or in ten minutes, for a year's worth of hits: watched for a while, never refused."""
    kept = Kept()
    for _ in range(365):
        assert await kept.store.spend(ANN) == Standing("watched", 2, None, "subject", 1)
        kept.clock.advance(gap)
        assert (await kept.store.look(ANN)).step == "trusted"


async def test_one_bad_user_never_moves_its_tenant() -> None:
    """Ten thousand hits of one subject at once, and hits for a month: its neighbours notice nothing."""
    kept = Kept()
    for _ in range(10_000):
        await kept.store.spend(ANN)
    for _ in range(30 * 24 * 6):
        kept.clock.advance("10m")
        await kept.store.spend(ANN)
        assert await kept.store.look(person(1)) == Standing("trusted", 1, None, "subject")
    assert kept.steps("tenant") == []


async def test_a_tenant_whose_subjects_attack_together_is_refused_and_heard_again_soon() -> None:
    """Enough different subjects move their tenant: first its requests weigh more, then all wait, at most an hour."""
    kept, seen = Kept(), list[Standing]()
    for number in range(200):
        for _ in range(3):
            await kept.store.spend(person(number))
        seen.append(await kept.store.look(ANN))
    assert [one.step for one in (seen[5], seen[6], seen[19], seen[99])] == [
        "trusted",
        "watched",
        "cooling",
        "banned",
    ]
    assert (seen[6].weight, seen[6].scope, seen[18].weight) == (4, "tenant", 4)
    assert await kept.store.look(person(1, "beta")) == Standing("trusted", 1, None, "subject")
    kept.clock.advance(seen[199].retry_after or 0.0)
    assert not (await kept.store.look(ANN)).refused
    assert kept.steps("tenant")[:3] == [
        ("trusted", "watched"),
        ("watched", "cooling"),
        ("cooling", "banned"),
    ]


async def test_a_tenant_moves_only_while_several_subjects_are_at_it() -> None:
    """Two subjects, whatever they bring, do not; a third does; alone again, one neither helps nor worsens it."""
    ladder = Ladder(watch=2, hits=4, ban_after=90, regain="1h", ban="2h")
    kept = Kept(Abuse(tenant=ladder, tenant_subjects=3, tenant_window="1h"))
    for number in (0, 1, 0, 1):
        for _ in range(3):
            await kept.store.spend(person(number))
        kept.clock.advance("20m")
        assert (await kept.store.status(ACME)).owed <= 1
    for number in (2, 3, 4):
        await kept.store.spend(person(number), 3)
    before = await kept.store.status(ACME)
    assert (before.step, before.owed) == ("cooling", 10)
    kept.clock.advance("3h")
    assert (await kept.store.status(ACME)).step == "watched"
    owed = (await kept.store.status(ACME)).owed
    await kept.store.spend(person(5), 3)
    assert (await kept.store.status(ACME)).owed == owed
    assert (await kept.store.status(ACME)).step == "watched"


async def test_slow_probing_by_many_subjects_is_caught_by_its_fingerprint() -> None:
    """One attack a day, each by a subject of its own: the fifth makes it known, all later ones cool down at once."""
    kept, attack = Kept(), bytes(range(48))
    steps = list[str]()
    for number in range(8):
        steps.append((await kept.store.spend(person(number), fingerprint=attack)).step)
        kept.clock.advance("1d")
    assert steps == ["watched"] * 4 + ["cooling"] * 4
    elsewhere = await kept.store.spend(person(1, "beta"), fingerprint=attack)
    assert (elsewhere.step, elsewhere.owed) == ("watched", 1)


async def test_those_who_sent_what_becomes_known_step_up() -> None:
    """The four before the fifth are charged what it is charged, so that sending early is no discount."""
    kept, attack = Kept(), bytes(range(48))
    for number in range(4):
        await kept.store.spend(person(number), fingerprint=attack)
    assert [(await kept.store.status(person(number))).step for number in range(4)] == ["watched"] * 4
    await kept.store.spend(person(4), fingerprint=attack)
    assert [(await kept.store.status(person(number))).step for number in range(5)] == ["cooling"] * 5
    assert len(kept.steps()) == 4 + 5
    assert await kept.store.status(ACME) == Standing("trusted", 1, None, "tenant", 5)


async def test_the_same_subject_repeating_itself_makes_nothing_known() -> None:
    """A fingerprint counts different subjects, not how often; outside the window they are forgotten."""
    kept, attack = Kept(), bytes(range(48))
    for number in range(12):
        found = await kept.store.spend(person(number % 4), fingerprint=attack)
        kept.clock.advance("1h")
        assert found.owed == 1
    kept.clock.advance("8d")
    assert (await kept.store.spend(person(7), fingerprint=attack)).owed == 1


async def test_an_operator_beats_the_arithmetic_until_the_override_ends() -> None:
    """A ban refuses the innocent, a pardon admits the guilty; both end, and each is told with who said it."""
    kept = Kept()
    assert (await kept.store.ban(ANN, "2h", by="on-call")).retry_after == pytest.approx(7200, abs=0.01)
    assert (await kept.store.look(ANN)).by_operator
    kept.clock.advance("2h")
    assert (await kept.store.look(ANN)).step == "trusted"
    for _ in range(20):
        await kept.store.spend(ANN)
    assert (await kept.store.pardon(ANN, "1h", by="on-call")).step == "trusted"
    assert (await kept.store.spend(ANN, 9)).step == "trusted"
    kept.clock.advance("61m")
    assert await kept.store.look(ANN) == Standing("trusted", 1, None, "subject")
    assert (await kept.store.spend(ANN)).step == "watched"
    told = [(one.after, one.seconds) for one in kept.changes if one.by == "on-call"]
    assert told == [("banned", 7200.0), ("trusted", 3600.0)]


async def test_a_tenant_is_pardoned_and_banned_apart_from_its_subjects() -> None:
    """Each scope has its own override; while a tenant is pardoned no fingerprint is known in it."""
    kept, attack = Kept(), bytes(range(48))
    await kept.store.ban(ACME, "1h")
    await kept.store.pardon(ANN, "2h")
    assert (await kept.store.look(ANN)).scope == "tenant"
    assert (await kept.store.status(ANN)).step == "trusted"
    await kept.store.pardon(ACME, "3h")
    assert (await kept.store.look(person(1))).step == "trusted"
    assert all([(await kept.store.spend(person(n), fingerprint=attack)).owed == 1 for n in range(9)])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Ladder(hits=0),
        lambda: Ladder(watch=4),
        lambda: Ladder(ban_after=2),
        lambda: Ladder(regain="0.1ms"),
        lambda: Ladder(cool_down="2h"),
        lambda: Ladder(ban="30m"),
        lambda: Abuse(tenant_subjects=1),
        lambda: Abuse(fingerprint_cost=0),
        lambda: Abuse(abreast=0),
        lambda: Abuse(tenant_window="nothing"),
        lambda: Tenant(""),
        lambda: asyncio.run(Kept().store.ban(ANN, "31d")),
        lambda: asyncio.run(Kept().store.ban(ANN, "1d", by="guards")),
        lambda: asyncio.run(Kept().store.spend(ANN, 0)),
        lambda: asyncio.run(Kept().store.spend(ANN, 1, b"text")),
    ],
)
def test_what_cannot_hold_is_refused(wrong: "object") -> None:
    """Numbers that contradict each other are a ConfigError where they are written."""
    assert callable(wrong)
    with pytest.raises(ConfigError):
        wrong()


def test_the_policy_is_plain_data() -> None:
    """It can be printed, compared and written to a file."""
    plain = Abuse().describe()
    assert plain["fingerprint_subjects"] == 5
    assert plain["subject"] == {
        "watch": 1,
        "hits": 3,
        "ban_after": 10,
        "regain": "10m",
        "cool_down": "1m",
        "longest_cool_down": "1h",
        "ban": "24h",
        "heaviest": 16,
    }
    assert Abuse() == Abuse()


def test_a_refusal_says_how_long_and_nothing_else() -> None:
    """The text holds no caller, rule or reason; it survives copying and pickling."""
    refusal = Distrusted(59.2)
    assert isinstance(refusal, Rejected)
    assert (str(refusal), refusal.retry_after, refusal.by) == (
        "refused for now; try again in 60 s",
        59.2,
        "trust",
    )
    assert str(copy.copy(refusal)) == str(pickle.loads(pickle.dumps(refusal))) == str(refusal)


RUNGS = Ladder(regain="10ms", cool_down="3ms", longest_cool_down="40ms", ban="90ms", ban_after=6).rungs
HISTORY = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4)), max_size=40)


@settings(deadline=None)
@given(HISTORY, st.integers(0, 40), st.integers(1, 5), st.lists(st.integers(0, 100), max_size=10))
def test_a_further_hit_never_improves_anything(
    history: list[tuple[int, int]], at: int, hits: int, later: list[int]
) -> None:
    """Of two equal histories the one with a hit more is never on a better step, then or at any time after."""
    now, worse, better = 1_000, NEW, NEW
    for number, (gap, cost) in enumerate(history):
        now += gap
        worse, better = (charge(one, now, RUNGS, cost, RUNGS.ban_after) for one in (worse, better))
        if number == at:
            worse = charge(worse, now, RUNGS, hits, RUNGS.ban_after)
    for gap in [0, *later]:
        now += gap
        assert step_of(worse, now, RUNGS) >= step_of(better, now, RUNGS)
        assert weight_of(worse, now, RUNGS) >= weight_of(better, now, RUNGS)
        assert worse.until >= better.until


@settings(deadline=None)
@given(HISTORY)
def test_time_alone_always_ends_a_refusal_and_earns_trust_back(history: list[tuple[int, int]]) -> None:
    """Whatever came before: after the longest refusal nobody is refused, and then trust is a matter of regain."""
    now, account = 1_000, NEW
    for gap, cost in history:
        now += gap
        account = charge(account, now, RUNGS, cost, RUNGS.ban_after)
    now += RUNGS.ban
    assert step_of(account, now, RUNGS) < COOLING
    now += RUNGS.ban_after * RUNGS.regain
    assert step_of(account, now, RUNGS) == 0
    assert owed_hits(account, now, RUNGS) == 0


class Naive:
    """The same promises, a millisecond at a time: what is owed is a pile that shrinks while nobody is refused."""

    def __init__(self) -> None:
        self.pile = self.refused = 0
        self.banned = False
        self.order: tuple[str, int] = ("", 0)

    def tick(self) -> None:
        self.order = (self.order[0], max(0, self.order[1] - 1))
        if self.refused:
            self.refused -= 1
            self.banned = self.banned and self.refused > 0
        else:
            self.pile = max(0, self.pile - 1)

    def count(self) -> int:
        return -(-self.pile // RUNGS.regain)

    def ordered(self) -> str:
        return self.order[0] if self.order[1] else ""

    def hit(self, hits: int) -> None:
        if self.ordered() == "pardon":
            return
        self.pile = min(self.pile + hits * RUNGS.regain, RUNGS.ban_after * RUNGS.regain)
        if self.count() >= RUNGS.ban_after:
            self.refused, self.banned = max(self.refused, RUNGS.ban), True
        elif self.count() >= RUNGS.hits:
            doubled = RUNGS.cool_down * 2 ** (self.count() - RUNGS.hits)
            self.refused = max(self.refused, min(doubled, RUNGS.longest_cool_down))

    def step(self) -> str:
        if self.ordered():
            return "banned" if self.ordered() == "ban" else "trusted"
        if self.refused:
            return "banned" if self.banned else "cooling"
        return "watched" if self.pile else "trusted"


class Turned(MemoryTrust):
    """A store whose milliseconds a test turns."""

    at = 5_000

    def _now(self) -> int:
        return self.at


class AgainstNaive(RuleBasedStateMachine):
    """The store and the naive reference see the same callers, contents, operators and time."""

    def __init__(self) -> None:
        super().__init__()
        ladder = Ladder(regain="10ms", cool_down="3ms", longest_cool_down="40ms", ban="90ms", ban_after=6)
        # Tenants have a test of their own: here they never move.
        policy = Abuse(
            subject=ladder, fingerprint_subjects=3, fingerprint_window="200ms", tenant_subjects=1000
        )
        self.told: dict[str, str] = defaultdict(lambda: "trusted")
        self.store = Turned(policy, events=EventBus(self.hear))
        self.naive = [Naive() for _ in range(4)]
        self.sent: list[tuple[int, int, int]] = []

    def hear(self, event: Event) -> None:
        assert isinstance(event, TrustChanged)
        assert event.before == self.told[event.caller]
        assert event.before != event.after or event.by == "operator"
        self.told[event.caller] = event.after

    @rule(milliseconds=st.integers(0, 60))
    def wait(self, milliseconds: int) -> None:
        self.store.at += milliseconds
        for _ in range(milliseconds):
            for naive in self.naive:
                naive.tick()

    @rule(who=st.integers(0, 3), hits=st.integers(1, 3), content=st.integers(0, 2))
    def spend(self, who: int, hits: int, content: int) -> None:
        now = self.store.at
        found = asyncio.run(self.store.spend(person(who), hits, bytes([content] * 8) if content else None))
        cost = hits
        if content:
            before = {w for w, c, at in self.sent if c == content and at > now - 200}
            self.sent.append((who, content, now))
            if len(before | {who}) >= 3:
                cost = hits * 3
                for fellow in before - {who} if len(before) < 3 else set[int]():
                    self.naive[fellow].hit(2)
        self.naive[who].hit(cost)
        assert found.step == self.naive[who].step()

    @rule(who=st.integers(0, 3), for_=st.integers(1, 120))
    def pardon(self, who: int, for_: int) -> None:
        asyncio.run(self.store.pardon(person(who), f"{for_}ms"))
        self.naive[who] = Naive()
        self.naive[who].order = ("pardon", for_)

    @rule(who=st.integers(0, 3), for_=st.integers(1, 120))
    def ban(self, who: int, for_: int) -> None:
        asyncio.run(self.store.ban(person(who), f"{for_}ms"))
        self.naive[who].order = ("ban", for_)

    @rule(who=st.integers(0, 3))
    def look(self, who: int) -> None:
        found = asyncio.run(self.store.look(person(who)))
        assert found.step == self.naive[who].step()

    @invariant()
    def all_agree(self) -> None:
        for who, naive in enumerate(self.naive):
            found = asyncio.run(self.store.status(person(who)))
            assert (found.step, found.owed) == (naive.step(), naive.count())
            assert found.refused == (STEPS.index(found.step) >= COOLING)


TestAgainstNaive = AgainstNaive.TestCase
TestAgainstNaive.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


async def test_a_million_callers_stay_within_bounds_and_bans_outlast_the_crowd() -> None:
    """However many subjects owe hits, the store holds what it was told to, and whoever is banned stays so."""
    kept = Kept(max_keys=1_000)
    for _ in range(10):
        await kept.store.spend(ANN)
    book, now = kept.store._book, int(kept.clock.monotonic() * 1000)
    for number in range(1_000_000):
        book.put(number.to_bytes(16), Account(now + 600_000 + number % 997, 0, 1), now + number // 1_000)
    for number in range(5_000):
        await kept.store.spend(Principal(f"t-{number % 7}", str(number)), fingerprint=number.to_bytes(48))
    assert len(kept.store) <= 1_000
    assert kept.store.crowded > 0
    assert len(book._due) <= 1_000
    assert len(book._sightings) <= 1_000
    assert (await kept.store.look(ANN)).step == "banned"


async def test_no_newcomer_takes_the_place_of_a_ban() -> None:
    """A store full of bans stays full of them: a single hit of somebody new is what is forgotten."""
    kept = Kept(max_keys=10)
    for number in range(10):
        await kept.store.spend(person(number), 10)
    for number in range(300):
        await kept.store.spend(person(number, "beta"))
    assert {(await kept.store.status(person(number))).step for number in range(10)} == {"banned"}
    assert kept.store.crowded > 300


async def test_what_says_nothing_any_more_is_dropped() -> None:
    """Accounts go by themselves, a few with each change, and no call sweeps the store."""
    kept = Kept()
    for number in range(500):
        await kept.store.spend(person(number))
    kept.clock.advance("2d")
    for _ in range(200):
        await kept.store.spend(ANN)
    assert len(kept.store) <= 2


def test_an_account_is_two_instants_and_an_order() -> None:
    """What is stored of a caller is six whole numbers: no name, no content, no list that grows."""
    account = charge(NEW, 1_000, RUNGS, 99, RUNGS.ban_after)
    assert account == Account(1_000 + 90 + 60, 1_000 + 90)
    assert step_of(account, 1_001, RUNGS) == BANNED
