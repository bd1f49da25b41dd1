"""The issuer's keys, from a real server on a loopback socket: rotation, absence, and what a request waits for."""

import asyncio
from collections.abc import AsyncGenerator

import jwt
import pytest

from seawall.edge.auth import issuer_keys
from seawall.edge.auth import jwt as tokens_module
from seawall.edge.auth.issuer_keys import IssuerKeys, check_url
from seawall.edge.auth.jwt import KeyAwaited, TokenRules, Tokens, Verified
from seawall.edge.auth.refused import AuthRefused
from seawall.foundation.errors import ConfigError
from seawall.foundation.events import Event, EventBus, StoreChanged
from seawall.testing import FakeClock
from tests.edge.auth.issuer_server import AUDIENCE, IssuerServer, Mode, claims, issuer_server, sign


@pytest.fixture
async def issuer() -> AsyncGenerator[IssuerServer]:
    """A provider that behaves until it is told not to."""
    async with issuer_server() as server:
        yield server


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def keys(issuer: IssuerServer, clock: FakeClock) -> AsyncGenerator[IssuerKeys]:
    """Its keys, which nothing fetches in the background."""
    found = IssuerKeys(issuer.url, issuer.jwks_url, clock=clock)
    yield found
    await found.__aexit__(None, None, None)


@pytest.fixture
def tokens(issuer: IssuerServer, keys: IssuerKeys, clock: FakeClock) -> Tokens:
    return Tokens(TokenRules(issuer=issuer.url, audience=AUDIENCE), keys, clock=clock)


def token(issuer: IssuerServer, clock: FakeClock, kid: str = "rsa", **header: str) -> str:
    return sign(claims(issuer.url, clock.time(), exp=clock.time() + 10_000), kid, **header)


async def ask(tokens: Tokens, given: str) -> str:
    """Return "taken", or the reason of the refusal, after the wait that a request would have."""
    outcome = tokens.verify(given)
    if isinstance(outcome, KeyAwaited):
        outcome = await tokens.settle(outcome)
    return outcome.reason if isinstance(outcome, AuthRefused) else "taken"


async def test_the_first_token_waits_for_its_key_and_the_next_does_not(
    issuer: IssuerServer, tokens: Tokens, clock: FakeClock
) -> None:
    """Only a key that is not here is fetched; from then on verification has nothing to wait for."""
    assert isinstance(tokens.verify(token(issuer, clock)), KeyAwaited)
    assert await ask(tokens, token(issuer, clock)) == "taken"
    for kid in ("rsa", "p256", "ed"):
        assert isinstance(tokens.verify(token(issuer, clock, kid)), Verified)
    assert issuer.asked == ["/keys"]


async def test_what_can_never_be_taken_asks_nobody(
    issuer: IssuerServer, tokens: Tokens, clock: FakeClock
) -> None:
    """A token whose algorithm is not on the list is refused before its key is looked for."""
    told = claims(issuer.url, clock.time())
    for token_of in (
        jwt.encode(told, "x" * 32, "HS256", headers={"kid": "rsa"}),
        jwt.encode(told, "", "none"),
    ):
        assert await ask(tokens, token_of) == "algorithm"
    assert not issuer.asked


async def test_many_wait_for_one_fetch(issuer: IssuerServer, tokens: Tokens, clock: FakeClock) -> None:
    """A burst of requests at the start asks the issuer once."""
    outcomes = await asyncio.gather(*(ask(tokens, token(issuer, clock)) for _ in range(50)))
    assert (set(outcomes), len(issuer.asked)) == ({"taken"}, 1)


async def test_the_issuer_changes_its_key(issuer: IssuerServer, tokens: Tokens, clock: FakeClock) -> None:
    """A token of a new key is taken as soon as it comes, and one of a key that was taken back no longer."""
    old = token(issuer, clock)
    assert await ask(tokens, old) == "taken"
    issuer.kids = ("next",)
    clock.advance("31s")
    assert await ask(tokens, token(issuer, clock, "next")) == "taken"
    assert await ask(tokens, old) == "unknown"


