"""Seawall beside the LiteLLM proxy: `python -m benchmarks.peers [--seconds 5] [--environment FOLDER]`.

Both answer `/v1/chat/completions` before the same provider without delay, guards off and on, each server on the same core in turns, load and
provider on the other. Seawall runs a typed agent, LiteLLM passes the request on. LiteLLM is installed into a throwaway environment
(or FOLDER, kept for the next time) and is no dependency of anything. Prints a table to look at and one JSON object.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.overhead import free_port
from benchmarks.service import load, pin, process
from seawall.edge.auth.key_store import open_key_store
from seawall.foundation.compliance.keyring import Keyring

LITELLM = "litellm[proxy]==1.106.2"
CONCURRENCY = (1, 8, 32, 100)
_ROUNDS = 3
_START_SECONDS = 120
_QUESTION = "How risky is contract number {n} between Acme and Beta, and which of its clauses says so?"
# What it has without another service: its filter on shapes of personal data and of keys, and on injections.
_PATTERNS = {
    "us_ssn": "BLOCK", "credit_card": "MASK", "email": "MASK", "us_phone": "MASK", "iban": "MASK", "ipv4": "MASK", "aws_access_key": "BLOCK",
    "aws_secret_key": "BLOCK", "github_token": "BLOCK", "slack_token": "BLOCK", "generic_api_key": "BLOCK",
}  # fmt: skip
_INJECTIONS = (
    "prompt_injection_jailbreak", "prompt_injection_system_prompt", "prompt_injection_data_exfiltration", "prompt_injection_sql",
    "prompt_injection_malicious_code",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Side:
    """One server under one of the settings: the port it listens on, its process, how long it took to answer."""

    port: int
    process: psutil.Process
    headers: dict[str, str]
    model: str
    start_seconds: float


def main() -> None:
    """Measure, show, and print one JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--environment", type=Path)
    told = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = _environment(told.environment or Path(folder) / "litellm")
        results = {
            guards: _compare(Path(folder), python, told.seconds, on=guards == "guards_on")
            for guards in ("guards_off", "guards_on")
        }
    Console(stderr=True).print(_table(results))
    print(json.dumps({"peer": LITELLM, **results}))


