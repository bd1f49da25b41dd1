"""A service under mixed load for as long as you like, and whether it grows: `python -m chaos.soak [--seconds 1800]`.

One worker, a provider on a real socket, callers who wait for answers, read streams, speak OpenAI's protocol, come back later,
leave in the middle, or have no key. Its memory, tasks, open files and places are looked at each second; afterwards it is left alone,
and what is still held is compared with what was held before. Prints one JSON object; status 1 where something was left behind.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import Request, urlopen

import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.overhead import free_port
from benchmarks.service import QUESTION, load, process
from seawall.edge.auth.key_store import open_key_store
from seawall.foundation.compliance.keyring import Keyring

_PATH = "/v1/agents/risk/runs"
_CHAT = '{"model": "risk", "messages": [{"role": "user", "content": "How risky is contract {n}?"}]}'
_STREAM, _LATER = QUESTION[:-1] + ', "stream": true}', QUESTION[:-1] + ', "async": true}'
_WARM_SECONDS = 5.0
_QUIET_SECONDS = 40.0
# What an event loop and a pool of connections may hold more of afterwards than before their first request.
_MORE_TASKS, _MORE_FILES = 4, 24
# No room, and no time.
_REFUSED = frozenset({"503", "504"})


@dataclass
class Held:
    """What a process holds at one moment."""

    seconds: float
    rss_mb: float
    tasks: float
    files: int
    running: float
    queued: float


@dataclass
class Watch:
    """Looks at a service once a second."""

    server: psutil.Process
    port: int
    token: str
    seen: list[Held] = field(default_factory=list[Held])
    began: float = field(default_factory=time.monotonic)
    over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> Held:
        """Look once."""
        request = Request(
            f"http://127.0.0.1:{self.port}/metrics", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urlopen(request, timeout=60) as said:
            text = said.read().decode()
        numbers: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                numbers[sample.name] = numbers.get(sample.name, 0.0) + sample.value
        return Held(
            round(time.monotonic() - self.began, 1),
            round(self.server.memory_info().rss / 1e6, 1),
            numbers.get("seawall_tasks", 0.0),
            self.server.num_fds(),
            numbers.get("seawall_running", 0.0),
            numbers.get("seawall_queued", 0.0),
        )

    def keep_looking(self) -> None:
        """Look until told to stop."""
        while not self.over.wait(1.0):
            self.seen.append(self.look())


def main() -> None:
    """Run it, and print what came of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=1800.0)
    seconds = options.parse_args().seconds
    secret = os.urandom(32).hex()
    with tempfile.TemporaryDirectory() as folder:
        with open_key_store(Path(folder), Keyring.from_hex(secret)) as keys:
            tokens = [keys.create("acme", f"u{n}", scopes=["run"]).token for n in range(16)]
            looker = keys.create("acme", "looker", scopes=["metrics"]).token
        ports = free_port(), free_port()
        told = {"BENCH_PROVIDER": str(ports[0]), "BENCH_STATE": folder, "SEAWALL_MASTER_KEY": secret}
        with (
            process("provider", ports[0], BENCH_DELAY="0.02"),
            process("seawall", ports[1], **told) as server,
        ):
            outcome = _soak(Watch(server, ports[1], looker), tokens, seconds)
    print(json.dumps(outcome))
    sys.exit(0 if outcome["clean"] else 1)


def _soak(watch: Watch, tokens: list[str], seconds: float) -> dict[str, Any]:
    load(watch.port, *_mixed(tokens, _WARM_SECONDS))
    before = _settled(watch)
    thread = threading.Thread(target=watch.keep_looking, daemon=True)
    thread.start()
    found = load(watch.port, *_mixed(tokens, seconds))
    watch.over.set()
    thread.join()
    after = _settled(watch, before)
    statuses: dict[str, int] = {}
    for stream in found.values():
        for status, number in stream["statuses"].items():
            statuses[status] = statuses.get(status, 0) + number
    clean = (
        after.running == after.queued == 0
        and _no_more(after, before)
        and not any(status.startswith("5") and status not in _REFUSED for status in statuses)
    )
    return {
        "seconds": seconds,
        "statuses": statuses,
        "rss_mb_an_hour": round(3600 * slope([(one.seconds, one.rss_mb) for one in watch.seen]), 1),
        "peak": {
            name: max(getattr(one, name) for one in watch.seen) for name in ("rss_mb", "tasks", "files")
        },
        "before": vars(before),
        "after": vars(after),
        "clean": clean,
    }


def _no_more(after: Held, before: Held) -> bool:
    return after.tasks <= before.tasks + _MORE_TASKS and after.files <= before.files + _MORE_FILES


def _mixed(tokens: list[str], seconds: float) -> list[dict[str, Any]]:
    def stream(name: str, body: str, rate: float, **more: Any) -> dict[str, Any]:
        told: dict[str, Any] = {
            "name": name,
            "path": _PATH,
            "body": body,
            "rate": rate,
            "tokens": tokens,
            "headers": {},
        }
        return {**told, "connections": 64, "seconds": seconds, **more}

    return [
        stream("at once", QUESTION, 25.0),
        stream("streamed", _STREAM, 5.0),
        stream("later", _LATER, 2.0),
        stream("chat", _CHAT, 5.0, path="/v1/chat/completions"),
        stream("leaves", _STREAM, 3.0, patience=0.03),
        stream("in no time", QUESTION, 2.0, headers={"seawall-deadline": "0.001"}),
        stream("stranger", QUESTION, 10.0, tokens=["sw_nobody"]),
    ]


def _settled(watch: Watch, like: Held | None = None) -> Held:
    """Leave it alone until it holds no more than before, or for so long."""
    until = time.monotonic() + _QUIET_SECONDS
    while True:
        time.sleep(2.0)
        held = watch.look()
        quiet = held.running == held.queued == 0 and (like is None or _no_more(held, like))
        if quiet or time.monotonic() > until:
            return held


def slope(points: list[tuple[float, float]]) -> float:
    """Return how much more there is a second: the median of all slopes between points of the later half (Theil and Sen)."""
    later = points[len(points) // 2 :]
    step = max(1, len(later) // 200)
    later = later[::step]
    slopes = [
        (other - one) / (then - now)
        for index, (now, one) in enumerate(later)
        for then, other in later[index + 1 :]
        if then > now
    ]
    return median(slopes) if slopes else 0.0


if __name__ == "__main__":
    main()