async def test_unknown_keys_are_looked_for_twice_a_minute_at_most(
    issuer: IssuerServer, tokens: Tokens, clock: FakeClock
) -> None:
    """Whoever invents key ids cannot have the issuer asked for each, and none of them waits."""
    assert await ask(tokens, token(issuer, clock)) == "taken"
    for number in range(200):
        assert await ask(tokens, _invented(issuer, clock, number)) == "unknown"
    assert len(issuer.asked) == 1
    clock.advance("31s")
    assert await ask(tokens, _invented(issuer, clock, 0)) == "unknown"
    assert len(issuer.asked) == 2


def _invented(issuer: IssuerServer, clock: FakeClock, number: int) -> str:
    return sign(claims(issuer.url, clock.time()), "rsa", kid=f"invented-{number}")


async def test_the_issuer_goes_away(issuer: IssuerServer, tokens: Tokens, clock: FakeClock) -> None:
    """Its keys, and what they signed, go on for an hour, and then nobody can say what holds."""
    known = token(issuer, clock)
    assert await ask(tokens, known) == "taken"
    issuer.mode = "error"
    clock.advance("59m")
    assert await ask(tokens, _invented(issuer, clock, 1)) == "key_unavailable"
    assert await ask(tokens, known) == "taken"
    assert await ask(tokens, sign(claims(issuer.url, clock.time(), sub="bob"))) == "taken"
    clock.advance("2m")
    assert await ask(tokens, known) == "key_unavailable"
    issuer.mode = "answer"
    clock.advance("31s")
    assert await ask(tokens, known) == "taken"


