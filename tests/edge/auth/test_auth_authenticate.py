"""Headers in, a caller or a refusal out."""

from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seawall.defense import Caller
from seawall.edge.auth.authenticate import Authenticator, Pending
from seawall.edge.auth.issuer_keys import IssuerKeys
from seawall.edge.auth.jwt import TokenRules, Tokens
from seawall.edge.auth.key_store import KeyStore, open_key_store
from seawall.edge.auth.keys import NewKey, new_token
from seawall.edge.auth.refused import AuthRefused
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.events import Event, EventBus, LoginFailed
from tests.edge.auth.issuer_server import AUDIENCE, IssuerServer, claims, issuer_server, sign

RING = Keyring.ephemeral()
IP = "203.0.113.7"
Headers = list[tuple[bytes, bytes]]
REST: Headers = [
    (b"host", b"seawall.example"),
    (b"accept", b"*/*"),
    (b"x-request", b"1"),
    (b"authorisation", b"no"),
]


@pytest.fixture
def heard() -> list[Event]:
    """What observers heard of."""
    return []


@pytest.fixture
def keys(tmp_path: Path) -> Generator[KeyStore]:
    with closing(open_key_store(tmp_path, RING)) as store:
        yield store


@pytest.fixture
def made(keys: KeyStore) -> NewKey:
    return keys.create("acme", "ann", scopes=["run"])


@pytest.fixture
def door(keys: KeyStore, heard: list[Event]) -> Authenticator:
    """A service that takes API keys alone."""
    return Authenticator(keys, RING, events=EventBus(heard.append))


def reason(outcome: Caller | AuthRefused | Pending) -> str:
    assert not isinstance(outcome, Pending)
    return "taken" if isinstance(outcome, Caller) else outcome.reason


@pytest.mark.parametrize(
    "form",
    [
        (b"authorization", b"Bearer %s"),
        (b"authorization", b"bearer %s"),
        (b"Authorization", b"BEARER  %s "),
        (b"x-api-key", b"%s"),
        (b"X-API-Key", b" %s\t"),
    ],
)
def test_a_key_says_who_calls(door: Authenticator, made: NewKey, form: tuple[bytes, bytes]) -> None:
    """In either header, the scheme and the header's name in whatever case."""
    name, value = form
    found = door.authenticate([*REST, (name, value % made.token.encode())], IP)
    assert isinstance(found, Caller)
    assert (found.tenant, found.subject, found.scopes, found.ip) == ("acme", "ann", {"run"}, IP)
    assert found.api_key == made.key.id


def test_more_than_one_credential_is_refused(door: Authenticator, made: NewKey) -> None:
    """Whoever checked one of them on the way may have checked the other, be they equal or not."""
    token = made.token.encode()
    bearer, key = (b"authorization", b"Bearer " + token), (b"x-api-key", token)
    other = (b"Authorization", b"Bearer " + new_token()[1].encode())
    for headers in (
        [bearer, bearer],
        [bearer, other],
        [other, bearer],
        [bearer, key],
        [key, bearer],
        [key, key],
    ):
        assert reason(door.authenticate([*headers, *REST], IP)) == "malformed"
        assert reason(door.authenticate([headers[0], *REST, headers[1]], IP)) == "malformed"
    joined = b"Bearer " + token + b", Bearer " + token
    assert reason(door.authenticate([(b"authorization", joined)], IP)) == "malformed"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic YW5uOnNlY3JldA==",
        b"Bearer\t%s",
        b"Bearer:%s",
        b"%s",
        b"Bearer %s\x00",
        b"Bearer %s %s",
        b"Bearer \xc3\xa9%s",
        b"\xff\xfe",
        b"Bearer a.b.c",
        b"Bearer " + b"x" * 1_000_000,
        b"Bearer " + "ｓｗ＿".encode(),
    ],
)
def test_what_cannot_be_read_is_malformed(door: Authenticator, made: NewKey, value: bytes) -> None:
    """Another scheme, no scheme, non-ASCII, control characters, without an error and without a guess."""
    given_value = value.replace(b"%s", made.token.encode())
    assert reason(door.authenticate([*REST, (b"authorization", given_value)], IP)) == "malformed"


