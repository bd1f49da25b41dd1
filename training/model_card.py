"""Writes MODEL_CARD.md from the measured figures, so that the card cannot say what was not measured."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seawall.foundation.compliance.pii_tagger import WEIGHTS as NAMES
from seawall_contracts.finder.hypotheses import HYPOTHESES
from seawall_contracts.finder.names import CLAUSES, CORE_CLAUSES
from training.model_card_guards import guard_sections

SOURCES = Path(__file__).resolve().parents[1] / "src"
REVIEWER = "seawall_contracts/finder/weights"
INJECTION = "seawall/defense/guards/injection/weights"

CARD = """\
# Model card: the local reviewer

Written by `make train` from what cross-validation measured; `training/metrics.json` has the figures in full.

**What it is.** Two steps, with the prompt between them. A retriever (linear, on words and pairs of words) picks up to five passages of a contract
for each of {clauses} clause types, three for each of {hypotheses} NDA hypotheses. A reader sees what any other model would see, those passages and the retriever's
scores, and answers: logistic models and boosted trees, calibrated. numpy at run time; {size} of arrays and JSON, no pickle; the same answer every time.

**What it is for.** To triage English-language commercial contracts: where to look, what is usual, what a lawyer must read. It abstains on about a fifth of its
answers and says "needs a lawyer". It is no legal advice, and no substitute for reading a contract that matters.

**What it cannot do.** It knows clause types, not their effect: a limitation that is void where the contract is governed is a limitation to it. Answers outside the {clauses} types
and {hypotheses} hypotheses do not exist. Hypotheses that hardly ever contradict in the data are practically never answered "Contradiction". Contracts unlike American filings of 1996 to
2020 (other languages, consumer terms, handwriting) are outside what was measured. Labels disagree with each other in the weak types, and so does it.

## Clauses (CUAD)

{contracts} contracts, five folds grouped by filer, nested: nothing that decides anything saw the fold it is measured on. From raw text through the shipped code.

| over the {core} core types | |
|---|---|
| presence, mean F1 | **{f1:.3f}** (folds {folds}) |
| presence, mean F1 where it does not abstain ({answered:.0%} of answers) | **{f1_kept:.3f}** |
| gold passage first / in the top three / in the five | {top1:.3f} / **{top3:.3f}** / {top5:.3f} |
| calibration error (ECE) | **{ece:.3f}** |

| clause | contracts with it | presence F1 | F1 not abstained | share answered | top 3 |
|---|---|---|---|---|---|
{clause_rows}

Types with few contracts have wide margins; differences under .025 are noise.

## NDA checks (ContractNLI)

111 NDAs with full text, five folds grouped by document, nested; pseudo-NDAs rebuilt from the sentence pairs are used for training only.

| over all {pairs:,} pairs | |
|---|---|
| accuracy | **{accuracy:.3f}** |
| contradiction F1, micro | **{contradiction:.3f}** |
| accuracy where it does not abstain ({nda_answered:.0%} of answers) | **{accuracy_kept:.3f}** |
| calibration error (ECE) | {nda_ece:.3f} |

| hypothesis | | accuracy | contradiction F1 (count) | abstained | accuracy not abstained |
|---|---|---|---|---|---|
{nda_rows}

The approach was chosen by comparing variants on these same folds: expect a little less on contracts that nobody has seen.

## Data and attribution

- **CUAD v1**: Hendrycks, Burns, Chen, Ball, "CUAD: An Expert-Annotated NLP Dataset for Legal Contract Review", 2021, The Atticus Project. CC BY 4.0.
- **ContractNLI**: Koreeda, Manning, "ContractNLI: A Dataset for Document-level Natural Language Inference for Contracts", Findings of EMNLP 2021. CC BY 4.0.

The weights are adapted from both and may be used under this project's licence with this attribution. The data itself is not part of the project.

## Rebuild

    make train        # needs the data folder beside the repository; about twenty minutes on one core; the same bytes each time
"""


def write_card(metrics: Mapping[str, Any], out: Path) -> str:
    """Return the card as Markdown; KeyError where `metrics` lacks a figure that it states.

    `out` is where the packages' folders are, with the weights that were trained; of others it says the size of those that ship.
    """
    clauses, nda = metrics["clauses"], metrics["nda"]
    every = nda["all"]
    card = CARD.format(
        clauses=len(CLAUSES),
        hypotheses=len(HYPOTHESES),
        core=len(CORE_CLAUSES),
        size=f"{_size(out, REVIEWER) / 1e6:.1f} MB",
        contracts=clauses["by_clause"]["Governing Law"]["contracts"],
        f1=clauses["presence_f1"],
        folds=", ".join(f"{fold:.3f}" for fold in clauses["presence_f1_over_folds"]),
        answered=clauses["answered"],
        f1_kept=clauses["presence_f1_kept"],
        top1=clauses["top1"],
        top3=clauses["top3"],
        top5=clauses["top5"],
        ece=clauses["calibration_error"],
        clause_rows="\n".join(_clause_rows(clauses["by_clause"])),
        pairs=every["pairs"],
        accuracy=every["accuracy"],
        contradiction=every["contradiction_f1"],
        nda_answered=1 - every["abstained"],
        accuracy_kept=every["accuracy_kept"],
        nda_ece=every["calibration_error"],
        nda_rows="\n".join(_nda_rows(nda["by_hypothesis"])),
    )
    return card + guard_sections(metrics, _size(out, INJECTION), NAMES.stat().st_size)


def _size(out: Path, folder: str) -> int:
    """Add up the bytes of the weights in a folder below `out`, or of those that ship where it has none."""
    trained = out / folder
    return sum(file.stat().st_size for file in (trained if trained.is_dir() else SOURCES / folder).iterdir())


def _clause_rows(by_clause: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for name in CLAUSES:
        row = by_clause[name]
        shown = f"**{name}**" if name in CORE_CLAUSES else name
        figures = " | ".join(f"{row[key]:.2f}" for key in ("f1", "f1_kept", "answered", "top3"))
        yield f"| {shown} | {row['with_clause']} | {figures} |"


def _nda_rows(by_hypothesis: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for id_, text in HYPOTHESES.items():
        row = by_hypothesis[id_]
        contradictions = f"{row['contradiction_f1']:.2f} ({row['contradictions']})"
        figures = (
            f"{row['accuracy']:.2f} | {contradictions} | {row['abstained']:.2f} | {row['accuracy_kept']:.2f}"
        )
        yield f"| {id_} | {text} | {figures} |"
