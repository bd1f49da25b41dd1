"""A request that is sent again is answered again, not done again."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.errors import ConfigError, StoreError
from seawall.orchestration.idempotency import (
    BadIdempotencyKey,
    Claim,
    ClaimLost,
    Conflict,
    Fresh,
    IdempotencyStore,
    InFlight,
    KeyNames,
    KeyRow,
    Outcome,
    Replay,
    decide,
    parse_key,
)
from seawall.orchestration.idempotency_store import SqlIdempotencyStore
from seawall.orchestration.run_database import RunDatabase
from seawall.orchestration.run_store import open_run_store
from seawall.testing.clock import FakeClock

RING = Keyring.ephemeral()
NAMES = KeyNames(RING)
NAME = NAMES.name("acme", "zoe@example.com", "POST /v1/runs", "key-078-05-1120")
BODY, OTHER_BODY = NAMES.fingerprint("acme", b'{"input":1}'), NAMES.fingerprint("acme", b'{"input":2}')
VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def database(tmp_path: Path, clock: FakeClock) -> AsyncIterator[RunDatabase]:
    async with open_run_store(tmp_path, RING, clock=clock) as runs:
        yield runs.database


@pytest.fixture
def keys(database: RunDatabase) -> IdempotencyStore:
    return SqlIdempotencyStore(database, lease="60s", ttl="24h", most_bytes="1 kB")


def claimed(outcome: Outcome, *, again: bool = False) -> Claim:
    assert isinstance(outcome, Fresh)
    assert outcome.again is again
    return outcome.claim


@given(VISIBLE)
def test_a_key_reads_the_same_quoted_and_bare(text: str) -> None:
    """Every key comes back from its quoted form, and bare where it can be written so."""
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert parse_key(f" {quoted}\t") == text
    if not set(text) & set(' ",;\\'):
        assert parse_key(text) == text


@given(st.text(max_size=300))
def test_any_header_is_read_or_refused(text: str) -> None:
    """Whatever is sent, a key is 1 to 255 visible characters, or BadIdempotencyKey."""
    try:
        key = parse_key(text)
    except BadIdempotencyKey:
        return
    assert 1 <= len(key) <= 255
    assert all(" " <= mark <= "~" for mark in key)


@pytest.mark.parametrize(
    "header",
    ["", " ", '""', '"', '"a', 'a"', '"a"b', '"a";p=1', "a, b", "a b", '"a\\b"', '"\n"', "é", "x" * 256],
)
def test_what_is_no_key_is_refused(header: str) -> None:
    """Two headers in one, unfinished quotes, control characters and endless keys are no keys."""
    with pytest.raises(BadIdempotencyKey, match="expected 1 to 255 visible ASCII characters"):
        parse_key(header)


@given(st.lists(st.text(min_size=1, max_size=4), min_size=8, max_size=8))
def test_each_caller_and_route_has_keys_of_its_own(parts: list[str]) -> None:
    """Names agree exactly where tenant, subject, route and key do, however these are cut."""
    first, second = NAMES.name(*parts[:4]), NAMES.name(*parts[4:])
    assert (first == second) == (parts[:4] == parts[4:])
    assert len(first.digest) == 64


def test_names_outlive_a_rotation() -> None:
    """A new key on the ring changes no name, so that no request is forgotten; and no name holds what it names."""
    old, new = RING.key("first master"), RING.key("second master")
    before, after = KeyNames(Keyring({1: old})), KeyNames(Keyring({1: old, 2: new}))
    assert before.name("t", "s", "r", "k") == after.name("t", "s", "r", "k")
    assert before.fingerprint("t", b"b") == after.fingerprint("t", b"b")
    assert before.name("t", "s", "r", "k") != KeyNames(Keyring({2: new})).name("t", "s", "r", "k")
    assert before.fingerprint("t", b"b") != before.fingerprint("t", b"b", "text/plain")
    assert before.fingerprint("t", b"b") != before.fingerprint("u", b"b")
    with pytest.raises(ConfigError, match="none may be empty"):
        before.name("t", "", "r", "")


@pytest.mark.parametrize(
    ("answered", "body", "now", "decision"),
    [
        (False, "f", 99.9, "busy"),
        (False, "f", 100.0, "again"),
        (False, "g", 50.0, "conflict"),
        (False, "g", 150.0, "conflict"),
        (True, "f", 50.0, "answered"),
        (True, "f", 199.9, "answered"),
        (True, "g", 50.0, "conflict"),
        (True, "f", 200.0, "new"),
        (False, "g", 200.0, "new"),
    ],
)
def test_what_a_known_key_means(answered: bool, body: str, now: float, decision: str) -> None:
    """Each combination of answer, body, lease (to 100) and expiry (at 200) has its one meaning."""
    row = KeyRow("f", "run_1", "token", 1, 100.0, 200.0, answered)
    assert decide(row, body, now) == decision
    assert decide(None, body, now) == "new"


async def test_an_answer_is_given_again_as_it_was(keys: IdempotencyStore, clock: FakeClock) -> None:
    """Status, headers and bytes come back, until 24 hours after the answer; then the key is new."""
    headers, body = [("content-type", "application/json"), ("x-a", "ü"), ("x-a", "2")], b'\n{"a":1}\n\x00\xff'
    claim = claimed(await keys.claim(NAME, BODY, "run_1"))
    clock.advance("59s")
    assert await keys.claim(NAME, BODY, "run_2") == InFlight("run_1", 1.0)
    await keys.complete(claim, 201, headers, body)
    expected = Replay(201, tuple(headers), body, "run_1")
    assert await keys.claim(NAME, BODY, "run_2") == expected
    assert await keys.claim(NAME, OTHER_BODY, "run_2") == Conflict()
    clock.advance(24 * 3600 - 1)
    assert await keys.claim(NAME, BODY, "run_2") == expected
    clock.advance(1)
    assert claimed(await keys.claim(NAME, OTHER_BODY, "run_2")) != claim
    with pytest.raises(ClaimLost):
        await keys.complete(claim, 200, [], b"late")


async def test_other_names_are_other_keys(keys: IdempotencyStore) -> None:
    """The same key of another tenant, subject or route is that one's own."""
    for tenant, subject, route in (("a", "b", "c"), ("x", "b", "c"), ("a", "x", "c"), ("a", "b", "x")):
        name = NAMES.name(tenant, subject, route, "k")
        claimed(await keys.claim(name, NAMES.fingerprint(tenant, b""), f"run_{tenant}{subject}{route}"))