@pytest.mark.parametrize("mode", ["hang", "drip"])
async def test_a_server_that_hangs_holds_nobody(
    issuer: IssuerServer, tokens: Tokens, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """Whoever waits for a key is let go after a while, and who needs none is not concerned."""
    known = token(issuer, clock)
    assert await ask(tokens, known) == "taken"
    monkeypatch.setattr(tokens_module, "_PATIENCE", 0.05)
    monkeypatch.setattr(issuer_keys, "_FETCH_SECONDS", 0.3)
    issuer.mode = mode
    clock.advance("31s")
    assert await ask(tokens, token(issuer, clock, "next")) == "key_unavailable"
    assert isinstance(tokens.verify(known), Verified)
    # The fetch itself ends too, so that another can begin.
    fetch = tokens._keys.ask()
    assert fetch is not None
    await asyncio.wait([fetch])
    assert tokens._keys.why == "TimeoutError"


async def test_only_so_many_wait(
    issuer: IssuerServer, tokens: Tokens, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the issuer hangs, a flood of tokens with unknown keys cannot pile up."""
    monkeypatch.setattr(tokens_module, "_MOST_WAITING", 3)
    issuer.mode = "hang"
    awaited = tokens.verify(token(issuer, clock))
    assert isinstance(awaited, KeyAwaited)
    waiting = [asyncio.create_task(tokens.settle(awaited)) for _ in range(3)]
    await issuer.asked_again.wait()
    too_many = asyncio.create_task(tokens.settle(awaited))
    await asyncio.sleep(0)
    assert too_many.done()
    assert too_many.result() == AuthRefused("key_unavailable")
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert tokens._waiting == 0
    assert not awaited.fetch.done()


@pytest.mark.parametrize("mode", ["close", "error", "redirect", "huge", "nonsense", "empty"])
async def test_no_other_answer_replaces_the_keys(
    issuer: IssuerServer, tokens: Tokens, keys: IssuerKeys, clock: FakeClock, mode: Mode
) -> None:
    """What is no set of keys, too long, or elsewhere, changes nothing; the failure shows, and ends with the next success."""
    assert await ask(tokens, token(issuer, clock)) == "taken"
    issuer.mode = mode
    clock.advance("31s")
    assert await ask(tokens, token(issuer, clock, "next")) == "key_unavailable"
    assert await ask(tokens, token(issuer, clock, "p256")) == "taken"
    assert keys.why
    assert "/elsewhere" not in issuer.asked
    issuer.mode, issuer.kids = "answer", ("next",)
    clock.advance("31s")
    assert await ask(tokens, token(issuer, clock, "next")) == "taken"
    assert not keys.why


async def test_discovery_says_where_the_keys_are(issuer: IssuerServer, clock: FakeClock) -> None:
    """Without an address the issuer's own document is asked, and is believed only where it names this issuer."""
    async with IssuerKeys(issuer.url, clock=clock) as keys:
        tokens = Tokens(TokenRules(issuer=issuer.url, audience=AUDIENCE), keys, clock=clock)
        assert await ask(tokens, token(issuer, clock)) == "taken"
        assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    issuer.said_issuer = "https://elsewhere.example"
    async with IssuerKeys(issuer.url, clock=clock) as keys:
        tokens = Tokens(TokenRules(issuer=issuer.url, audience=AUDIENCE), keys, clock=clock)
        assert await ask(tokens, token(issuer, clock)) == "key_unavailable"


async def test_keys_are_kept_fresh_in_the_background(
    issuer: IssuerServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come before anybody asks, are fetched again, and observers hear when that fails and when it works again."""
    monkeypatch.setattr(issuer_keys, "_REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(issuer_keys, "_SHORTEST_REST", 0.01)
    monkeypatch.setattr(issuer_keys, "_UNKNOWN_SECONDS", 0.0)
    heard: list[Event] = []
    changed = asyncio.Event()

    def hear(event: Event) -> None:
        heard.append(event)
        changed.set()

    async with IssuerKeys(issuer.url, issuer.jwks_url, clock=clock, events=EventBus(hear)):
        while len(issuer.asked) < 3:
            issuer.asked_again.clear()
            await issuer.asked_again.wait()
        assert not heard
        for mode in ("error", "answer"):
            changed.clear()
            issuer.mode = mode
            await changed.wait()
    assert heard == [
        StoreChanged("issuer keys", False, "ValueError"),
        StoreChanged("issuer keys", True, "a fetch succeeded"),
    ]


async def test_a_key_that_came_too_early_is_looked_for_when_it_may_be(
    issuer: IssuerServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attacker who used up the look for unknown keys delays a new key of the issuer's, and cannot keep it out."""
    monkeypatch.setattr(issuer_keys, "_UNKNOWN_SECONDS", 0.2)
    async with IssuerKeys(issuer.url, issuer.jwks_url, clock=clock) as keys:
        tokens = Tokens(TokenRules(issuer=issuer.url, audience=AUDIENCE), keys, clock=clock)
        assert await ask(tokens, token(issuer, clock)) == "taken"
        issuer.kids = ("next",)
        issuer.asked_again.clear()
        assert await ask(tokens, token(issuer, clock, "next")) == "unknown"
        await issuer.asked_again.wait()
        assert keys._fetching is not None
        await asyncio.wait([keys._fetching])
        assert await ask(tokens, token(issuer, clock, "next")) == "taken"


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/keys",
        "http://127.0.0.1.issuer.example/",
        "http://localhost.example/",
        "https://user:word@issuer.example/keys",
        "file:///etc/passwd",
        "ftp://127.0.0.1/keys",
        "https:///keys",
        "issuer",
        "",
    ],
)
def test_keys_come_over_a_safe_way_only(url: str) -> None:
    """Whoever could change the keys on their way could sign tokens; and no URL with a password in it gets into a log."""
    with pytest.raises(ConfigError, match="expected an https URL"):
        check_url("jwks_url", url)
    assert check_url("jwks_url", "https://issuer.example/keys")
    assert check_url("jwks_url", "http://[::1]:8000/keys")
    assert check_url("jwks_url", "http://localhost:8000/keys")
