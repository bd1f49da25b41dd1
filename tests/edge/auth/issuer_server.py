"""An identity provider on a loopback socket: it signs tokens, publishes its keys, and misbehaves when told to."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "https://seawall.example"
Mode = Literal["answer", "hang", "drip", "close", "error", "redirect", "huge", "nonsense", "empty"]

# Made once: an RSA key takes a tenth of a second.
RSA = rsa.generate_private_key(65537, 2048)
RSA_NEXT = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
SIGNERS: dict[str, tuple[Any, str]] = {
    "rsa": (RSA, "RS256"),
    "next": (RSA_NEXT, "RS256"),
    "p256": (P256, "ES256"),
    "ed": (ED25519, "EdDSA"),
}


def jwk(kid: str) -> dict[str, Any]:
    """Return a public key as a set of keys has it."""
    key, algorithm = SIGNERS[kid]
    write = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm].to_jwk
    told: dict[str, Any] = json.loads(write(key.public_key()))
    return told | {"kid": kid, "use": "sig"}


def key_set(*kids: str) -> bytes:
    """Return a set of keys as it is published."""
    return json.dumps({"keys": [jwk(kid) for kid in kids]}).encode()


def claims(issuer: str, now: float | None = None, **changes: Any) -> dict[str, Any]:
    """Return claims of a token that is taken; those changed to None are left out."""
    at = int(time.time() if now is None else now)
    told = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "ann",
        "tenant": "acme",
        "scope": "run read",
        "iat": at,
        "exp": at + 600,
    }
    return {name: value for name, value in (told | changes).items() if value is not None}


def sign(told: dict[str, Any], by: str = "rsa", /, **header: Any) -> str:
    """Sign claims with one of the keys."""
    key, algorithm = SIGNERS[by]
    return jwt.encode(told, key, algorithm, headers={"kid": by} | header)


class IssuerServer:
    """What the provider publishes, how it behaves, and what it was asked for."""

    def __init__(self) -> None:
        self.kids: tuple[str, ...] = ("rsa", "p256", "ed")
        self.mode: Mode = "answer"
        self.url = ""
        self.said_issuer: str | None = None
        self.asked: list[str] = []
        self.asked_again = asyncio.Event()

    @property
    def jwks_url(self) -> str:
        """Where its keys are."""
        return f"{self.url}/keys"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on one connection until it ends."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                self.asked.append(path)
                self.asked_again.set()
                await self._answer(path, writer)
                if self.mode == "close":
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        if self.mode == "hang":
            await asyncio.Event().wait()
        if self.mode == "close":
            return
        body = key_set(*self.kids)
        if path.startswith("/.well-known/"):
            body = json.dumps({"issuer": self.said_issuer or self.url, "jwks_uri": self.jwks_url}).encode()
        body = {"huge": b" " * 300_000 + body, "nonsense": b"<html>", "empty": b'{"keys": []}'}.get(
            self.mode, body
        )
        status = {"error": "503 No", "redirect": f"302 Found\r\nlocation: {self.url}/elsewhere"}
        first = f"HTTP/1.1 {status.get(self.mode, '200 OK')}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(first.encode())
        if self.mode == "drip":
            # One byte now and again: every single read is quick, the whole never ends.
            for byte in body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.write(body)
        await writer.drain()


@asynccontextmanager
async def issuer_server() -> AsyncGenerator[IssuerServer]:
    """Run a provider on a free port."""
    issuer = IssuerServer()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await issuer.answer(reader, writer)
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield issuer
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
