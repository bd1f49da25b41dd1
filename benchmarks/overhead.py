"""What the service adds to an agent: `python -m benchmarks.overhead [--seconds 6]`.

CPU of the serving process and requests a second, of (a) the agent bare behind FastAPI, (b) hardened with every tier on, (c) a request
that is refused for want of room, (d) `/v1/chat/completions`; a provider without delay on a real socket; rounds of each in turn, the
median counts.
"""

import argparse
import json
import os
import socket
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.service import QUESTION, load, process
from seawall.edge.auth.key_store import open_key_store
from seawall.foundation.compliance.keyring import Keyring

_ROUNDS = 3
_CHAT = json.dumps(
    {"model": "risk", "messages": [{"role": "user", "content": "How risky is contract number {n}?"}]}
)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def _measured(
    server: psutil.Process, port: int, stream: dict[str, Any], status: str = "200"
) -> dict[str, float]:
    before = server.cpu_times()
    said = load(port, {"name": "x", "rate": None, "connections": 8, **stream})["x"]
    after = server.cpu_times()
    answers = sum(said["statuses"].values())
    used = after.user + after.system - before.user - before.system
    assert set(said["statuses"]) == {status}, said["statuses"]
    return {"cpu_ms": 1e3 * used / answers, "per_second": answers / stream["seconds"]}


def main() -> None:
    """Measure, and print one JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=6.0)
    seconds = options.parse_args().seconds
    secret = os.urandom(32).hex()
    with tempfile.TemporaryDirectory() as folder:
        with open_key_store(Path(folder), Keyring.from_hex(secret)) as keys:
            token = keys.create("acme", "bench", scopes=["run"]).token
        results = _run(folder, secret, token, seconds)
    print(json.dumps(results))


def _run(folder: str, secret: str, token: str, seconds: float) -> dict[str, Any]:
    ports = {name: free_port() for name in ("provider", "bare", "seawall", "shut")}
    told = {"BENCH_PROVIDER": str(ports["provider"]), "BENCH_STATE": folder, "SEAWALL_MASTER_KEY": secret}
    path, key = "/v1/agents/risk/runs", {"authorization": f"Bearer {token}"}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "bare": ("bare", {"path": path, "headers": {}, "body": QUESTION}),
        "hardened": ("seawall", {"path": path, "headers": key, "body": QUESTION}),
        "chat": ("seawall", {"path": "/v1/chat/completions", "headers": key, "body": _CHAT}),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    with (
        process("provider", ports["provider"]),
        process("bare", ports["bare"], **told) as bare,
        process("seawall", ports["seawall"], **told) as seawall,
    ):
        servers = {"bare": bare, "seawall": seawall}
        for _ in range(_ROUNDS):
            for name, (server, stream) in kinds.items():
                load(ports[server], {"name": "w", "rate": None, "connections": 8, "seconds": 1, **stream})
                found[name].append(_measured(servers[server], ports[server], {**stream, "seconds": seconds}))
    with process("provider", ports["provider"]), process("shut", ports["shut"], **told) as shut:
        taken = _take_the_place(ports["shut"], key)
        for _ in range(_ROUNDS):
            refused = {**kinds["hardened"][1], "seconds": seconds / 2}
            found.setdefault("refused", []).append(_measured(shut, ports["shut"], refused, "503"))
        taken.close()
    told_of = {
        name: {what: round(median(one[what] for one in rounds), 3) for what in ("cpu_ms", "per_second")}
        for name, rounds in found.items()
    }
    bare_ms = told_of["bare"]["cpu_ms"]
    return {
        **told_of,
        "hardened_to_bare": round(told_of["hardened"]["cpu_ms"] / bare_ms, 3),
        "refused_to_bare": round(told_of["refused"]["cpu_ms"] / bare_ms, 4),
    }


def _take_the_place(port: int, key: dict[str, str]) -> socket.socket:
    """Ask the service that has one place for something that it never ends."""
    body = QUESTION.encode()
    head = f"POST /v1/agents/risk/runs HTTP/1.1\r\nhost: x\r\nauthorization: {key['authorization']}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(head.encode() + body)
    time.sleep(1)
    return connection


if __name__ == "__main__":
    main()
