"""Ten times what the service can do, for a minute: `python -m benchmarks.spike [--rpm N] [--seconds 60]`.

Capacity is measured first, by callers who ask again as soon as they are answered. Then three tenants ask, whatever comes back: one floods, in
every lane; the other two ask for a quarter of the capacity each, which is less than their fair share of a third. They go on afterwards,
until the service answers as it did before. The agent looks something up with a tool and then answers; its provider takes 50 ms
each time, on a real socket; one worker on a core of its own.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from benchmarks.overhead import free_port
from benchmarks.service import QUESTION, load, process
from seawall.edge.auth.key_store import open_key_store
from seawall.foundation.compliance.keyring import Keyring

_PATH = "/v1/agents/clerk/runs"
_DELAY = "0.05"
_BEFORE, _AFTER = 10.0, 10.0
# Enough to keep the processor busy, and few enough that none of them is refused.
_CALLERS = 16
_QUIET = 0.25
# Of each tenant: one alone would meet the bound on what one caller has done at once.
_SUBJECTS = 64
_TENANTS = ("flood", "calm", "still")
# What the flood asks for in each lane, as parts of all that it asks for.
_LANES = {"interactive": (0.8, "u=3"), "batch": (0.1, "u=5"), "background": (0.1, "u=7")}
_RECOVERED = 1.5

Streams = dict[str, dict[str, Any]]


class Watch(threading.Thread):
    """Looks at the service four times a second: its memory, and how late its event loop is."""

    def __init__(self, server: psutil.Process, port: int) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._port = port
        self._over = threading.Event()
        self.rss: list[float] = []
        self.lag: list[float] = []
        self.limit: list[float] = []
        self.busy: list[float] = []

    def run(self) -> None:
        """Look until told to stop."""
        self._server.cpu_percent()
        while not self._over.wait(0.25):
            self.busy.append(self._server.cpu_percent() / 100)
            self.rss.append(self._server.memory_info().rss / 1e6)
            with urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=30) as said:
                load_now = json.load(said)["load"]
            self.lag.append(1e3 * load_now["lag"])
            self.limit.append(load_now["limit"])
            self.shed: dict[str, int] = load_now["shed"]

    def stop(self) -> None:
        """Stop looking."""
        self._over.set()
        self.join()


@contextmanager
def watched(server: psutil.Process, port: int) -> Generator[Watch]:
    """Look at the service for as long as the block takes."""
    watch = Watch(server, port)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def main() -> None:
    """Measure, and print one JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rpm", type=float, default=None, help="requests a minute; ten times the capacity")
    options.add_argument("--seconds", type=float, default=60.0)
    told = options.parse_args()
    secret = os.urandom(32).hex()
    with tempfile.TemporaryDirectory() as folder:
        with open_key_store(Path(folder), Keyring.from_hex(secret)) as keys:
            tokens = {
                tenant: [keys.create(tenant, f"u{n}", scopes=["run"]).token for n in range(_SUBJECTS)]
                for tenant in _TENANTS
            }
        ports = free_port(), free_port()
        environment = {
            "BENCH_PROVIDER": str(ports[0]),
            "BENCH_STATE": folder,
            "SEAWALL_MASTER_KEY": secret,
        }
        with (
            process("provider", ports[0], BENCH_DELAY=_DELAY),
            process("seawall", ports[1], **environment) as server,
        ):
            print(json.dumps(_spike(server, ports[1], tokens, told.rpm, told.seconds)))