def test_refusals_are_told_to_observers(
    door: Authenticator, keys: KeyStore, made: NewKey, heard: list[Event]
) -> None:
    """With a reason, a digest of the address and the key's id, and with no part of what was sent."""
    keys.revoke(made.key.id)
    stranger = new_token()[1]
    assert reason(door.authenticate(REST, IP)) == "missing"
    for token in (made.token, stranger):
        door.authenticate([(b"x-api-key", token.encode())], IP)
    failures = [event for event in heard if isinstance(event, LoginFailed)]
    assert [(event.reason, event.key_id) for event in failures] == [
        ("missing", ""),
        ("revoked", made.key.id),
        ("unknown", ""),
    ]
    assert len({event.ip_hash for event in failures}) == 1
    said = repr(failures)
    assert not any(text in said for text in (IP, made.token[16:], stranger))


def test_a_refusal_can_be_told_to_the_caller(door: Authenticator, made: NewKey) -> None:
    """The sentence for each reason holds nothing of what was sent."""
    refused = door.authenticate([(b"x-api-key", made.token.encode() + b"!")], IP)
    assert isinstance(refused, AuthRefused)
    assert "cannot be read" in refused.detail
    assert not refused.again
    assert AuthRefused("key_unavailable").again


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"x-api-key", b"X-API-KEY", b"host"]) | st.binary(max_size=20),
            st.binary(),
        ),
        max_size=6,
    )
)
def test_no_headers_raise_or_are_taken(door: Authenticator, headers: Headers) -> None:
    """Whatever bytes come, they are refused."""
    assert reason(door.authenticate(headers, IP)) in {"missing", "malformed"}


@pytest.fixture
async def issuer() -> AsyncGenerator[IssuerServer]:
    async with issuer_server() as server:
        yield server


async def test_a_token_says_who_calls(
    keys: KeyStore, issuer: IssuerServer, heard: list[Event], made: NewKey
) -> None:
    """The first waits for the issuer's key, the next does not; API keys are taken beside tokens."""
    async with IssuerKeys(issuer.url, issuer.jwks_url) as issued:
        tokens = Tokens(TokenRules(issuer=issuer.url, audience=AUDIENCE), issued)
        door = Authenticator(keys, RING, tokens=tokens, events=EventBus(heard.append))
        header = (b"authorization", b"Bearer " + sign(claims(issuer.url)).encode())
        pending = door.authenticate([header], IP)
        assert isinstance(pending, Pending)
        first = await pending.settle()
        assert first == door.authenticate([header], IP)
        assert isinstance(first, Caller)
        assert (first.tenant, first.subject, first.ip) == ("acme", "ann", IP)
        assert first.api_key
        assert reason(door.authenticate([(b"x-api-key", made.token.encode())], IP)) == "taken"
        assert not heard
        elsewhere = sign(claims(issuer.url, aud="https://tenant-b.example")).encode()
        assert reason(door.authenticate([(b"authorization", b"Bearer " + elsewhere)], IP)) == "audience"
        assert [event.reason for event in heard if isinstance(event, LoginFailed)] == ["audience"]
        # Where an API key belongs a token is none.
        assert reason(door.authenticate([(b"x-api-key", header[1][7:])], IP)) == "malformed"


async def test_a_wait_in_vain_is_told_once(keys: KeyStore, issuer: IssuerServer, heard: list[Event]) -> None:
    """A token whose key cannot be had is refused after its wait, and published then."""
    issuer.mode = "error"
    issued = IssuerKeys(issuer.url, issuer.jwks_url)
    tokens = Tokens(TokenRules(issuer=issuer.url, audience=AUDIENCE), issued)
    door = Authenticator(keys, RING, tokens=tokens, events=EventBus(heard.append))
    pending = door.authenticate([(b"authorization", b"Bearer " + sign(claims(issuer.url)).encode())], IP)
    assert isinstance(pending, Pending)
    assert not heard
    assert reason(await pending.settle()) == "key_unavailable"
    assert [event.reason for event in heard if isinstance(event, LoginFailed)] == ["key_unavailable"]
    await issued.__aexit__(None, None, None)
