"""What the tiers and durability cost: the whole review against the bare reviewer, on the same documents.

`python -m benchmarks.review DIR [--workers N]`. Bare is the same reading, retrieving, answering and judging in the same
number of processes: no typed agent, no guard round it, no limit, no pseudonym, no ledger, no durable record. It keeps what the
review itself finds in the document (text addressed to the reviewer among it) and writes no results. Measured before and
after the whole stack, and averaged, because the speed of a shared machine drifts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from seawall_contracts.assembly import assemble
from seawall_contracts.documents import DocumentError
from seawall_contracts.local_model import read_prompt
from seawall_contracts.plan import make_plan
from seawall_contracts.playbooks import Playbook, load_playbook, select_playbook
from seawall_contracts.preparation import prepare
from seawall_contracts.reading import Reading, write_prompt


@cache
def playbook(name: str) -> Playbook:
    return load_playbook(name)


def bare(path: str, texts: str) -> bool:
    try:
        prepared = prepare(path, texts, nda=None)
    except DocumentError:
        return False
    reading = Reading.model_validate_json(read_prompt(write_prompt(prepared.questions())))
    review = assemble(prepared, reading, playbook(select_playbook(prepared.facts.document_type)))
    return bool(review.model_dump_json())


def measure_bare(folder: str, workers: int) -> float:
    plan = make_plan([folder], lambda sha256: sha256)
    paths = [files[0] for files in plan.files.values()]
    context = get_context("forkserver")
    context.set_forkserver_preload(["seawall_contracts.worker_desk"])
    with tempfile.TemporaryDirectory() as texts:
        started = time.perf_counter()
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            done = sum(pool.map(bare, paths, [texts] * len(paths), chunksize=4))
        return done / (time.perf_counter() - started)


def measure_whole(folder: str, workers: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "seawall_contracts", "review", folder, "--out", out, "--quiet"]
        code = subprocess.run([*command, "--workers", str(workers)], check=False).returncode
        if code not in {0, 3}:
            raise SystemExit(f"the review ended with status {code}")
        return json.loads((Path(out) / "run.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    before = measure_bare(asked.folder, asked.workers)
    whole = measure_whole(asked.folder, asked.workers)
    after = measure_bare(asked.folder, asked.workers)
    bare_rate = 2 / (1 / before + 1 / after)
    result = {
        "contracts": whole["contracts"],
        "workers": asked.workers,
        "whole_stack_contracts_per_second": round(whole["contracts_per_second"], 2),
        "bare_contracts_per_second": round(bare_rate, 2),
        "bare_before_and_after": [round(before, 2), round(after, 2)],
        "ratio": round(whole["contracts_per_second"] / bare_rate, 3),
        "peak_rss_mb": whole["peak_rss_mb"],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
