"""Rebuilds the weights that ship and writes what cross-validation says of them: `python -m training`."""

import argparse
import json
import time
from importlib import import_module
from pathlib import Path

from training.model_card import write_card

ROOT = Path(__file__).resolve().parents[1]
METRICS = Path(__file__).with_name("metrics.json")
# Each is a module here with a `build(folder)` that writes its weights and returns its metrics.
WEIGHTS = {
    "clauses": "seawall_contracts/finder/weights",
    "nda": "seawall_contracts/finder/weights",
    "injection": "seawall/defense/guards/injection/weights",
}


def main() -> None:
    """Build the models named (all by default) below `--out`, and update the metrics of those."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="|".join(WEIGHTS))
    parser.add_argument("--out", type=Path, default=ROOT / "src", help="where the packages' folders are")
    parser.add_argument("--metrics", type=Path, default=METRICS)
    parser.add_argument("--card", type=Path, default=ROOT / "MODEL_CARD.md")
    chosen = parser.parse_args()
    if not set(chosen.models) <= WEIGHTS.keys():
        parser.error(f"unknown models {chosen.models}: expected some of {', '.join(WEIGHTS)}")
    metrics = json.loads(chosen.metrics.read_text("utf-8")) if chosen.metrics.exists() else {}
    for name in chosen.models or WEIGHTS:
        began = time.perf_counter()
        metrics[name] = import_module(f"training.{name}").build(chosen.out / WEIGHTS[name])
        print(f"{name}: done in {time.perf_counter() - began:.0f} s", flush=True)
    chosen.metrics.write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if WEIGHTS.keys() <= metrics.keys():
        chosen.card.write_text(write_card(metrics, chosen.out), encoding="utf-8")


if __name__ == "__main__":
    main()