async def test_another_body_is_a_conflict_while_the_first_is_in_flight(keys: IdempotencyStore) -> None:
    """A key names one request from its first claim on."""
    claimed(await keys.claim(NAME, BODY, "run_1"))
    assert await keys.claim(NAME, OTHER_BODY, "run_2") == Conflict()


async def test_a_claimant_that_fell_silent_is_replaced(keys: IdempotencyStore, clock: FakeClock) -> None:
    """After the lease another may do the work under the bound run; the slow one can neither answer, renew nor free it."""
    first = claimed(await keys.claim(NAME, BODY, "run_1"))
    clock.advance("50s")
    first = await keys.renew(first)
    clock.advance("59s")
    assert isinstance(await keys.claim(NAME, BODY, "run_2"), InFlight)
    clock.advance("1s")
    taken = await keys.claim(NAME, BODY, "run_2")
    assert isinstance(taken, Fresh)
    assert (taken.run_id, taken.again) == ("run_1", True)
    with pytest.raises(ClaimLost, match="renew the claim"):
        await keys.complete(first, 200, [], b"late")
    with pytest.raises(ClaimLost):
        await keys.renew(first)
    await keys.release(first)
    assert isinstance(await keys.claim(NAME, BODY, "run_3"), InFlight)
    await keys.complete(taken.claim, 200, [], b"done")
    assert await keys.claim(NAME, BODY, "run_3") == Replay(200, (), b"done", "run_1")
    with pytest.raises(ClaimLost):
        await keys.complete(taken.claim, 500, [], b"twice")


