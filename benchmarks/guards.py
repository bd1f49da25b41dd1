"""What each guard layer costs, what it finds, and what it flags by mistake; what a limit costs.

Microseconds are processor time a check at 200, 1,000 and 10,000 characters of contract English, next to copying the text
in the same run. Rates are of the shipped guard on public sets. It was trained on the same sets, so those rates flatter:
`cross_validated` is what folds left out said when it was trained. Sets that are not at hand are left out. The last
line is one JSON object.
"""

import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.limits import figures as limiter_figures
from seawall.defense.guards import GuardInput, exfiltration, find_leak, injection, secrets, size
from seawall.defense.guards.guard import Context, Guard
from seawall.defense.guards.injection.classifier import default_classifier
from seawall.defense.guards.injection.find import find_injection
from seawall.defense.guards.reading.normalise import normalise
from seawall.defense.guards.reading.peel import peel

SIZES = (200, 1_000, 10_000)
ROUNDS = 7
SENTENCE = (
    "The Receiving Party shall not, without the prior written consent of the Disclosing Party, disclose any of the "
    "45 items listed in Schedule 2(b) to any person other than its employees, agents and advisers. "
)
METRICS = Path(__file__).resolve().parents[1] / "training" / "metrics.json"
CONTRACTS = 60


def cpu_us(work: Callable[[str], object], text: str) -> float:
    """Time one call on one text: the median of several rounds, in microseconds of processor time."""
    calls = max(20, 200_000 // len(text))
    samples: list[float] = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(calls):
            work(text)
        samples.append((time.process_time() - started) / calls * 1e6)
    return round(statistics.median(samples), 2)


def guarding(guard: Guard, context: Context) -> Callable[[str], object]:
    """Call a guard on a text in one context."""
    return lambda text: guard(GuardInput(text, context))


def layers() -> dict[str, Callable[[str], object]]:
    """Name each layer and what calls it."""
    classifier = default_classifier()
    whole = injection()
    return {
        "baseline: copy the text": lambda text: (text + " ").upper(),
        "size": guarding(size("4 MB"), "document"),
        "normalise": normalise,
        "normalise and peel": peel,
        "signatures, all deterministic layers (prompt)": lambda text: find_injection(text, "prompt"),
        "signatures, all deterministic layers (document)": lambda text: find_injection(text, "document"),
        "classifier (prompt)": lambda text: classifier.judge(text, "prompt"),
        "classifier (document)": lambda text: classifier.judge(text, "document"),
        "injection, all layers (prompt)": guarding(whole, "prompt"),
        "injection, all layers (document)": guarding(whole, "document"),
        "secrets": guarding(secrets(), "output"),
        "exfiltration": guarding(exfiltration(), "output"),
        "canary": lambda text: find_leak(text, (SENTENCE[:60] * 3,), ("0123456789abcdef01234567",)),
    }


def speed() -> dict[str, dict[str, float]]:
    """Time every layer at every size."""
    text = SENTENCE * (max(SIZES) // len(SENTENCE) + 1)
    return {
        name: {f"{count} characters": cpu_us(work, text[:count]) for count in SIZES}
        for name, work in layers().items()
    }


def blocked(texts: Sequence[str], context: Context) -> float:
    """Return the share of texts that the shipped guard blocks."""
    guard = injection()
    return round(sum(guard(GuardInput(one, context)).outcome == "block" for one in texts) / len(texts), 4)


def rates() -> dict[str, dict[str, float | int]]:
    """Return recall or false alarms on each public set that is at hand."""
    from training import injection_data as data

    if not data.SETS.exists():
        sys.stdout.write("no public sets at hand, so no rates of them; see cross_validated\n")
        return {}
    found: dict[str, dict[str, float | int]] = {}
    for name, rows in (
        ("s-labs validation", data.s_labs("validation")),
        ("neuralchemy validation", data.neuralchemy("validation")),
    ):
        attacks, harmless = data.attacks_of(rows), data.attacks_of(rows, 0)
        found[name] = {
            "texts": len(rows),
            "recall": blocked(attacks, "prompt"),
            "false_alarms": blocked(harmless, "prompt"),
        }
    found["NotInject"] = {
        "texts": len(data.notinject()),
        "false_alarms": blocked(data.notinject(), "prompt"),
    }
    chosen = random.Random(7)
    files = chosen.sample(sorted((data.DATA / "cuad" / "txt").iterdir()), CONTRACTS)
    paragraphs = [part for file in files for part in data.split_paragraphs(file.read_text("utf-8"))]
    found["contract paragraphs"] = {
        "texts": len(paragraphs),
        "false_alarms": blocked(paragraphs, "document"),
    }
    hosts = [part for part in paragraphs if 200 < len(part) < 1500]
    put = [inserted(attack, chosen.choice(hosts), chosen) for attack, _ in data.bipia() for _ in range(4)]
    found["BIPIA text attacks in contract paragraphs"] = {
        "texts": len(put),
        "recall": blocked(put, "document"),
    }
    return found


def inserted(attack: str, paragraph: str, chosen: random.Random) -> str:
    """Put an attack between two sentences."""
    parts = paragraph.split(". ")
    at = chosen.randrange(len(parts) + 1)
    return ". ".join((*parts[:at], attack, *parts[at:]))


def main() -> None:
    """Measure everything and print it."""
    times, shares, (memory, redis) = speed(), rates(), limiter_figures()
    for name, by_size in times.items():
        sys.stdout.write(f"{name:50} " + "  ".join(f"{value:10.1f} µs" for value in by_size.values()) + "\n")
    for name, values in shares.items():
        sys.stdout.write(f"{name:50} {values}\n")
    trained = json.loads(METRICS.read_text("utf-8")).get("injection", {})
    result: dict[str, object] = {
        "benchmark": "guards",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "us_per_check": times,
        "limiter": {**memory, **redis},
        "sets": shares,
        "cross_validated": trained,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
