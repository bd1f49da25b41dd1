"""Tokens: everything that is wrong with one is found, whoever signed it."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from seawall.edge.auth import jwt as tokens_module
from seawall.edge.auth.issuer_keys import IssuerKeys, read_keys
from seawall.edge.auth.jwt import KeyAwaited, TokenRules, Tokens, Verified
from seawall.edge.auth.refused import AuthRefused
from seawall.foundation.errors import ConfigError
from seawall.foundation.principal import Principal
from seawall.testing import FakeClock
from tests.edge.auth.issuer_server import AUDIENCE, P256, RSA, claims, jwk, key_set, sign

ISSUER = "https://issuer.example"
NOW = 1_700_000_000


class NoFetch(IssuerKeys):
    """Keys that are here already; nothing is fetched."""

    def __init__(self, clock: FakeClock, content: bytes | None = None) -> None:
        super().__init__(ISSUER, f"{ISSUER}/keys", clock=clock)
        self._keys = read_keys(content or key_set("rsa", "p256", "ed"))
        self.good_until = clock.monotonic() + 1e6

    def ask(self) -> None:
        """Fetch nothing."""

    def become(self, *kids: str) -> None:
        """Change the set, as a fetch would."""
        self._keys = read_keys(key_set(*kids))
        self.generation += 1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(time=NOW)


@pytest.fixture
def tokens(clock: FakeClock) -> Tokens:
    return Tokens(TokenRules(issuer=ISSUER, audience=AUDIENCE), NoFetch(clock), clock=clock)


def fate(tokens: Tokens, token: str) -> str:
    """Return "taken", or the reason of the refusal."""
    outcome = tokens.verify(token)
    assert not isinstance(outcome, KeyAwaited)
    return outcome.reason if isinstance(outcome, AuthRefused) else "taken"


def mine(**changes: Any) -> dict[str, Any]:
    return claims(ISSUER, NOW, **changes)


def part(value: object) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.mark.parametrize("kid", ["rsa", "p256", "ed"])
def test_a_good_token_says_who_it_is(tokens: Tokens, kid: str) -> None:
    """Tenant, subject and scopes come from its claims, under each algorithm, and again from memory."""
    token = sign(mine(), kid)
    for _ in range(2):
        found = tokens.verify(token)
        assert isinstance(found, Verified)
        assert found.principal == Principal("acme", "ann", frozenset({"run", "read"}))
    assert "ann" not in repr(tokens)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": NOW - 30}, "expired"),
        ({"exp": NOW - 29}, "taken"),
        ({"exp": None}, "malformed"),
        ({"exp": "9999999999"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": 10**400}, "malformed"),
        ({"exp": -1}, "malformed"),
        ({"nbf": NOW + 31}, "not_yet"),
        ({"nbf": NOW + 30}, "taken"),
        ({"nbf": "soon"}, "malformed"),
        ({"iat": NOW + 31}, "not_yet"),
        ({"iat": None}, "taken"),
        ({"aud": "https://tenant-b.example"}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": ["https://tenant-b.example"]}, "audience"),
        ({"aud": ["https://tenant-b.example", AUDIENCE]}, "taken"),
        ({"aud": AUDIENCE + "/"}, "audience"),
        ({"aud": {AUDIENCE: 1}}, "audience"),
        ({"iss": "https://issuer.example.evil"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"tenant": None}, "malformed"),
        ({"tenant": ""}, "malformed"),
        ({"tenant": 7}, "malformed"),
        ({"tenant": "a" * 257}, "malformed"),
        ({"tenant": "acme\n"}, "malformed"),
        ({"sub": None}, "malformed"),
        ({"scope": ["run"]}, "taken"),
        ({"scope": None}, "taken"),
        ({"scope": {"run": True}}, "malformed"),
        ({"scope": [7]}, "malformed"),
    ],
)
def test_claims_are_judged(tokens: Tokens, changes: dict[str, Any], reason: str) -> None:
    """Issuer, audience, times and names have to hold; what is of the wrong kind is refused, not guessed at."""
    told = mine() | changes
    signed = _signed({name: value for name, value in told.items() if value is not None})
    assert fate(tokens, signed) == reason


def _signed(told: object, **header: Any) -> str:
    """Sign whatever is given, also what a library would refuse to write."""
    body = f"{part({'alg': 'RS256', 'kid': 'rsa', 'typ': 'JWT'} | header)}.{part(told)}"
    return f"{body}.{part(RSAAlgorithm(RSAAlgorithm.SHA256).sign(body.encode(), RSA))}"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, 0, ["RS256"], {}])
def test_a_token_without_signature_is_refused(tokens: Tokens, algorithm: object) -> None:
    """`alg: none`, however it is written, with or without a signature behind it."""
    for signature in ("", part(b"x" * 256)):
        token = f"{part({'alg': algorithm, 'kid': 'rsa'})}.{part(mine())}.{signature}"
        assert fate(tokens, token) in {"algorithm", "malformed"}


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(tokens: Tokens, algorithm: str) -> None:
    """Signing with the published key as if it were a secret convinces nobody, in whatever form the key is taken."""
    public = RSA.public_key()
    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    spki, pkcs1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
    forms = [public.public_bytes(encoding, form) for encoding in (pem, der) for form in (spki, pkcs1)]
    body = f"{part({'alg': algorithm, 'kid': 'rsa'})}.{part(mine())}"
    for secret in [*forms, json.dumps(jwk("rsa")).encode(), b""]:
        mac = hmac.new(secret, body.encode(), getattr(hashlib, f"sha{algorithm[2:]}")).digest()
        assert fate(tokens, f"{body}.{part(mac)}") == "algorithm"


def test_a_key_is_used_with_its_own_algorithm_only(tokens: Tokens) -> None:
    """A token cannot have one kind of key read as another, nor ask for an algorithm that is not on the list."""
    es256_of_rsa = jwt.encode(mine(), P256, "ES256", headers={"kid": "rsa"})
    assert fate(tokens, es256_of_rsa) == "algorithm"
    for algorithm in ("RS384", "RS512", "PS256"):
        assert fate(tokens, jwt.encode(mine(), RSA, algorithm, headers={"kid": "rsa"})) == "algorithm"


def test_another_key_does_not_sign(tokens: Tokens) -> None:
    """A stranger's key under a known id, and any change to what was signed, are seen."""
    stranger = rsa.generate_private_key(65537, 2048)
    assert fate(tokens, jwt.encode(mine(), stranger, "RS256", headers={"kid": "rsa"})) == "signature"
    head, _, signature = sign(mine()).split(".")
    assert fate(tokens, f"{head}.{part(mine(tenant='other'))}.{signature}") == "signature"
    assert fate(tokens, f"{head}.{part(mine())}.") == "signature"


