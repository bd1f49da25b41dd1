"""What the finders of personal data find and miss, and in what time: `python -m benchmarks.pii [--presidio PYTHON]`.

On the labelled sentences, the half that the tagger learnt from and the half that it did not; on the first 50 of CUAD's
contracts, which it did not see either; on 10 MB of hostile text. A span counts as found where one of the same type
overlaps it. The people found in contracts go to `out/pii_people.json`. The last line is one JSON object.
"""

import argparse
import hashlib
import json
import multiprocessing
import platform
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seawall.foundation.compliance.pii import Entity, find_pii
from seawall.foundation.compliance.pii_thorough import find_pii_thorough

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
PEOPLE = ROOT / "out" / "pii_people.json"
CONTRACTS = 50
HOSTILE = (
    "a@b.co ",
    "Mr. ",
    "Name: Jane Roe\n",
    "1.1.1.1 ",
    "+1 212 555 0123 ",
    "ab12 ",
    "4111 1111 1111 1111 ",
    "A B ",
    "1-",
    "é",
)
_ROLES = (
    "agent agreement buyer client company consultant contractor customer distributor employer franchisee franchisor guarantor "
    "holder landlord lender lessee lessor licensee licensor manufacturer owner parties party purchaser recipient reseller "
    "seller supplier tenant vendor"
)
ROLES = frozenset(_ROLES.split())
_TERM = r"[\"“‘']([A-Za-z][A-Za-z &/-]{0,40})[,.]?[\"”’']"
# Not the rules that the finder goes by: whatever stands in quotation marks in brackets, first in a line, before a verb or a mark.
_QUOTED = (
    re.compile(rf"(?m)(?:\([^()\n]{{0,80}}|^[ \t]*){_TERM}"),
    re.compile(rf"{_TERM},?\s(?:means|shall|stands|refers|has|is|and|or|[\"“])"),
)

Span = tuple[int, int, str]
Labelled = tuple[str, list[Span]]
Finder = Callable[[str], list[Entity]]


def read_labelled() -> list[Labelled]:
    """Read the labelled sentences."""
    lines = (DATA / "pii" / "presidio_synth.jsonl").read_text("utf-8").splitlines()
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [(row["text"], [(s["start"], s["end"], s["type"]) for s in row["spans"]]) for row in rows]


def learnt(text: str) -> bool:
    """Whether a sentence is of the half that the tagger learnt from: as `training.names` has it."""
    return hashlib.sha256(text.encode()).digest()[-1] % 2 == 0


def template(row: Labelled) -> str:
    """Return a sentence with its spans named and not spelt out: what many sentences share."""
    text = row[0]
    for start, end, kind in sorted(row[1], reverse=True):
        text = f"{text[:start]}<{kind}>{text[end:]}"
    return " ".join(text.lower().split())


def scores(rows: Sequence[Labelled], found: Sequence[Sequence[Span]]) -> dict[str, dict[str, float]]:
    """Count, for each type, labelled spans that are overlapped by a found one, and found ones that overlap none."""
    hit: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for (_, spans), got in zip(rows, found, strict=True):
        for start, end, kind in spans:
            among = hit if any(k == kind and s < end and start < e for s, e, k in got) else missed
            among[kind] += 1
        for start, end, kind in got:
            false[kind] += not any(k == kind and s < end and start < e for s, e, k in spans)
    return {kind: _figures(hit[kind], missed[kind], false[kind]) for kind in sorted({*hit, *missed, *false})}


def _figures(hit: int, missed: int, false: int) -> dict[str, float]:
    precision, recall = hit / max(1, hit + false), hit / max(1, hit + missed)
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    return {
        "labelled": hit + missed,
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "f1": round(f1, 3),
    }


def timed(find: Finder, texts: Sequence[str]) -> tuple[list[list[Span]], float]:
    """Return what is found in each text, and the least seconds of processor time that three rounds took."""
    best = float("inf")
    found: list[list[Span]] = []
    for _ in range(3):
        started = time.process_time()
        found = [[(one.start, one.end, one.kind) for one in find(text)] for text in texts]
        best = min(best, time.process_time() - started)
    return found, best


