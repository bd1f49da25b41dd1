"""Kill a review at random moments, start it again, and see that nothing is lost and nothing done twice.

`python -m chaos.driver [--contracts N] [--kills K] [--seed S]`. The contracts are the project's samples, varied
so that each is another document. Promise tested: every file exactly one row at the end, and a row seen before a
kill -9 is the same row, with the same transaction, ever after.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = Path(__file__).parent.parent / "examples" / "contracts"
PATIENCE = 240.0


def make_contracts(folder: Path, count: int) -> None:
    texts = [path.read_text() for path in sorted([*SAMPLES.glob("*.txt"), *SAMPLES.glob("*.md")])]
    for number in range(count):
        text = texts[number % len(texts)]
        (folder / f"contract-{number:04}.txt").write_text(f"Contract No. {number}\n\n{text}")


def start(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "seawall_contracts", "review", str(folder), "--out", str(out), "--quiet"]
    # A group of its own, so that the kill reaches whatever it started and nothing else.
    return subprocess.Popen(command, start_new_session=True)


def seen(out: Path) -> dict[str, str]:
    path = out / "results.jsonl"
    if not path.exists():
        return {}
    rows: dict[str, str] = {}
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            row = json.loads(line)
            assert row["file"] not in rows, f"{row['file']} is in the results twice"
            rows[row["file"]] = row["transaction"]["id"]
    return rows


def wait_for_rows(process: subprocess.Popen[bytes], out: Path, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and len(seen(out)) < wanted:
        assert time.monotonic() < deadline, "the review makes no progress"
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contracts", type=int, default=300)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as room:
        folder, out = Path(room) / "in", Path(room) / "out"
        folder.mkdir()
        make_contracts(folder, asked.contracts)
        known: dict[str, str] = {}
        killed = 0
        for _ in range(asked.kills):
            process = start(folder, out)
            wait_for_rows(
                process, out, min(asked.contracts - 1, len(known) + chance.randint(1, asked.contracts // 4))
            )
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
            process.wait()
            rows = seen(out)
            changed = [
                file for file, transaction in rows.items() if known.get(file, transaction) != transaction
            ]
            assert not changed, f"reviewed again after its result was recorded: {changed}"
            known |= rows
        code = start(folder, out).wait()
        rows = seen(out)
        run = json.loads((out / "run.json").read_text())
        assert code == 0, f"the last run ended with status {code}"
        assert len(rows) == asked.contracts, f"{len(rows)} rows for {asked.contracts} files"
        assert all(rows[file] == transaction for file, transaction in known.items()), (
            "a recorded result changed"
        )
        assert run["resumed"] >= len(known), (
            f"only {run['resumed']} of {len(known)} recorded results were taken up"
        )
        summary = {
            "contracts": asked.contracts,
            "killed": killed,
            "recorded_before_last_run": len(known),
            "seed": seed,
        }
        print(json.dumps({**summary, "resumed": run["resumed"], "lost": 0, "twice": 0}))


if __name__ == "__main__":
    main()