def test_a_key_that_comes_with_the_token_is_not_looked_at(tokens: Tokens) -> None:
    """`jwk`, `jku` and `x5u` in a header are where an attacker would put his own."""
    stranger = ec.generate_private_key(ec.SECP256R1())
    own = json.loads(ECAlgorithm.to_jwk(stranger.public_key()))
    more = {"jwk": own, "jku": "http://127.0.0.1/keys", "x5u": "http://127.0.0.1/", "kid": "p256"}
    assert fate(tokens, jwt.encode(mine(), stranger, "ES256", headers=more)) == "signature"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": 7},
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": False},
        {"b64": True},
        {"kid": 7},
        {"kid": ["rsa"]},
    ],
)
def test_headers_that_change_the_meaning_are_refused(tokens: Tokens, header: dict[str, Any]) -> None:
    """Tokens of another kind, and extensions that are not understood, are not taken for access tokens."""
    assert fate(tokens, _signed(mine(), **header)) == "malformed"


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "application/at+jwt", "AT+JWT"])
def test_access_tokens_are_taken(tokens: Tokens, kind: str) -> None:
    """The types that access tokens have (RFC 9068) are taken, in whatever case."""
    assert fate(tokens, _signed(mine(), typ=kind)) == "taken"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "a.b",
        "eyJhbGciOiJSUzI1NiJ9",
        f"{part([])}.{part({})}.x",
        f"{part(b'{')}.{part({})}.x",
        f"{part(b'[' * 3000)}.{part({})}.x",
        f"{part({'alg': 'RS256'})}.{part({})}.x.y",
        "é.é.é",
        "e\u0301.b.c",
        " ".join(sign(mine()).split(".")),
        sign(mine()) + "=",
        sign(mine()) + "\n",
        sign(mine()) + "," + sign(mine()),
        sign(mine(), pad="x" * 8192),
        "x" * 1_000_000,
    ],
)
def test_what_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    """Cut, joined, oversized, deeply nested or foreign text is malformed, without an error."""
    assert fate(tokens, token) in {"malformed", "unknown"}


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b"7", b"{", b"[" * 4000, b'{"exp": NaN}', b"\xff", b"1" * 5000]
)
def test_signed_nonsense_is_refused(tokens: Tokens, content: bytes) -> None:
    """Even the issuer's signature makes no claims out of what is not an object."""
    assert fate(tokens, _signed(content)) in {"malformed", "issuer"}


@given(text=st.text(max_size=300))
def test_any_text_is_judged(text: str) -> None:
    """No text raises, or is taken."""
    clock = FakeClock(time=NOW)
    tokens = Tokens(TokenRules(issuer=ISSUER, audience=AUDIENCE), NoFetch(clock), clock=clock)
    assert fate(tokens, text) in {"malformed", "algorithm", "unknown"}


