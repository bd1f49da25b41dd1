"""Rebuilds the local reviewer's weights and writes what cross-validation says of them: `python -m training`."""

import argparse
import json
import time
from pathlib import Path

from training.model_card import write_card

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "src" / "seawall_contracts" / "finder" / "weights"
METRICS = Path(__file__).with_name("metrics.json")
MODELS = ("clauses", "nda")


def main() -> None:
    """Build the models named (both by default) into `--out`, and update the metrics of those."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="clauses|nda")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--metrics", type=Path, default=METRICS)
    parser.add_argument("--card", type=Path, default=ROOT / "MODEL_CARD.md")
    chosen = parser.parse_args()
    if not set(chosen.models) <= set(MODELS):
        parser.error(f"unknown models {chosen.models}: expected some of {MODELS}")
    metrics = json.loads(chosen.metrics.read_text("utf-8")) if chosen.metrics.exists() else {}
    for name in chosen.models or MODELS:
        began = time.perf_counter()
        if name == "clauses":
            from training.clauses import build
        else:
            from training.nda import build
        metrics[name] = build(chosen.out)
        print(f"{name}: done in {time.perf_counter() - began:.0f} s", flush=True)
    chosen.metrics.write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if {"clauses", "nda"} <= metrics.keys():
        size = sum(path.stat().st_size for path in chosen.out.iterdir())
        chosen.card.write_text(write_card(metrics, size), encoding="utf-8")


if __name__ == "__main__":
    main()