def sentences(presidio: str | None) -> dict[str, Any]:
    """Measure the labelled sentences, ours and Presidio's on the same ones."""
    rows = read_labelled()
    texts = [text for text, _ in rows]
    found, seconds = timed(find_pii_thorough, texts)
    seen = {template(row) for row in rows if learnt(row[0])}
    parts = {
        "learnt half": [learnt(text) for text in texts],
        "held-out half": [not learnt(text) for text in texts],
        "held-out half, templates of its own": [
            not learnt(row[0]) and template(row) not in seen for row in rows
        ],
    }

    def by_part(spans: Sequence[Sequence[Span]]) -> dict[str, Any]:
        return {
            name: {"sentences": sum(mask), **scores(*_masked(rows, spans, mask))}
            for name, mask in parts.items()
        }

    report: dict[str, Any] = {
        "seawall": by_part(found),
        "us_per_sentence": round(seconds / len(texts) * 1e6, 1),
    }
    characters = sum(map(len, texts))
    report["us_per_1000_characters"] = round(seconds / characters * 1e9, 1)
    if presidio is not None:
        script = Path(__file__).with_name("pii_presidio.py")
        run = subprocess.run(
            [presidio, str(script)], input=json.dumps(texts), capture_output=True, text=True, check=True
        )
        theirs = json.loads(run.stdout.splitlines()[-1])
        report["presidio"] = by_part([[(s, e, k) for s, e, k in spans] for spans in theirs["spans"]])
        report["presidio_us_per_sentence"] = round(theirs["seconds"] / len(texts) * 1e6, 1)
        report["times_faster"] = round(theirs["seconds"] / seconds, 1)
    return report


def _masked(
    rows: Sequence[Labelled], spans: Sequence[Sequence[Span]], mask: Sequence[bool]
) -> tuple[list[Labelled], list[Sequence[Span]]]:
    return [row for row, kept in zip(rows, mask, strict=True) if kept], [
        got for got, kept in zip(spans, mask, strict=True) if kept
    ]


def contracts() -> dict[str, Any]:
    """Count the people found in contracts, and those among them that are roles, or terms that the contract quotes."""
    report: dict[str, Any] = {}
    sample: dict[str, dict[str, dict[str, int]]] = {}
    texts = [
        (path.name, path.read_text("utf-8")) for path in sorted((DATA / "cuad" / "txt").iterdir())[:CONTRACTS]
    ]
    for name, find in (("thorough", find_pii_thorough), ("cautious", find_pii)):
        people: Counter[str] = Counter()
        terms = 0
        started = time.process_time()
        for file, text in texts:
            quoted = {
                " ".join(match.group(1).lower().split()) for term in _QUOTED for match in term.finditer(text)
            }
            own = Counter(
                " ".join(text[one.start : one.end].split()) for one in find(text) if one.kind == "PERSON"
            )
            terms += sum(
                count
                for person, count in own.items()
                if person.lower().removeprefix("the ") in quoted | ROLES
            )
            people += own
            sample.setdefault(file, {})[name] = dict(own.most_common())
        seconds = time.process_time() - started
        report[name] = {
            "people": people.total(),
            "defined_terms_taken_for_people": terms,
            "us_per_1000_characters": round(seconds / sum(len(text) for _, text in texts) * 1e9, 1),
        }
    PEOPLE.parent.mkdir(exist_ok=True)
    PEOPLE.write_text(json.dumps(sample, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def hostile() -> dict[str, Any]:
    """Time 10 MB of each hostile text in a process of its own, which also says how much memory it came to."""
    report: dict[str, Any] = {}
    for unit in HOSTILE:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            report[unit] = pool.apply(_hostile, (unit,))
    return report


def _hostile(unit: str) -> dict[str, float]:
    text = unit * (10_000_000 // len(unit))
    started = time.process_time()
    count = len(find_pii(text))
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 2), "peak_mb": round(peak), "found": count}


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pii", description=__doc__)
    parser.add_argument(
        "--presidio", metavar="PYTHON", help="the Python of an environment that has presidio-analyzer"
    )
    chosen = parser.parse_args()
    report = {
        "sentences": sentences(chosen.presidio),
        "contracts": contracts(),
        "hostile_10_mb": hostile(),
        "machine": {
            "python": sys.version.split()[0],
            "system": platform.platform(),
            "processor": platform.machine(),
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