def _spike(
    server: psutil.Process, port: int, tokens: dict[str, list[str]], rpm: float | None, seconds: float
) -> dict[str, Any]:
    closed = _stream(tokens["calm"], None, _CALLERS, 3.0)
    load(port, {**closed, "name": "warm"})
    capacity = _per_second(load(port, {**closed, "name": "all", "seconds": _BEFORE})["all"], 1, int(_BEFORE))
    before = load(port, *_quiet(tokens, capacity, 5.0))
    with watched(server, port) as calm:
        time.sleep(2.0)
    offered = capacity * 10 if rpm is None else rpm / 60
    streams = _flood(tokens["flood"], offered - 2 * _QUIET * capacity, seconds)
    with watched(server, port) as during:
        found = load(port, *streams, *_quiet(tokens, capacity, seconds + _AFTER))
    with watched(server, port) as after:
        time.sleep(5.0)
    return {
        "capacity_per_second": round(capacity, 1),
        "offered_per_second": round(offered, 1),
        **_counted(found, capacity, int(seconds)),
        "quiet_share": {name: _share(found[name], capacity, int(seconds)) for name in _TENANTS[1:]},
        "recovery_seconds": _recovery(found, before, int(seconds)),
        "rss_mb": {
            "before": round(calm.rss[-1], 1),
            "peak": round(max(during.rss), 1),
            "after": round(after.rss[-1], 1),
        },
        "shed": during.shed,
        "busy": round(_middle(during.busy), 3),
        "limit": during.limit[:: max(1, len(during.limit) // 20)],
        "loop_lag_ms": {
            "p99_of_two_seconds_middle": _middle(during.lag),
            "p99_of_two_seconds_worst": max(during.lag),
        },
        "streams": found,
    }


def _stream(
    tokens: list[str], rate: float | None, connections: int, seconds: float, **more: Any
) -> dict[str, Any]:
    stream: dict[str, Any] = {"path": _PATH, "body": QUESTION, "headers": {}, "tokens": tokens, "rate": rate}
    return {**stream, "connections": connections, "seconds": seconds, "patience": 60.0, **more}


def _flood(tokens: list[str], rate: float, seconds: float) -> list[dict[str, Any]]:
    return [
        _stream(tokens, rate * part, 512, seconds, name=f"flood {lane}", headers={"priority": urgency})
        for lane, (part, urgency) in _LANES.items()
    ]


def _quiet(tokens: dict[str, list[str]], capacity: float, seconds: float) -> list[dict[str, Any]]:
    rate = _QUIET * capacity
    return [_stream(tokens[name], rate, 256, seconds, name=name) for name in _TENANTS[1:]]


def _per_second(stream: dict[str, Any], since: int, until: int) -> float:
    """Answers a second, of the whole seconds from one to another."""
    counted = stream["per_second"][since:until]
    return sum(counted) / (until - since)


def _share(stream: dict[str, Any], capacity: float, seconds: int) -> float:
    """What a quiet tenant got during the spike, of what it asked for."""
    return round(_per_second(stream, 1, seconds) / (_QUIET * capacity), 3)


def _counted(found: Streams, capacity: float, seconds: int) -> dict[str, Any]:
    statuses: dict[str, int] = {}
    for stream in found.values():
        for status, number in stream["statuses"].items():
            statuses[status] = statuses.get(status, 0) + number
    good = sum(_per_second(stream, 1, seconds) for stream in found.values())
    refused = {name: stream["latencies"].get("503", {}) for name, stream in found.items()}
    return {
        "statuses": statuses,
        "errors": sum(number for status, number in statuses.items() if status not in {"200", "429", "503"}),
        "unsent": sum(stream["unsent"] for stream in found.values()),
        "goodput_per_second": round(good, 1),
        "goodput_to_capacity": round(good / capacity, 3),
        "refusals_p99_ms": max(said.get("p99_ms", 0.0) for said in refused.values()),
        "admitted_ms": {name: stream["latencies"].get("200", {}) for name, stream in found.items()},
    }


def _recovery(found: Streams, before: Streams, seconds: int) -> int | None:
    """Seconds after the spike until the quiet tenants' answers take as long as before, within a half; None if never."""
    for second in range(seconds, seconds + int(_AFTER)):
        if all(
            found[name]["p50_ms_by_second"].get(str(second), float("inf"))
            <= _RECOVERED * before[name]["latencies"]["200"]["p50_ms"]
            for name in _TENANTS[1:]
        ):
            return second - seconds
    return None


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    main()
