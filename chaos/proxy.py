"""A TCP proxy on this machine that breaks connections on purpose: before Redis, Postgres, or a provider of models.

`python -m chaos.proxy --listen 127.0.0.1:0 --upstream 127.0.0.1:6379 --fault latency:0.2 [--for 30s]` prints where it
listens as one line of JSON and, once it is stopped by SIGINT, SIGTERM or its time, what has passed as another. Faults:

    pass              forward everything
    latency:S[,J]     answers come S seconds later, give or take up to J, in order
    hang              accept, and forward nothing either way
    refuse            refuse new connections; those that are open go on
    reset             reset every connection, open or new
    cut:N             end a connection after N more bytes of answers
    garbage           answers become random bytes of the same length
    slow:B            answers come at B bytes a second
"""

import argparse
import asyncio
import ipaddress
import json
import random
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from chaos.fault import Fault, parse_fault, passing

_CHUNK = 65_536
# Chunks under way in one direction of one connection, beyond which its sender is made to wait.
_MOST_CHUNKS = 16
_MOST_CONNECTIONS = 1000
_BACKLOG = 128
# How often a slow answer moves on, in seconds.
_TICK = 0.05
# On, with nothing to linger for: the kernel drops what is unsent and says RST.
_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Passed:
    """What has passed: connections accepted, and bytes of requests and of answers that were forwarded."""

    connections: int = 0
    request_bytes: int = 0
    answer_bytes: int = 0


class FaultProxy:
    """Listens on a free port of this machine while its context is open, and forwards to `host:port`.

    `fault` may be set at any time, from the loop that the context was entered on; each fault says what becomes of
    open connections. The port stays the same, and taken, while connections are refused. `host` must be of this machine
    unless `allow_remote`. No task and no socket outlives the context.

    >>> async def example() -> None:
    ...     async with FaultProxy("127.0.0.1", 6379) as proxy:
    ...         proxy.fault = hang()
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        fault: Fault | None = None,
        allow_remote: bool = False,
    ) -> None:
        for name in (host, listen[0]):
            if not (allow_remote or _is_here(name)):
                raise ValueError(
                    f"{name!r} is not known to be this machine; expected 127.0.0.1, ::1 or localhost, or say that "
                    "another is meant (allow_remote=True, --allow-remote)"
                )
        self.upstream = (host, port)
        self.passed = Passed()
        self._fault = fault or passing()
        self._changed = asyncio.Event()
        self._listen = listen
        self._listener: socket.socket | None = None
        self._links: dict[asyncio.Task[None], _Link] = {}

    @property
    def host(self) -> str:
        """Where it listens."""
        return self._listen[0]

    @property
    def port(self) -> int:
        """The port on which it listens, or would if it did not refuse."""
        return self._listen[1]

    @property
    def live(self) -> int:
        """How many connections are open."""
        return len(self._links)

    @property
    def fault(self) -> Fault:
        """What it does now."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if self._listener is not None:
            self._take_up()

    async def changed(self, within: float | None = None) -> bool:
        """Wait until `fault` is set anew; False if it was not `within` so many seconds."""
        changed = self._changed
        try:
            async with asyncio.timeout(within):
                await changed.wait()
        except TimeoutError:
            return False
        return True

    async def __aenter__(self) -> Self:
        """Listen."""
        self._listener = self._bound()
        self._take_up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        self._stop_listening()
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def _take_up(self) -> None:
        """Do what the present fault says about the listener and the open connections."""
        loop = asyncio.get_running_loop()
        assert self._listener is not None
        if self._fault.kind == "refuse":
            if loop.remove_reader(self._listener):
                self._listener.close()
                # Bound but not listening: the kernel refuses, and nobody else is given the port.
                self._listener = self._bound()
        else:
            self._listener.listen(_BACKLOG)
            loop.add_reader(self._listener, self._accept)
        if self._fault.kind == "reset":
            for task, link in self._links.items():
                link.at_once = True
                task.cancel()

    def _bound(self) -> socket.socket:
        host, port = self._listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind((host, port))
        except OSError:
            listener.close()
            raise
        self._listen = (host, listener.getsockname()[1])
        return listener

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(_BACKLOG):
            try:
                caller, _ = self._listener.accept()
            except OSError:
                # None is waiting, or the one that was has gone.
                return
            self.passed.connections += 1
            link = _Link(self, caller)
            if self._fault.kind == "reset" or len(self._links) >= _MOST_CONNECTIONS:
                link.at_once = True
                link.close()
                continue
            task = asyncio.get_running_loop().create_task(link.run())
            self._links[task] = link
            task.add_done_callback(self._links.pop)


class _Over(Exception):
    """The connection is to be closed now."""


