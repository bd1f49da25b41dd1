"""Instructions smuggled into text, found by signature: the cheap layer, with offsets into the original."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from seawall.defense.guards.guard import Context, GuardInput, Verdict
from seawall.defense.guards.injection.signature import Signature
from seawall.defense.guards.injection.signatures_anywhere import ANYWHERE
from seawall.defense.guards.injection.signatures_document import IN_DOCUMENTS
from seawall.defense.guards.injection.signatures_prompt import IN_PROMPTS
from seawall.defense.guards.reading.peel import UNREAD, peel
from seawall.defense.guards.reading.stretches import OVERLAP, Stretch, squeeze, stretches
from seawall.foundation.errors import ConfigError
from seawall.foundation.patterns import PatternSet

_MAX_CHARACTERS = 4_000_000
_MAX_HITS = 200
# Signs seen, of which many may make one hit: past them the rest of the text is one hit, unread.
_MAX_SIGNS = 2_000
_REACH = 300
_USUAL = frozenset(("model_output", "hidden"))
_TAGS = re.compile(r"<(?:html|head|body|div|p|span|table|td|li|ul|a|h[1-6]|style|section)\b", re.IGNORECASE)
_PAGE_HEAD, _PAGE_TAGS = 20_000, 3

_BORDER = re.compile(r"[.!?][\"'”’)]?\s|\n\s*\n")
# In these a letter stands for a letter, and the sentence is the writer's own; nothing is hidden.
_IN_THE_OPEN = frozenset({("leet",)})


@dataclass(frozen=True, slots=True)
class Hit:
    """A sentence that speaks to a model: its place in the original, half open, why, and how certain (0 to 1)."""

    start: int
    end: int
    code: str
    score: float


class _Book:
    """Signatures, and all of them as one automaton: reading a text once says which to look for."""

    def __init__(self, signatures: tuple[Signature, ...]) -> None:
        self.signatures = signatures
        self.any = PatternSet(signature.pattern for signature in signatures)


_DOCUMENT = _Book(ANYWHERE + IN_DOCUMENTS)
_PROMPT = _Book(ANYWHERE + IN_PROMPTS)


def find_injection(text: str, context: Context = "prompt") -> list[Hit]:
    """Find sentences with instructions to a model, in order of place, none overlapping another.

    In a document (a contract, a tool's result) only what a document has no business to say; in a prompt also
    attempts on the model's rules. Disguises are seen through: see `peel`; a text that holds more of them than can
    be peeled is a hit itself. Signatures know wording, not meaning: a new wording passes. Time is linear in the
    text, memory bounded by a stretch of it. At most 200 hits are reported, the last of which then covers all that
    follow.
    """
    book = _DOCUMENT if context == "document" else _PROMPT
    squeezed = squeeze(text)
    found = _found(squeezed.text, book)
    usual = _usual_in(text) if any(hit.code in _USUAL for hit in found) else frozenset[str]()
    hits = _merge([hit for hit in found if hit.code not in usual])
    return [Hit(*squeezed.original_span(hit.start, hit.end), hit.code, hit.score) for hit in hits]


def _usual_in(text: str) -> frozenset[str]:
    """Say which codes mean nothing here: data in the shape of an answer, where all of the text is data; style sheets
    that hide, in a web page.
    """
    if text.lstrip()[:1] in {"{", "["}:
        with suppress(ValueError, RecursionError):
            json.loads(text)
            return frozenset(("model_output",))
    return frozenset(("hidden",)) if len(_TAGS.findall(text[:_PAGE_HEAD])) >= _PAGE_TAGS else frozenset()


def _found(text: str, book: _Book) -> list[Hit]:
    found: list[Hit] = []
    for stretch in stretches(text):
        for hit in _scan(stretch, book):
            found.append(hit)
            if len(found) >= _MAX_SIGNS:
                # Decoys must not hide what comes after them: the last hit covers the rest.
                return [*found, Hit(stretch.first, len(text), hit.code, hit.score)]
    return found


def _scan(stretch: Stretch, book: _Book) -> Iterator[Hit]:
    if stretch.is_padded:
        end = stretch.offset + len(stretch.text)
        yield Hit(end - OVERLAP, end, "hidden", 0.9)
    for layer in peel(stretch.text, stretch.offset):
        if layer.how[-1:] == (UNREAD,):
            yield Hit(layer.start, layer.end, "disguised", 0.8)
        for hit in _signed(layer.text, book):
            start, end = layer.original_span(hit.start, hit.end)
            if layer.how:
                yield _disguised(Hit(start, end, hit.code, hit.score), layer.how, stretch)
            elif stretch.first <= start < stretch.last:
                whole = _sentence(layer.text, hit)
                yield Hit(*layer.original_span(whole.start, whole.end), hit.code, hit.score)


def _disguised(hit: Hit, how: tuple[str, ...], stretch: Stretch) -> Hit:
    code, score = (hit.code, hit.score) if how in _IN_THE_OPEN else ("disguised", hit.score)
    offset = stretch.offset
    whole = _sentence(stretch.text, Hit(hit.start - offset, hit.end - offset, code, score))
    return Hit(whole.start + offset, whole.end + offset, code, score)


def _signed(text: str, book: _Book) -> Iterator[Hit]:
    for number in book.any.matching(text):
        signature = book.signatures[number]
        for seen, match in enumerate(signature.pattern.finditer(text)):
            if seen >= _MAX_HITS:
                # Decoys must not hide what comes after them: the last hit covers the rest.
                yield Hit(match.start(), len(text), signature.code, signature.score)
                break
            if not _excused(signature, text, match.start(), match.end()):
                yield Hit(match.start(), match.end(), signature.code, signature.score)


def _excused(signature: Signature, text: str, start: int, end: int) -> bool:
    if signature.unless is None:
        return False
    around = f"{text[max(0, start - 40) : start]}\0{text[end : end + 40]}"
    return signature.unless.search(around) is not None


def _sentence(text: str, hit: Hit) -> Hit:
    first = hit.start
    while first < hit.end - 1 and not text[first].isalnum():
        first += 1
    start = max(0, first - _REACH)
    for border in _BORDER.finditer(text, start, first):
        start = border.end()
    border = _BORDER.search(text, max(hit.start, hit.end - 1), min(len(text), hit.end + _REACH))
    end = border.end() if border is not None else min(len(text), hit.end + _REACH)
    while end > hit.start + 1 and text[end - 1].isspace():
        end -= 1
    while start < end - 1 and text[start].isspace():
        start += 1
    return Hit(start, end, hit.code, hit.score)


def _merge(hits: list[Hit]) -> list[Hit]:
    merged: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.score)):
        last = merged[-1] if merged else None
        if last is not None and (hit.start < last.end or len(merged) == _MAX_HITS):
            best = max(last, hit, key=lambda one: one.score)
            merged[-1] = Hit(last.start, max(last.end, hit.end), best.code, best.score)
        else:
            merged.append(hit)
    return merged


@dataclass(frozen=True, slots=True)
class InjectionGuard:
    """Blocks text with instructions to a model; `context` None judges each text by its own context."""

    context: Context | None
    threshold: float
    name: str = "injection"
    cost: float = 0.15
    max_characters: int = _MAX_CHARACTERS

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge; the reason code is that of the most certain hit, the spans are all of them."""
        hits = [
            hit
            for hit in find_injection(value.text, self.context or value.context)
            if hit.score >= self.threshold
        ]
        if not hits:
            return Verdict(outcome="allow", guard=self.name)
        worst = max(hits, key=lambda hit: hit.score)
        spans = tuple((hit.start, hit.end) for hit in hits)
        return Verdict(
            outcome="block", guard=self.name, reason_code=worst.code, score=worst.score, spans=spans
        )


def injection(*, context: Context | None = None, threshold: float = 0.75) -> InjectionGuard:
    """Make a guard that blocks instructions smuggled into text.

    `context` overrides what each text says it is: an agent whose prompts consist of documents takes
    `context="document"`. ConfigError unless 0 < threshold <= 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold {threshold!r} must be above 0 and at most 1, such as 0.75")
    return InjectionGuard(context, threshold)