def _environment(folder: Path) -> Path:
    """Return the folder of the peer's programs, installed if they are not there."""
    programs = folder / "bin"
    if not (programs / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
        install = [programs / "pip", "install", "--quiet", LITELLM]
        subprocess.run(install, check=True, timeout=900, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return programs


def _compare(folder: Path, programs: Path, seconds: float, *, on: bool) -> dict[str, Any]:
    """Return what both sides came to, and Seawall's share of the other's."""
    port = free_port()
    with (
        process("provider", port),
        _seawall(folder, port, on=on) as ours,
        _litellm(folder, programs, port, on=on) as theirs,
    ):
        sides = {"seawall": ours, "litellm": theirs}
        rounds: dict[str, dict[int, list[dict[str, float]]]] = {name: {} for name in sides}
        for _ in range(_ROUNDS):
            for connections in CONCURRENCY:
                for name, side in sides.items():
                    _ask(side, connections, 1.0)
                    said = _ask(side, connections, seconds)
                    rounds[name].setdefault(connections, []).append(said)
        found = {name: _told(side, rounds[name]) for name, side in sides.items()}
    return {**found, "ratios": _ratios(found["seawall"], found["litellm"])}


def _ask(side: Side, connections: int, seconds: float) -> dict[str, float]:
    body = {"model": side.model, "messages": [{"role": "user", "content": _QUESTION}]}
    stream = {
        "name": "x",
        "path": "/v1/chat/completions",
        "headers": side.headers,
        "body": json.dumps(body),
        "rate": None,
        "seconds": seconds,
        "connections": connections,
    }
    before = _cpu(side.process)
    said = load(side.port, stream)["x"]
    used = _cpu(side.process) - before
    answers = sum(said["statuses"].values())
    good = said["statuses"].get("200", 0)
    times = said["latencies"].get("200", {"p50_ms": 0.0, "p99_ms": 0.0})
    return {
        "cpu_ms": 1e3 * used / max(1, answers),
        "p50_ms": times["p50_ms"],
        "p99_ms": times["p99_ms"],
        "per_second": good / seconds,
        "failed": answers - good,
    }


def _cpu(server: psutil.Process) -> float:
    """Return the seconds of CPU that a server and the processes it started have used."""
    family = [server, *server.children(recursive=True)]
    times = [one.cpu_times() for one in family]
    return sum(one.user + one.system for one in times)


def _told(side: Side, rounds: dict[int, list[dict[str, float]]]) -> dict[str, Any]:
    family = [side.process, *side.process.children(recursive=True)]
    return {
        "start_seconds": round(side.start_seconds, 2),
        "rss_mb": round(sum(one.memory_info().rss for one in family) / 1e6, 1),
        "at": {
            connections: {
                what: round(median(one[what] for one in found), 3)
                for what in ("cpu_ms", "p50_ms", "p99_ms", "per_second", "failed")
            }
            for connections, found in rounds.items()
        },
    }


def _ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    def of(what: str) -> dict[int, float]:
        return {
            at: round(ours["at"][at][what] / theirs["at"][at][what], 3)
            for at in CONCURRENCY
            if theirs["at"][at][what]
        }

    return {
        "cpu": of("cpu_ms"),
        "p99": of("p99_ms"),
        "rss": round(ours["rss_mb"] / theirs["rss_mb"], 3),
        "start": round(ours["start_seconds"] / theirs["start_seconds"], 3),
    }


@contextmanager
def _seawall(folder: Path, provider: int, *, on: bool) -> Generator[Side]:
    secret, state = os.urandom(32).hex(), folder / f"state-{on}"
    with open_key_store(state, Keyring.from_hex(secret)) as keys:
        token = keys.create("acme", "bench", scopes=["run"]).token
    told = {"BENCH_PROVIDER": str(provider), "BENCH_STATE": str(state), "SEAWALL_MASTER_KEY": secret}
    port = free_port()
    began = time.monotonic()
    with process("full" if on else "lean", port, **told) as server:
        headers = {"authorization": f"Bearer {token}"}
        took = _first_answer(port, "/readyz", headers, began)
        yield Side(port, server, headers, "risk", took)


@contextmanager
def _litellm(folder: Path, programs: Path, provider: int, *, on: bool) -> Generator[Side]:
    config = folder / f"litellm-{on}.yaml"
    config.write_text(
        "model_list:\n  - model_name: risk\n    litellm_params:\n      model: openai/gpt-5-mini\n"
        f"      api_base: http://127.0.0.1:{provider}/v1\n      api_key: none\n"
        + ("      rpm: 10000000\n      tpm: 1000000000\n" if on else "")
        + (_filter() if on else "")
        + "general_settings:\n  master_key: sk-bench\n"
    )
    port = free_port()
    command = [programs / "litellm", "--config", config, "--host", "127.0.0.1", "--port", str(port)]
    quiet = {
        **os.environ,
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
    }
    began = time.monotonic()
    with (folder / f"litellm-{on}.log").open("wb") as log:
        child = subprocess.Popen([*command, "--num_workers", "1"], env=quiet, stdout=log, stderr=log)
        pin(child.pid, 0)
        try:
            headers = {"authorization": "Bearer sk-bench"}
            took = _first_answer(port, "/health/readiness", headers, began)
            yield Side(port, psutil.Process(child.pid), headers, "risk", took)
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _filter() -> str:
    """Return the peer's own filter, on what is asked and on what is answered."""
    patterns = [
        f"        - {{pattern_type: prebuilt, pattern_name: {name}, action: {action}}}\n"
        for name, action in _PATTERNS.items()
    ]
    injections = [
        f"        - {{category: {name}, enabled: true, action: BLOCK, severity_threshold: medium}}\n"
        for name in _INJECTIONS
    ]
    return "".join(
        (
            "guardrails:\n  - guardrail_name: content\n    litellm_params:\n      guardrail: litellm_content_filter\n",
            "      mode: [pre_call, post_call]\n      default_on: true\n      patterns:\n",
            *patterns,
            "      categories:\n",
            *injections,
        )
    )


def _first_answer(port: int, path: str, headers: dict[str, str], began: float) -> float:
    """Return the seconds from `began` to the first good answer."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    while time.monotonic() - began < _START_SECONDS:
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                if answer.status == 200:
                    return time.monotonic() - began
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing answered {path} within {_START_SECONDS} s")


def _table(results: dict[str, Any]) -> Table:
    table = Table(title=f"Seawall beside {LITELLM}: a server of each on one core")
    for column in (
        "guards",
        "at once",
        "CPU ms a request",
        "p50 ms",
        "p99 ms",
        "requests/s",
        "CPU ratio",
        "p99 ratio",
    ):
        table.add_column(column, justify="left" if column == "guards" else "right")
    for guards, found in results.items():
        ours, theirs, ratios = found["seawall"], found["litellm"], found["ratios"]
        for at in CONCURRENCY:
            one, other = ours["at"][at], theirs["at"][at]
            pairs = [f"{one[what]:.2f} / {other[what]:.2f}" for what in ("cpu_ms", "p50_ms", "p99_ms")]
            pairs.append(f"{one['per_second']:.0f} / {other['per_second']:.0f}")
            shares = [f"{ratios[what].get(at, 0):.2f}" for what in ("cpu", "p99")]
            table.add_row(guards.removeprefix("guards_"), str(at), *pairs, *shares)
        sizes = f"{ours['rss_mb']:.0f} / {theirs['rss_mb']:.0f} MB"
        starts = f"{ours['start_seconds']:.1f} / {theirs['start_seconds']:.1f} s"
        table.add_row("", "", f"memory {sizes}", f"start {starts}", end_section=True)
    return table


if __name__ == "__main__":
    main()
