"""An identity provider's public keys: fetched in the background, kept while it is away, never waited for without end.

Source: RFC 7517 (JSON Web Key sets), and OpenID Connect Discovery 1.0 for where a provider has them.
"""

import asyncio
import ipaddress
import json
import logging
import random
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httpx2
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.errors import ConfigError
from seawall.foundation.events import EventBus, StoreChanged

# What a key is for is said by the key, never by the token: so no token can have it used in another way.
ALGORITHMS = {("RSA", ""): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_LEAST_RSA_BITS = 2048
_MOST_KEYS = 64
_MOST_BYTES = 256_000
_FETCH_SECONDS = 5.0
_REFRESH_SECONDS = 600.0
_UNKNOWN_SECONDS = 30.0
_KEPT_SECONDS = 3600.0
_SHORTEST_REST = 1.0
_LONGEST_REST = 30.0
_log = logging.getLogger("seawall.tokens")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key and the one algorithm that it is used with."""

    algorithm: str
    jwk: PyJWK = field(repr=False, compare=False)
    source: str = field(repr=False)


def read_keys(content: bytes) -> dict[str, SigningKey]:
    """Read a set of keys, by `kid`; whatever is not a public signing key of a known kind is left out.

    ValueError where no key is left.
    """
    told = json.loads(content)
    listed: object = cast("dict[str, object]", told).get("keys") if isinstance(told, dict) else None
    found: dict[str, SigningKey] = {}
    for one in cast("list[object]", listed)[:_MOST_KEYS] if isinstance(listed, list) else ():
        key = _signing_key(cast("dict[str, Any]", one)) if isinstance(one, dict) else None
        if key is not None:
            found.setdefault(str(cast("dict[str, Any]", one).get("kid", "")), key)
    if not found:
        raise ValueError("no usable key in the set")
    return found


def _signing_key(told: dict[str, Any]) -> SigningKey | None:
    kind = str(told.get("kty")), "" if told.get("kty") == "RSA" else str(told.get("crv"))
    algorithm = ALGORITHMS.get(kind)
    # A private key that was published is nobody's signature any more.
    if (
        algorithm is None
        or "d" in told
        or told.get("use", "sig") != "sig"
        or told.get("alg", algorithm) != algorithm
    ):
        return None
    try:
        jwk = PyJWK(told, algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None
    if algorithm == "RS256" and int(jwk.key.key_size) < _LEAST_RSA_BITS:
        return None
    return SigningKey(algorithm, jwk, json.dumps(told, sort_keys=True))


def check_url(name: str, url: str) -> str:
    """Return the URL; ConfigError unless it is https, or http to this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if safe and host and parts.username is None:
        return url
    raise ConfigError(
        f"{name}: expected an https URL without a user name in it (http only to this machine): who can change the keys on "
        "their way can sign tokens"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class IssuerKeys:
    """The keys of `issuer`, at `url`, or where its discovery document says. `async with keys:` keeps them fresh.

    They are fetched each ten minutes. `ask`, for a key that is not here, fetches at once, but not again within 30 s of the
    last look, however many unknown keys are asked for; one that was asked for within that time is looked for when it is
    over. A fetch takes 5 s at most. While the issuer does not answer, its keys are kept for an hour. `generation` changes
    with the set. For use from one event loop.
    """

    def __init__(
        self,
        issuer: str,
        url: str | None = None,
        *,
        events: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._issuer = issuer
        self._url = check_url("jwks_url" if url else "issuer", url or issuer)
        self._discover = url is None
        self._events = events or EventBus()
        self._clock = clock
        self._keys: dict[str, SigningKey] = {}
        self._client: httpx2.AsyncClient | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._missed = asyncio.Event()
        self._asked_at = float("-inf")
        self._error: str | None = None
        self.generation = 0
        self.good_until = float("-inf")

    @property
    def why(self) -> str:
        """Why the last fetch failed; empty where it did not."""
        return self._error or ""

    def get(self, kid: str) -> SigningKey | None:
        """Return a key that still holds; without a `kid`, the only one that there is."""
        if self._clock.monotonic() > self.good_until:
            return None
        if not kid and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    def ask(self) -> "asyncio.Task[None] | None":
        """Have the keys fetched because one is not here; None where that was tried just now."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        if self._clock.monotonic() - self._asked_at < _UNKNOWN_SECONDS:
            self._missed.set()
            return None
        return self._start()

    async def __aenter__(self) -> Self:
        """Fetch, without waiting for the answer, and go on fetching."""
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [task for task in (self._keeping, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _keep(self) -> None:
        rest = _SHORTEST_REST
        while True:
            await asyncio.wait([self.ask() or self._start()])
            pause = _REFRESH_SECONDS if self._error is None else rest
            rest = _SHORTEST_REST if self._error is None else min(2 * rest, _LONGEST_REST)
            with suppress(TimeoutError):
                # Not all processes at once.
                async with asyncio.timeout(pause * random.uniform(0.8, 1)):  # noqa: S311
                    await self._missed.wait()
                    await asyncio.sleep(self._asked_at + _UNKNOWN_SECONDS - self._clock.monotonic())

    def _start(self) -> "asyncio.Task[None]":
        self._missed.clear()
        self._asked_at = self._clock.monotonic()
        self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        asked = self._clock.monotonic()
        error = None
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                keys = read_keys(await self._get(await self._where()))
        except Exception as failure:  # noqa: BLE001  whatever it is, the keys that are here go on
            error = type(failure).__name__
        else:
            self.good_until = asked + _KEPT_SECONDS
            if keys != self._keys:
                self._keys = keys
                self.generation += 1
        changed = (error is None) != (self._error is None)
        self._error = error
        if changed:
            _log.log(
                logging.ERROR if error else logging.INFO, "the issuer's keys: %s", error or "fetched again"
            )
            self._events.publish(StoreChanged("issuer keys", error is None, error or "a fetch succeeded"))

    async def _where(self) -> str:
        if not self._discover:
            return self._url
        told = json.loads(await self._get(self._url.rstrip("/") + "/.well-known/openid-configuration"))
        if told["issuer"] != self._issuer:
            raise ValueError("the discovery document is another issuer's")
        return check_url("jwks_uri", str(told["jwks_uri"]))

    async def _get(self, url: str) -> bytes:
        content = bytearray()
        async with self._opened().stream("GET", url) as answer:
            if answer.status_code != 200 or "content-encoding" in answer.headers:
                raise ValueError("expected status 200, and no content encoding")
            async for part in answer.aiter_raw():
                content += part
                if len(content) > _MOST_BYTES:
                    raise ValueError("too long")
        return bytes(content)

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            # A proxy of the environment's knows nothing of this machine's own addresses.
            local = _is_loopback(urlsplit(self._url).hostname or "")
            headers = {"accept": "application/json", "accept-encoding": "identity"}
            self._client = httpx2.AsyncClient(headers=headers, timeout=_FETCH_SECONDS, trust_env=not local)
        return self._client
