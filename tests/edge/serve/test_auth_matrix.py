"""Who is not let in, over HTTP: each told no more than it may know, each noted, none of them served."""

import asyncio
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from seawall import Event, Policy, Seawall
from seawall.edge.auth.key_store import open_key_store
from seawall.foundation.events import LoginFailed
from tests.edge.auth.issuer_server import AUDIENCE, RSA, IssuerServer, claims, issuer_server, jwk, sign
from tests.edge.serve.world import KEYRING, World, serving

RUNS = "/v1/agents/clerk/runs"
ASK = {"input": "Hello."}


@dataclass
class Place:
    """A service that takes keys and tokens, who issues the tokens, and what was noted of those who were refused."""

    world: World
    issuer: IssuerServer
    noted: list[LoginFailed]

    async def told(self, headers: dict[str, str], path: str = RUNS) -> httpx2.Response:
        """Ask with these headers alone."""
        async with httpx2.AsyncClient(base_url=self.world.url, timeout=20) as client:
            return await client.post(path, json=ASK, headers=headers)

    async def settles(self, token: str, status: int) -> httpx2.Response:
        """Ask until the service has heard of what was done to a key."""
        async with asyncio.timeout(20):
            while True:
                said = await self.told({"authorization": f"Bearer {token}"})
                if said.status_code == status:
                    return said
                await asyncio.sleep(0.02)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncGenerator[Place]:
    """Serve one agent to callers with keys of the service or tokens of an identity provider."""
    app = Seawall()
    app.add(Agent(TestModel(), name="clerk"), Policy(abuse=None))
    noted: list[LoginFailed] = []

    def note(event: Event) -> None:
        if isinstance(event, LoginFailed):
            noted.append(event)

    async with issuer_server() as issuer:
        rules = {"issuer": issuer.url, "audience": AUDIENCE, "jwks_url": issuer.jwks_url}
        async with serving(app, tmp_path, jwt=rules) as world:
            assert world.service.site is not None
            world.service.site.events.subscribe(note)
            yield Place(world, issuer, noted)


def unsigned(told: dict[str, Any]) -> str:
    """Make a token that nobody signed."""
    parts = ({"alg": "none", "typ": "JWT"}, told)
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def confused(told: dict[str, Any]) -> str:
    """Sign with the issuer's public key as if it were a shared secret, by hand: libraries refuse to."""
    import hmac

    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = ({"alg": "HS256", "typ": "JWT", "kid": "rsa"}, told)
    head = ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    mark = hmac.digest(public, head.encode(), "sha256")
    return f"{head}.{urlsafe_b64encode(mark).decode().rstrip('=')}"


def tampered(token: str) -> str:
    """Say another thing under the same signature."""
    head, body, mark = token.split(".")
    told = jwt.decode(token, options={"verify_signature": False}) | {"tenant": "other"}
    del body
    return f"{head}.{urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip('=')}.{mark}"


TOKENS: dict[str, tuple[Callable[[str], str], str]] = {
    "expired": (lambda url: sign(claims(url, exp=1)), "expired"),
    "not yet": (lambda url: sign(claims(url, nbf=99_999_999_999)), "not_yet"),
    "another audience": (lambda url: sign(claims(url, aud="elsewhere")), "audience"),
    "another issuer": (lambda _url: sign(claims("https://evil.example")), "issuer"),
    "signed by nobody": (lambda url: unsigned(claims(url)), "algorithm"),
    "signed with the public key": (lambda url: confused(claims(url)), "algorithm"),
    "a key that it brings itself": (lambda url: sign(claims(url), "next", jwk=jwk("next")), "signature"),
    "a key elsewhere": (
        lambda url: sign(claims(url), "next", jku="https://evil.example/keys", kid="rsa"),
        "signature",
    ),
    "a kid that is a path": (lambda url: sign(claims(url), kid="../../dev/null"), "signature"),
    "said anew": (lambda url: tampered(sign(claims(url))), "signature"),
}


@pytest.mark.parametrize("made", TOKENS)
async def test_a_token_that_does_not_hold_opens_nothing(place: Place, made: str) -> None:
    """401, what to do about it, a note of why; and nothing of the token anywhere."""
    make, reason = TOKENS[made]
    assert (
        await place.told({"authorization": f"Bearer {sign(claims(place.issuer.url))}"})
    ).status_code == 200
    token = make(place.issuer.url)
    said = await place.told({"authorization": f"Bearer {token}"})
    assert said.status_code == 401
    assert said.headers["www-authenticate"].startswith("Bearer")
    assert said.json()["code"] == "unauthenticated"
    reasons = [one.reason for one in place.noted]
    assert reasons in ([reason], ["unknown"]) if reason == "signature" else reasons == [reason]
    assert token.split(".")[1] not in said.text + repr(place.noted)
    assert not place.issuer.asked[0].startswith("/elsewhere")


