"""The guard against injection: signatures first, then a classifier for wordings that nobody has written down."""

from dataclasses import dataclass
from math import exp
from typing import Literal

import numpy as np

from seawall.defense.guards.guard import Context, GuardInput, Verdict
from seawall.defense.guards.injection.classifier import Judged, default_classifier
from seawall.defense.guards.injection.find import Hit, find_injection
from seawall.defense.guards.reading.peel import UNREAD, Layer, peel
from seawall.defense.guards.reading.stretches import stretches
from seawall.foundation.errors import ConfigError

_MAX_CHARACTERS = 4_000_000
_MOST = 8
# Signatures this certain need no second opinion.
FIRM = 0.9
SURE = 0.75
# What a soft signature says stands, unless the classifier is this far from agreeing.
DISAGREES = -2.0
# A margin of nought scores as much as the default threshold.
_SCALE = 3.0

_Head = Literal["prompt", "document"]


@dataclass(frozen=True, slots=True)
class InjectionGuard:
    """Blocks text with instructions to a model; made by `injection`. What a model says itself is not judged."""

    context: Context | None
    threshold: float
    classify: bool
    name: str = "injection"
    cost: float = 0.6
    max_characters: int = _MAX_CHARACTERS
    cacheable: bool = True

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge; the reason code is that of the most certain hit, the spans are all of them."""
        if value.context not in {"prompt", "document"}:
            return Verdict(outcome="allow", guard=self.name)
        head: _Head = "document" if (self.context or value.context) == "document" else "prompt"
        hits = find_attacks(value.text, head) if self.classify else find_injection(value.text, head)
        sure = [hit for hit in hits if hit.score >= self.threshold]
        if not sure:
            score = max((hit.score for hit in hits), default=0.0)
            return Verdict(outcome="allow", guard=self.name, score=score)
        worst = max(sure, key=lambda hit: hit.score)
        spans = tuple(dict.fromkeys((hit.start, hit.end) for hit in sure))
        return Verdict(
            outcome="block", guard=self.name, reason_code=worst.code, score=worst.score, spans=spans
        )


def injection(
    *, context: Context | None = None, threshold: float = SURE, classify: bool = True
) -> InjectionGuard:
    """Make a guard that blocks instructions smuggled into text.

    `context` overrides what each prompt or document says it is: an agent whose prompts consist of documents takes
    `context="document"`. With `classify=False` signatures alone decide: fewer attacks are found, and next to nothing
    else. The classifier flags about three clean paragraphs of contracts in a thousand, so that a long contract
    judged as one text is better judged without it. ConfigError unless 0 < threshold <= 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold {threshold!r} must be above 0 and at most 1, such as 0.75")
    return InjectionGuard(context, threshold, classify)


def find_attacks(text: str, head: _Head) -> list[Hit]:
    """Find what signatures or the classifier take for an attack, and the most suspicious stretch if there is none.

    Hits are in order of place and may overlap; scores below 0.75 are suspicions. Time is linear in the text.
    """
    signed = find_injection(text, head)
    if any(hit.score >= FIRM for hit in signed):
        return signed
    found: list[Hit] = []
    agreed = [head == "document"] * len(signed)
    for stretch in stretches(text):
        for layer in peel(stretch.text, stretch.offset):
            if layer.how[-1:] == (UNREAD,):
                continue
            said = default_classifier().judge(layer.text, head)
            found += _hits(layer, said)
            for number, hit in enumerate(signed):
                agreed[number] = agreed[number] or _agrees(layer, said, hit)
    upheld = (hit for hit, does in zip(signed, agreed, strict=True) if does)
    return sorted([*upheld, *found], key=lambda hit: hit.start)


def _hits(layer: Layer, said: Judged) -> list[Hit]:
    code = "disguised" if layer.how else "classifier"
    return [
        Hit(*layer.original_span(start, end), code, _score(margin))
        for start, end, margin in said.worst(_MOST)
    ]


def _agrees(layer: Layer, said: Judged, hit: Hit) -> bool:
    """Say whether the classifier does not hold the opposite of what a signature saw there."""
    if layer.how:
        return layer.start < hit.end and layer.end > hit.start
    for at in np.flatnonzero(said.margin > DISAGREES).tolist():
        start, end = layer.original_span(int(said.start[at]), int(said.end[at]))
        if start < hit.end and end > hit.start:
            return True
    return False


def _score(margin: float) -> float:
    return _SCALE / (_SCALE + exp(-min(max(margin, -30.0), 30.0)))