@given(at=st.integers(0, 700), to=st.integers(0, 255))
def test_any_changed_byte_is_seen(at: int, to: int) -> None:
    """One other character anywhere, and the token is another."""
    clock = FakeClock(time=NOW)
    tokens = Tokens(TokenRules(issuer=ISSUER, audience=AUDIENCE), NoFetch(clock), clock=clock)
    token = sign(mine())
    changed = token[: at % len(token)] + chr(to) + token[at % len(token) + 1 :]
    assert (fate(tokens, changed) == "taken") is (changed == token)


def test_a_remembered_token_ends_when_it_expires(tokens: Tokens, clock: FakeClock) -> None:
    """Memory makes it faster, not longer."""
    token = sign(mine(exp=NOW + 60))
    assert fate(tokens, token) == "taken"
    clock.advance(89)
    assert fate(tokens, token) == "taken"
    clock.advance(1)
    assert fate(tokens, token) == "expired"
    assert fate(tokens, token) == "expired"


def test_a_remembered_token_ends_with_its_key(clock: FakeClock) -> None:
    """What a key signed that the issuer took back is not taken from memory either."""
    keys = NoFetch(clock)
    tokens = Tokens(TokenRules(issuer=ISSUER, audience=AUDIENCE), keys, clock=clock)
    assert fate(tokens, sign(mine())) == "taken"
    keys.become("p256")
    assert fate(tokens, sign(mine())) == "unknown"


def test_memory_is_bounded(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens come, so many are remembered; the others are verified again."""
    monkeypatch.setattr(tokens_module, "_MOST_CACHED", 5)
    many = [sign(mine(jti=str(number)), "p256") for number in range(20)]
    assert {fate(tokens, token) for token in [*many, *many]} == {"taken"}
    assert len(tokens._known) == 5


def test_claims_are_found_where_the_rules_say(clock: FakeClock) -> None:
    """Names of claims are the service's choice, also such as look like paths."""
    rules = TokenRules(
        issuer=ISSUER,
        audience=AUDIENCE,
        tenant_claim="https://acme.example/org",
        subject_claim="email",
        scope_claim="scp",
    )
    tokens = Tokens(rules, NoFetch(clock), clock=clock)
    told = mine(tenant=None, email="ann@acme.example", scp=["run"]) | {"https://acme.example/org": "acme"}
    found = tokens.verify(sign(told))
    assert isinstance(found, Verified)
    assert found.principal == Principal("acme", "ann@acme.example", frozenset({"run"}))


def test_rules_need_an_issuer_and_an_audience() -> None:
    """Without them every token of the provider's, for whatever service, would open this one."""
    for issuer, audience in (("", AUDIENCE), (ISSUER, "")):
        with pytest.raises(ConfigError, match="need an issuer and an audience"):
            TokenRules(issuer=issuer, audience=audience)


def test_unusable_keys_are_left_out() -> None:
    """Short, private, symmetric, encryption and foreign keys verify nothing; the rest of the set does."""
    short = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))
    private = json.loads(RSAAlgorithm.to_jwk(RSA))
    odd: list[dict[str, Any]] = [
        short,
        private,
        {"kty": "oct", "k": "c2VjcmV0"},
        jwk("rsa") | {"use": "enc"},
        jwk("rsa") | {"alg": "PS256"},
        jwk("p256") | {"crv": "P-384"},
        jwk("ed") | {"crv": "Ed448"},
        jwk("rsa") | {"n": "!"},
        jwk("rsa") | {"n": 7},
        {"kty": ["RSA"]},
    ]
    named = [one | {"kid": str(number)} for number, one in enumerate(odd)]
    assert set(read_keys(json.dumps({"keys": [*named, jwk("rsa")]}).encode())) == {"rsa"}
    for content in (
        json.dumps({"keys": named}),
        "[]",
        '{"keys": 7}',
        "7",
        '{"keys": {}}',
        '{"keys": [7, []]}',
    ):
        with pytest.raises(ValueError, match="no usable key"):
            read_keys(content.encode())


def test_a_lone_key_needs_no_name(clock: FakeClock) -> None:
    """A token without a key id is taken where there is one key; where there are several, it is not known whose it is."""
    bare = jwt.encode(mine(), RSA, "RS256")
    for content, reason in ((key_set("rsa"), "taken"), (key_set("rsa", "p256"), "unknown")):
        tokens = Tokens(TokenRules(issuer=ISSUER, audience=AUDIENCE), NoFetch(clock, content), clock=clock)
        assert fate(tokens, bare) == reason