async def test_a_claimant_may_answer_after_its_lease_if_nobody_came(
    keys: IdempotencyStore, clock: FakeClock
) -> None:
    """What was done is recorded though it was late, as long as it was done once."""
    claim = claimed(await keys.claim(NAME, BODY, "run_1"))
    clock.advance("5m")
    await keys.complete(claim, 200, [], b"late")
    assert await keys.claim(NAME, BODY, "run_2") == Replay(200, (), b"late", "run_1")


async def test_a_released_key_is_new(keys: IdempotencyStore) -> None:
    """A request that was refused before its work leaves nothing behind; one that was answered stays answered."""
    claim = claimed(await keys.claim(NAME, BODY, "run_1"))
    await keys.release(claim)
    await keys.release(claim)
    again = claimed(await keys.claim(NAME, OTHER_BODY, "run_2"))
    await keys.complete(again, 200, [], b"")
    await keys.release(again)
    assert isinstance(await keys.claim(NAME, OTHER_BODY, "run_3"), Replay)


async def test_release_after_a_crash_keeps_the_run_bound(keys: IdempotencyStore, clock: FakeClock) -> None:
    """A second claimant that gives up does not unbind what the first, which died, may have begun."""
    claimed(await keys.claim(NAME, BODY, "run_1"))
    clock.advance("60s")
    await keys.release(claimed(await keys.claim(NAME, BODY, "run_2"), again=True))
    third = await keys.claim(NAME, BODY, "run_3")
    assert isinstance(third, Fresh)
    assert (third.run_id, third.again) == ("run_1", True)


async def test_an_answer_that_is_too_long_is_refused(keys: IdempotencyStore) -> None:
    """Beyond the bound nothing is recorded, and the claim stands."""
    claim = claimed(await keys.claim(NAME, BODY, "run_1"))
    for headers, body in (([], b"x" * 1001), ([("x", "x" * 1000)], b"")):
        with pytest.raises(StoreError, match="1000"):
            await keys.complete(claim, 200, headers, body)
    await keys.complete(claim, 200, [], b"x" * 1000)


async def test_nothing_of_a_request_stands_in_the_files(
    keys: IdempotencyStore, database: RunDatabase, tmp_path: Path
) -> None:
    """Neither key, subject, body, headers nor a plain hash of the body can be found in the database files."""
    claim = claimed(await keys.claim(NAME, BODY, "run_1"))
    await keys.complete(claim, 200, [("x-secret", "Testperson")], b"answer 078-05-1120")
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert NAME.digest.encode() in files
    assert not any(secret in files for secret in (b"078-05-1120", b"Testperson", b"zoe@", b"POST /v1/runs"))
    # Moved under another key's name the answer does not open: it is bound to its own.
    other = NAMES.name("acme", "zoe@example.com", "POST /v1/runs", "other")
    claimed(await keys.claim(other, BODY, "run_2"))
    with sqlite3.connect(tmp_path / "runs.db") as direct:
        direct.execute("DELETE FROM idempotency_keys WHERE name = ?", (other.digest,))
        direct.execute("UPDATE idempotency_keys SET name = ?", (other.digest,))
    direct.close()
    with pytest.raises(StoreError, match="belongs elsewhere"):
        await keys.claim(other, BODY, "run_3")


async def test_expired_keys_are_swept(tmp_path: Path, clock: FakeClock) -> None:
    """The run store's sweep deletes keys whose time is over, more than one step of them, and no others."""
    async with open_run_store(tmp_path, RING, clock=clock) as runs:
        keys = SqlIdempotencyStore(runs.database)
        names = [NAMES.name("acme", "u", "r", f"k{n}") for n in range(501)]
        await asyncio.gather(*(keys.claim(name, BODY, "run_1") for name in names))
        clock.advance("12h")
        claimed(await keys.claim(NAME, BODY, "run_1"))
        clock.advance("12h")
        assert (await runs.sweep()).keys == 501
        assert (await runs.sweep()).keys == 0
        claimed(await keys.claim(NAME, BODY, "run_2"), again=True)


def test_a_lease_is_shorter_than_the_keep(database: RunDatabase) -> None:
    """A key that expired while its claimant still works would be done twice: such settings are refused."""
    with pytest.raises(ConfigError, match="longer than the lease"):
        SqlIdempotencyStore(database, ttl="10s", lease="60s")
