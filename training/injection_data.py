"""The public injection sets, and contract paragraphs as what must pass.

s-labs (MIT), neuralchemy (Apache-2.0), yanismiraoui (Apache-2.0), BIPIA's training attacks (MIT; Yi et al. 2023), the first
third of NotInject (MIT; Li and Liu 2024), CUAD and ContractNLI (CC BY 4.0).
"""

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seawall.defense.guards.injection.classifier import WINDOW
from seawall.defense.guards.injection.grams import Grams, read_grams
from seawall.defense.guards.injection.windows import sentences, sliding
from seawall.defense.guards.reading.normalise import normalise
from training.data import folds

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = DATA / "injection"
STRIDE = 8
LONGEST = 4000

Labelled = list[tuple[str, int]]
Stretch = tuple[Grams, int, int]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of a contract, normalised, its n-grams, and the fold of its filer."""

    text: str
    grams: Grams
    fold: int


def s_labs(part: str) -> Labelled:
    """Read `train` or `validation`: prompts, 1 for attacks."""
    with (SETS / f"s-labs__{part}.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text"], int(row["label"])) for row in csv.DictReader(file)]


def neuralchemy(part: str) -> Labelled:
    """Read `train` or `validation`: prompts, 1 for attacks."""
    lines = (SETS / f"neuralchemy__core-{part}.jsonl").read_text("utf-8").splitlines()
    return [(row["text"], int(row["label"])) for row in map(json.loads, lines)]


def yanismiraoui() -> Labelled:
    """Read attacks in several languages."""
    with (SETS / "yanismiraoui__prompt_injections.csv").open(encoding="utf-8", newline="") as file:
        return [(row["prompt_injections"], 1) for row in csv.DictReader(file)]


def notinject() -> list[str]:
    """Read harmless prompts that use an attack's words."""
    return [row["prompt"] for row in json.loads((SETS / "notinject_one.json").read_text("utf-8"))]


def bipia() -> list[tuple[str, str]]:
    """Read attacks to be put into documents, with their categories."""
    read = json.loads((SETS / "bipia_text_attack_train.json").read_text("utf-8"))
    return [(attack, category) for category, attacks in read.items() for attack in attacks]


def sentences_with_names() -> list[str]:
    """Read everyday sentences with personal data made up (Presidio's evaluation set, MIT)."""
    lines = (DATA / "pii" / "presidio_synth.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def split_paragraphs(text: str) -> list[str]:
    """Split a contract at empty lines; what is shorter than 40 characters is no paragraph."""
    return [part.strip() for part in re.split(r"\n\s*\n", text) if len(part.strip()) > 40]


def paragraphs() -> list[Paragraph]:
    """Read every paragraph of CUAD and ContractNLI, in five folds by filer or document."""
    texts = [
        (file.read_text("utf-8", errors="replace"), file.name.split("_", maxsplit=1)[0])
        for file in sorted((DATA / "cuad" / "txt").iterdir())
    ]
    for name in ("dev.json", "train_50.json"):
        read = json.loads((DATA / "contractnli" / name).read_text("utf-8"))
        texts += [(document["text"], f"nli {document['id']}") for document in read["documents"]]
    dealt = folds([owner for _, owner in texts], 5, seed=1)
    return [
        Paragraph(part, read_grams(part), int(fold))
        for (text, _), fold in zip(texts, dealt, strict=True)
        for part in split_paragraphs(normalise(text).text)
    ]


def openings() -> list[str]:
    """Read how contracts begin: cover pages, headings, parties; what people paste into a prompt."""
    files = sorted((DATA / "cuad" / "txt").iterdir())
    texts = (normalise(file.read_text("utf-8", errors="replace")[:3000]).text for file in files)
    return [text[:length] for text in texts for length in (400, 3000)]


def whole(text: str) -> Stretch:
    """Take a text as one stretch."""
    grams = read_grams(normalise(text[:LONGEST]).text)
    return grams, 0, len(grams)


def strided(text: str, grams: Grams, size: int) -> list[Stretch]:
    """Take a text's sentences, and its windows that begin every eighth word or after a sign."""
    windows = sliding(grams, size)
    kept = np.zeros(len(grams), np.bool_)
    kept[::STRIDE] = True
    kept[1:] |= grams.sign[:-1] != 0
    chosen = np.concatenate((windows[kept[windows[:, 0]]], sentences(grams, text)))
    return [(grams, int(first), int(last)) for first, last in np.unique(chosen, axis=0) if last - first > 2]


def pieces(text: str) -> list[Stretch]:
    """Take an attack the way the document head will meet it: whole where it is short, and in windows."""
    plain = normalise(text[:LONGEST]).text
    grams = read_grams(plain)
    found = strided(plain, grams, WINDOW["document"])
    return [*found, (grams, 0, len(grams))] if 2 < len(grams) <= 44 else found


def inserted(attack: str, paragraph: str, random: np.random.RandomState) -> str:
    """Put an attack between two sentences of a paragraph."""
    parts = re.split(r"(?<=[.;])\s", paragraph)
    at = random.randint(len(parts) + 1)
    return " ".join((*parts[:at], attack, *parts[at:]))


def attacks_of(rows: Iterable[tuple[str, int]], label: int = 1) -> list[str]:
    """Keep the texts with one label."""
    return [text for text, given in rows if given == label]