async def test_a_key_that_is_not_one_opens_nothing(place: Place) -> None:
    """Wrong secret, unknown, cut, of another header's kind, twice, in the address: each is noted."""
    key = place.world.key()
    await place.settles(key, 200)
    place.noted.clear()
    prefix, secret, check = key.rsplit("_", 2)
    wrong: list[dict[str, str]] = [
        {"authorization": f"Bearer {prefix}_{secret[::-1]}_{check}"},
        {"authorization": f"Bearer {key[:-1]}"},
        {"authorization": f"Bearer {key}x"},
        {"authorization": f"Basic {key}"},
        {"authorization": ""},
        {"x-api-key": sign(claims(place.issuer.url))},
        {"authorization": f"Bearer {key}", "x-api-key": key},
        {},
    ]
    said = [await place.told(headers) for headers in wrong]
    said.append(await place.told({}, path=f"{RUNS}?api_key={key}&access_token={key}"))
    assert {one.status_code for one in said} == {401}
    assert len(place.noted) == len(said)
    assert not any(secret in one.text for one in said)
    assert secret not in repr(place.noted)


async def test_a_key_ends_at_once_and_in_time(place: Place) -> None:
    """Revoked; replaced, once its overlap is over; lasting a moment."""
    with open_key_store(place.world.state, KEYRING) as keys:
        revoked, replaced = (keys.create("acme", name, scopes=["run"]) for name in ("ann", "bob"))
        short = keys.create("acme", "cy", scopes=["run"], lasts="1s")
        for new in (revoked, replaced):
            await place.settles(new.token, 200)
        keys.revoke(revoked.key.id)
        successor = keys.rotate(replaced.key.id, overlap="500ms")
    for ended, reason in ((revoked, "revoked"), (replaced, "expired"), (short, "expired")):
        await place.settles(ended.token, 401)
        assert (place.noted[-1].reason, place.noted[-1].key_id) == (reason, ended.key.id)
    await place.settles(successor.token, 200)


async def test_a_key_may_do_what_its_scopes_say(place: Place) -> None:
    """Not ask, not read the numbers: told so, and served elsewhere."""
    async with place.world.client(scopes=["read"]) as client:
        assert (await client.post(RUNS, json=ASK)).status_code == 404
        assert (await client.get("/metrics")).status_code == 403
        assert (await client.get("/v1/agents")).json() == {"agents": []}


async def test_what_another_tenant_had_done_is_not_there(place: Place) -> None:
    """Its runs, their streams, their end; as if they had never been, whatever the key may do."""
    async with place.world.client("acme") as ours, place.world.client("other", scopes=["*"]) as theirs:
        run = (await ours.post(RUNS, json={**ASK, "async": True})).json()["id"]
        async with asyncio.timeout(20):
            while (await ours.get(f"/v1/runs/{run}")).json()["status"] != "done":
                await asyncio.sleep(0.02)
        stream = (await ours.post(RUNS, json={**ASK, "stream": True})).headers["seawall-run"]
        told = [
            await theirs.get(f"/v1/runs/{run}"),
            await theirs.post(f"/v1/runs/{run}/cancel"),
            await theirs.get(f"/v1/runs/{stream}/events"),
        ]
        never = await theirs.get(f"/v1/runs/run_{secrets.token_hex(16)}")
        assert {one.status_code for one in told} == {404}
        assert told[0].json() == never.json()
        assert (await ours.get(f"/v1/runs/{run}")).json()["status"] == "done"


async def test_an_answer_is_not_replayed_to_another_caller(place: Place) -> None:
    """The same Idempotency-Key, said by another subject or tenant, is another key."""
    headers = {"Idempotency-Key": "k-1"}
    async with (
        place.world.client("acme", "ann") as first,
        place.world.client("acme", "bob") as second,
        place.world.client("other", "ann") as third,
    ):
        told = [await one.post(RUNS, json=ASK, headers=headers) for one in (first, second, third, first)]
    assert [one.status_code for one in told] == [200] * 4
    assert ["idempotent-replayed" in one.headers for one in told] == [False, False, False, True]
    assert len({one.json()["id"] for one in told}) == 3


async def test_secrets_are_compared_in_constant_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of keys that exist and of those that do not."""
    compared: list[bool] = []
    same = secrets.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(same(one, other))
        return compared[-1]

    key = place.world.key()
    await place.settles(key, 200)
    monkeypatch.setattr("seawall.edge.auth.key_store.secrets.compare_digest", compare)
    await place.told({"authorization": f"Bearer {key}"})
    assert compared == [True]
    with open_key_store(place.world.state / "elsewhere", KEYRING) as others:
        unknown = others.create("acme", "eve", scopes=["run"]).token
    await place.told({"authorization": f"Bearer {unknown}"})
    assert compared == [True, False]
