"""`seawall serve` as a person runs it: a process of its own, ended by a signal."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from seawall.edge.auth.key_store import open_key_store
from seawall.foundation.compliance.keyring import Keyring

APP = """
import asyncio
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel
from seawall import Policy
from seawall.edge.app import Seawall

async def answer(messages, info):
    with open("asked", "a") as asked:
        asked.write(".")
    await asyncio.sleep(0.5)
    return ModelResponse(parts=[TextPart("done")])

app = Seawall()
app.add(Agent(FunctionModel(answer), name="clerk"), Policy(abuse=None))
nothing = 1
"""
KEY = os.urandom(32).hex()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with an application in it."""
    (tmp_path / "service_app.py").write_text(APP)
    return tmp_path


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "SEAWALL_MASTER_KEY": KEY}
    return subprocess.Popen(
        [sys.executable, "-c", "from seawall.edge.cli import main; main()", "serve", *arguments],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def served(folder: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = command(folder, "service_app:app", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                with urlopen(f"{url}/healthz", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.05)
        yield process, url
    finally:
        process.kill()
        process.communicate()


def ask(url: str, token: str) -> str:
    request = Request(
        f"{url}/v1/agents/clerk/runs",
        json.dumps({"input": "Go."}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=20) as said:
        return json.load(said)["output"]


def test_what_is_under_way_is_finished_before_it_ends(folder: Path) -> None:
    """A signal while a run is being done: its caller gets the answer, and the process ends well."""
    with open_key_store(folder / ".seawall", Keyring.from_hex(KEY)) as keys:
        token = keys.create("acme", "alice", scopes=["run"]).token
    with served(folder) as (process, url):
        assert ask(url, token) == "done"
        said: list[str] = []
        last = threading.Thread(target=lambda: said.append(ask(url, token)))
        last.start()
        while (folder / "asked").read_text() != "..":
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        last.join(30)
        assert process.wait(timeout=30) in {0, -signal.SIGTERM}
    assert said == ["done"]


MISTAKES = [
    (("service_app:nothing",), "is a int; expected a Seawall"),
    (("nowhere:app",), "cannot load 'nowhere:app'"),
    (("service_app:app", "--workers", "2"), "give redis_url"),
    (("service_app:app",), "nobody could call it"),
    (("service_app:app", "--dev", "--host", "0.0.0.0"), "--dev listens on this machine alone"),
    (("service_app:app", "--port", "99999"), "port"),
    (("service_app:app", "--config", "none.toml"), "cannot read none.toml"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES)
def test_what_cannot_be_served_is_said_in_one_line(
    folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    """What is wrong and what was expected, without a traceback."""
    process = command(folder, *arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.search(re.escape(said), errors)
    assert "Traceback" not in errors
