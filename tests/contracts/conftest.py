"""Reviews run from outside: the command in a process of its own, with a home of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

SAMPLES = Path(__file__).parents[2] / "examples" / "contracts"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """How a finished command ended and what it left behind; rows by file name, without the folder."""

    code: int
    stdout: str
    stderr: str
    out: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Rows of `results.jsonl`, in order."""
        text = (self.out / "results.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Rows by file name."""
        return {row["file"].rpartition("/")[2]: row for row in self.lines}

    @property
    def run(self) -> dict[str, Any]:
        """`run.json`."""
        return json.loads((self.out / "run.json").read_text(encoding="utf-8"))


class Command:
    """`seawall-contracts` for one test: `home` and `out` are its own, and nothing of it outlives the test."""

    def __init__(self, room: Path) -> None:
        self.home = room / "home"
        self.out = room / "out"
        self.home.mkdir()
        self._room = room
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the command with `arguments` as given, in a process group of its own."""
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("SEAWALL_", "OPENAI_"))
        }
        own = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config"), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "seawall_contracts", *map(str, arguments)],
            env={**kept, **own, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=self._room,
        )
        self._started.append(process)
        return process

    def wait(self, process: subprocess.Popen[str], *, out: Path | None = None) -> Reviewed:
        """Wait until it ends."""
        stdout, stderr = process.communicate(timeout=100)
        return Reviewed(process.returncode, stdout, stderr, out or self.out)

    def review(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Reviewed:
        """Review into `out` and wait."""
        return self.wait(self.start("review", "--out", self.out, "--workers", "1", *arguments, env=env))

    def close(self) -> None:
        """End what still runs."""
        for process in self._started:
            for one in family(process.pid):
                one.kill()
            process.kill()
            process.communicate()


def family(pid: int) -> list[psutil.Process]:
    """Processes that `pid` started and that still run, itself not among them; they share its session."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if (
                process.pid != pid
                and os.getsid(process.pid) == pid
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return found


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """The command line, ready to run."""
    made = Command(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def sample() -> Callable[[str], bytes]:
    """Contents of a sample contract by its file name."""
    return lambda name: (SAMPLES / name).read_bytes()
