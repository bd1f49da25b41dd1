"""A model server of its own process: answers in some 40 ms, or hangs, or fails, as it is told on the way."""

import asyncio
import json
import multiprocessing
from collections import Counter
from multiprocessing.connection import Connection
from random import Random
from typing import Any, Literal, Self

Mode = Literal["answer", "hang", "overloaded", "rate limited"]

_SHORTEST, _LONGEST = 0.03, 0.05
_STATUS: dict[Mode, bytes] = {
    "overloaded": b"503 Service Unavailable",
    "rate limited": b"429 Too Many Requests",
}


class Server:
    """`with Server() as server:` runs it; `tell` changes what it does, `count` says how many calls came meanwhile."""

    def __init__(self) -> None:
        self._here, there = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_run, args=(there,), daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._process.start()
        self.port = self._here.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._here.send("end")
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()

    def tell(self, mode: Mode) -> None:
        self._here.send(mode)
        self._here.recv()

    def counts(self) -> dict[str, int]:
        """Calls that arrived in each mode so far."""
        self._here.send("count")
        return dict(self._here.recv())


def _run(pipe: Connection) -> None:
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    mode: list[Any] = ["answer"]
    arrived: Counter[str] = Counter()
    over = asyncio.Event()
    chance = Random(1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            arrived[mode[0]] += 1
            if mode[0] == "hang":
                # What hung does not come back when its server does: the connection is dead.
                await over.wait()
                return
            status, body = b"200 OK", json.dumps({"text": "The clause stands."}).encode()
            if mode[0] in _STATUS:
                status, body = _STATUS[mode[0]], b"{}"
            else:
                await asyncio.sleep(chance.uniform(_SHORTEST, _LONGEST))
            writer.write(
                b"HTTP/1.1 " + status + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def told() -> None:
        word = pipe.recv()
        if word == "count":
            pipe.send(dict(arrived))
        elif word == "end":
            over.set()
        else:
            mode[0] = word
            pipe.send(word)

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])
    asyncio.get_running_loop().add_reader(pipe.fileno(), told)
    await over.wait()
    server.close()
