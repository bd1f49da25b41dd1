"""Load on an HTTP service, from a process of its own: `python -m benchmarks.load SPEC`, where SPEC is JSON.

Open loop (`rate` requests a second whatever comes back, so that a slow service is not asked less) or closed (`rate` null: as
fast as its `connections` answer). Loopback only. Prints one JSON object; each stream of it has its own counts and latencies.
"""

import asyncio
import json
import math
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, cast

import httptools
import uvloop


@dataclass
class Stream:
    """Requests of one kind: `rate` a second for `seconds`, over at most `connections` connections, by the `tokens` in turn."""

    name: str
    path: str
    headers: dict[str, str]
    body: str
    rate: float | None
    seconds: float
    connections: int
    start: float = 0.0
    patience: float = 30.0
    number: bool = True
    tokens: list[str] = field(default_factory=list[str])
    statuses: Counter[str] = field(default_factory=Counter[str])
    latencies: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    ends: list[tuple[float, str, float]] = field(default_factory=list[tuple[float, str, float]])
    unsent: int = 0

    def request(self, number: int) -> bytes:
        """Return the bytes of one request; `{n}` in the body is its number, so that no two ask the same."""
        body = self.body.replace("{n}", str(number)).encode() if self.number else self.body.encode()
        lines = [
            f"{'POST' if body else 'GET'} {self.path} HTTP/1.1",
            "host: localhost",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        if self.tokens:
            lines.append(f"authorization: Bearer {self.tokens[number % len(self.tokens)]}")
        if body:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def note(self, status: str, began: float, now: float, origin: float) -> None:
        """Count what one request came to."""
        self.statuses[status] += 1
        self.latencies.setdefault(status, []).append(now - began)
        self.ends.append((now - origin, status, now - began))


class Connection(asyncio.Protocol):
    """One connection with at most one request on its way."""

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.transport: asyncio.Transport | None = None
        self.began = 0.0
        self.busy = False
        self.timer: asyncio.TimerHandle | None = None
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, began: float) -> None:
        """Ask."""
        assert self.transport is not None
        self.busy, self.began = True, began
        self.timer = asyncio.get_running_loop().call_later(self.pool.stream.patience, self.give_up)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.finish("garbage", reuse=False)

    def on_message_complete(self) -> None:
        keep = self.parser.should_keep_alive()
        self.finish(str(self.parser.get_status_code()), reuse=keep)
        self.parser = httptools.HttpResponseParser(self)

    def give_up(self) -> None:
        """Nothing came in time."""
        self.finish("no answer", reuse=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.finish("lost", reuse=False)
        self.pool.lost(self)

    def finish(self, status: str, *, reuse: bool) -> None:
        """Note what came of the request on its way, if there is one, and be there for the next."""
        if self.busy:
            self.busy = False
            if self.timer is not None:
                self.timer.cancel()
            self.pool.stream.note(status, self.began, time.perf_counter(), self.pool.origin)
            self.pool.ended(self, reuse=reuse)
        if not reuse and self.transport is not None:
            self.transport.close()


class Pool:
    """The connections of one stream."""

    def __init__(self, stream: Stream, port: int, origin: float) -> None:
        self.stream = stream
        self.port = port
        self.origin = origin
        self.idle: deque[Connection] = deque()
        self.waiting: deque[tuple[int, float]] = deque()
        self.open = 0
        self.numbered = 0
        self.over = False
        self.under_way = 0
        self.all_back = asyncio.Event()

    async def run(self) -> None:
        """Send the stream's requests and wait for all answers."""
        await asyncio.sleep(max(0.0, self.origin + self.stream.start - time.perf_counter()))
        began = time.perf_counter()
        if self.stream.rate is None:
            for _ in range(self.stream.connections):
                self.ask(time.perf_counter())
            await asyncio.sleep(self.stream.seconds)
        else:
            sent = 0
            while (now := time.perf_counter()) - began < self.stream.seconds:
                due = math.floor((now - began) * self.stream.rate) + 1
                while sent < due:
                    # Counted from when it was due: a client that is late is no excuse for the service.
                    self.ask(began + sent / self.stream.rate)
                    sent += 1
                await asyncio.sleep(0.001)
        self.over = True
        self.stream.unsent += len(self.waiting)
        self.waiting.clear()
        if self.under_way:
            await self.all_back.wait()
        for connection in self.idle:
            if connection.transport is not None:
                connection.transport.close()

    def ask(self, began: float) -> None:
        """Send the next request as soon as there is a connection for it."""
        self.numbered += 1
        if self.idle:
            self._send(self.idle.popleft(), self.numbered, began)
        elif self.open < self.stream.connections:
            self.open += 1
            self.under_way += 1
            task = asyncio.ensure_future(self._connect(self.numbered, began))
            task.add_done_callback(lambda done: done.exception())
        else:
            self.waiting.append((self.numbered, began))

    async def _connect(self, number: int, began: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port)
        except OSError as error:
            self.stream.note(type(error).__name__, began, time.perf_counter(), self.origin)
            self.open -= 1
            self._less()
            return
        self.under_way -= 1
        self._send(connection, number, began)

    def _send(self, connection: Connection, number: int, began: float) -> None:
        self.under_way += 1
        connection.send(self.stream.request(number), began)

    def ended(self, connection: Connection, *, reuse: bool) -> None:
        """A connection is free, or gone."""
        if reuse:
            if self.stream.rate is None and not self.over:
                self.numbered += 1
                self._send(connection, self.numbered, time.perf_counter())
            elif self.waiting:
                self._send(connection, *self.waiting.popleft())
            else:
                self.idle.append(connection)
        self._less()

    def lost(self, connection: Connection) -> None:
        """It was closed, by whichever side."""
        if connection in self.idle:
            self.idle.remove(connection)
        self.open -= 1
        if not self.over and (self.waiting or self.stream.rate is None):
            number, began = self.waiting.popleft() if self.waiting else (self.numbered, time.perf_counter())
            self.open += 1
            self.under_way += 1
            task = asyncio.ensure_future(self._connect(number, began))
            task.add_done_callback(lambda done: done.exception())

    def _less(self) -> None:
        self.under_way -= 1
        if self.over and not self.under_way:
            self.all_back.set()


def quantiles(values: list[float]) -> dict[str, float]:
    """Return milliseconds at the middle, at 99 %, and the longest."""
    if not values:
        return {}
    ordered = sorted(values)
    at = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    return {
        name: round(1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
        for name, share in at.items()
    }


def told(stream: Stream) -> dict[str, Any]:
    """Return what a stream came to; answers a second in each whole second of the run are in `per_second`, and the middle of
    their latencies in `p50_ms_by_second`.
    """
    by_second: dict[int, list[float]] = {}
    for at, status, latency in stream.ends:
        if status.startswith("2"):
            by_second.setdefault(int(at), []).append(latency)
    return {
        "offered": sum(stream.statuses.values()) + stream.unsent,
        "unsent": stream.unsent,
        "statuses": dict(stream.statuses),
        "latencies": {status: quantiles(values) for status, values in stream.latencies.items()},
        "per_second": [len(by_second.get(second, ())) for second in range(max(by_second, default=-1) + 1)],
        "p50_ms_by_second": {
            second: quantiles(found)["p50_ms"] for second, found in sorted(by_second.items())
        },
    }


async def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Run all streams of a spec at once."""
    origin = time.perf_counter() + 0.1
    streams = [Stream(**one) for one in spec["streams"]]
    await asyncio.gather(*(Pool(stream, spec["port"], origin).run() for stream in streams))
    return {"streams": {stream.name: told(stream) for stream in streams}}


def main() -> None:
    """Do what the spec says."""
    print(json.dumps(uvloop.run(run(json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