class _Link:
    """One connection of a caller, and the one to the upstream that is made for it; holds at most 1 MiB each way."""

    def __init__(self, proxy: FaultProxy, caller: socket.socket) -> None:
        self.at_once = False
        self._proxy = proxy
        self._caller = _ready(caller)
        self._upstream: socket.socket | None = None
        self._requests: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_CHUNKS)
        self._answers: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_CHUNKS)
        self._due = 0.0
        self._cutting: Fault | None = None
        self._until_cut = 0

    async def run(self) -> None:
        """Forward until both sides have ended, one breaks, or a fault breaks it."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(self._caller, self._requests))
                group.create_task(self._forward(group))
        except* _Over:
            pass
        except* OSError:
            self.at_once = True
        finally:
            self.close()

    def close(self) -> None:
        """Close both sides; the caller's with a reset where it is to be `at_once`."""
        if self.at_once:
            with suppress(OSError):
                self._caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._caller.close()
        if self._upstream is not None:
            self._upstream.close()

    async def _receive(self, end: socket.socket, queue: "asyncio.Queue[tuple[float, bytes]]") -> None:
        loop = asyncio.get_running_loop()
        while True:
            chunk = await loop.sock_recv(end, _CHUNK)
            if not chunk and end is self._caller and self._proxy.fault.kind == "hang":
                # Nobody waits for an answer; to keep the connection would be to collect them.
                raise _Over
            await queue.put((loop.time(), chunk))
            if not chunk:
                return

    async def _forward(self, group: asyncio.TaskGroup) -> None:
        """Connect, pass requests on, and have answers passed back."""
        loop = asyncio.get_running_loop()
        await self._while_hanging()
        upstream = await self._connected()
        group.create_task(self._receive(upstream, self._answers))
        group.create_task(self._answer())
        while True:
            _, chunk = await self._requests.get()
            await self._while_hanging()
            if not chunk:
                upstream.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(upstream, chunk)
            self._proxy.passed.request_bytes += len(chunk)

    async def _connected(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        host, port = self._proxy.upstream
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        self._upstream = _ready(socket.socket(family, kind, protocol))
        await loop.sock_connect(self._upstream, address)
        return self._upstream

    async def _answer(self) -> None:
        while True:
            arrived, chunk = await self._answers.get()
            if not chunk:
                await self._while_hanging()
                self._caller.shutdown(socket.SHUT_WR)
                return
            rest = memoryview(chunk)
            while rest:
                rest = rest[await self._pass_some(arrived, rest) :]

    async def _pass_some(self, arrived: float, chunk: memoryview) -> int:
        """Pass the beginning of an answer on as the present fault has it; return how many bytes it was."""
        fault, loop = self._proxy.fault, asyncio.get_running_loop()
        match fault.kind:
            case "hang":
                await self._while_hanging()
                return 0
            case "latency":
                jitter = random.uniform(-fault.jitter, fault.jitter)
                self._due = max(self._due, arrived + fault.seconds + jitter)
                if await self._proxy.changed(within=max(0.0, self._due - loop.time())):
                    self._due = 0.0
                    return 0
                await loop.sock_sendall(self._caller, chunk)
            case "slow":
                chunk = chunk[: max(1, int(fault.bytes_per_second * _TICK))]
                await loop.sock_sendall(self._caller, chunk)
                await self._proxy.changed(within=len(chunk) / fault.bytes_per_second)
            case "cut":
                await self._cut(fault, chunk)
            case "garbage":
                await loop.sock_sendall(self._caller, random.randbytes(len(chunk)))
            case "pass" | "refuse" | "reset":
                await loop.sock_sendall(self._caller, chunk)
        self._proxy.passed.answer_bytes += len(chunk)
        return len(chunk)

    async def _cut(self, fault: Fault, chunk: memoryview) -> None:
        if self._cutting is not fault:
            self._cutting, self._until_cut = fault, fault.after_bytes
        passing = chunk[: self._until_cut]
        self._until_cut -= len(passing)
        await asyncio.get_running_loop().sock_sendall(self._caller, passing)
        if not self._until_cut:
            self._proxy.passed.answer_bytes += len(passing)
            self._caller.shutdown(socket.SHUT_WR)
            raise _Over

    async def _while_hanging(self) -> None:
        while self._proxy.fault.kind == "hang":
            await self._proxy.changed()


def _ready(end: socket.socket) -> socket.socket:
    end.setblocking(False)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return end


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an address such as 127.0.0.1:6379")
    return host.strip("[]"), int(port)


async def _run(proxy: FaultProxy, for_seconds: float | None) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with proxy:
        listening = f"{proxy.host}:{proxy.port}"
        print(json.dumps({"listening": listening, "fault": proxy.fault.kind}), flush=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(for_seconds):
                await stopped.wait()
    print(json.dumps(asdict(proxy.passed)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m chaos.proxy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 0), help="port 0 is any free one")
    parser.add_argument("--upstream", type=_address, required=True, help="such as 127.0.0.1:6379")
    parser.add_argument("--fault", default="pass", help="one of the above; pass by default")
    parser.add_argument("--for", dest="lasts", metavar="TIME", help="stop by itself after this, such as 30s")
    parser.add_argument("--allow-remote", action="store_true", help="addresses may be of other machines")
    asked = parser.parse_args()
    lasts = None
    try:
        if asked.lasts is not None:
            # All of Seawall comes with it, so only who needs it waits for it.
            from seawall.foundation.units import seconds

            lasts = seconds(asked.lasts)
        proxy = FaultProxy(
            *asked.upstream,
            listen=asked.listen,
            fault=parse_fault(asked.fault),
            allow_remote=asked.allow_remote,
        )
    except ValueError as error:
        parser.error(str(error))
    asyncio.run(_run(proxy, lasts))


if __name__ == "__main__":
    main()
