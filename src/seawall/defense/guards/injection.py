"""Instructions smuggled into text, found by signature: the cheap layer, with offsets into the original."""

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from seawall.defense.guards.guard import Context, GuardInput, Verdict
from seawall.defense.guards.normalise import Folding, normalise
from seawall.defense.guards.signature import Signature
from seawall.defense.guards.signatures_anywhere import ANYWHERE
from seawall.defense.guards.signatures_document import IN_DOCUMENTS
from seawall.defense.guards.signatures_prompt import IN_PROMPTS
from seawall.foundation.errors import ConfigError
from seawall.foundation.patterns import PatternSet, compile_pattern, scannable

_MAX_CHARACTERS = 4_000_000
_MAX_HITS = 200
_REACH = 300
_DEPTH = 2

_BORDER = re.compile(r"[.!?][\"'”’)]?\s|\n\s*\n")
# Where letters were spaced out, words cannot be told apart.
_COMPACT = compile_pattern(
    r"(?i)(?:ignore|disregard|forget|override|bypass)(?:all|any|the|your|of|my)*"
    r"(?:previous|prior|above|earlier|system)?(?:instructions?|prompts?|rules|guidelines|safety)"
    r"|(?:reveal|show|print|repeat)(?:me|the|your|all)*(?:system|hidden|initial)?"
    r"(?:prompt|instructions|password|secret)|jailbreak|doanythingnow|developermode"
)
_SPACED = compile_pattern(r"(?i)\b(?:[a-z][ .*_-]){4,}[a-z]\b")
_BLOB = compile_pattern(
    r"[A-Za-z0-9+/_-]{32,}(?:\r?\n[A-Za-z0-9+/_-]{16,})*={0,2}|(?:\\x[0-9a-fA-F]{2}){12,}|(?:[0-9a-fA-F]{2}[ :]){16,}"
)
_NOT_HEX = re.compile(r"\\x|[ :\s]")
_URL_SAFE = str.maketrans("-_", "+/")
_READABLE = bytes((*range(0x20, 0x7F), 0x09, 0x0A, 0x0D))
_LEET = compile_pattern(
    r"(?i)[a-z0134578@$!|+]*(?:[a-z][0134578@$!|+]+[a-z]|\b[0134578@$!|+]+[a-z]{2})[a-z0134578@$!|+]*"
)
_UNLEET = str.maketrans("0134578@$!|+", "oieastbasiit")


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
    attempts on the model's rules. Disguises are seen through: look-alike letters, invisible characters, spaced-out
    letters, digits for letters, base64 and hex. Signatures know wording, not meaning: a new wording passes. Time is
    linear in the text. At most 200 hits are reported, the last of which then covers all that follow.
    """
    return list(_scan(text, _DOCUMENT if context == "document" else _PROMPT, _DEPTH))


def _scan(text: str, book: _Book, depth: int) -> list[Hit]:
    folded = normalise(scannable(text))
    found = list(_signed(folded.text, book))
    plain = _unleet(folded.text)
    if plain != folded.text:
        found.extend(_signed(plain, book))
    found.extend(_spaced(folded.text, book))
    if folded.text.count("\\") > len(folded.text) // 5 and any(_signed(folded.text.replace("\\", ""), book)):
        found.append(Hit(0, len(folded.text), "disguised", 0.9))
    if depth:
        found.extend(_encoded(folded.text, book, depth - 1))
    merged = _merge([_sentence(folded.text, hit) for hit in found])
    return [Hit(*folded.original_span(hit.start, hit.end), hit.code, hit.score) for hit in merged]


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


def _unleet(text: str) -> str:
    """Turn digits that stand among letters into letters, one for one, so that offsets hold."""
    parts: list[str] = []
    at = 0
    for match in _LEET.finditer(text):
        parts += (text[at : match.start()], text[match.start() : match.end()].translate(_UNLEET))
        at = match.end()
    return "".join((*parts, text[at:])) if at else text


def _spaced(text: str, book: _Book) -> Iterator[Hit]:
    folding = Folding()
    at = 0
    for match in _SPACED.finditer(text):
        start, end = match.start(), match.end()
        if _COMPACT.search(text[start:end:2]) is not None:
            yield Hit(start, end, "disguised", 0.9)
        folding.add(text[at:start], at, start)
        for offset in range(start, end, 2):
            folding.add(text[offset], offset, offset + 1)
        at = end
    if at:
        folding.add(text[at:], at, len(text))
        joined = folding.result()
        for hit in _signed(joined.text, book):
            yield Hit(*joined.original_span(hit.start, hit.end), "disguised", hit.score)


def _encoded(text: str, book: _Book, depth: int) -> Iterator[Hit]:
    for match in _BLOB.finditer(text):
        blob = text[match.start() : match.end()]
        # Rules and underlines are no code.
        if len(set(blob[:64])) >= 8 and any(_scan(plain, book, depth) for plain in _decodings(blob)):
            yield Hit(match.start(), match.end(), "disguised", 0.95)


def _decodings(blob: str) -> Iterator[str]:
    raws: list[bytes] = []
    with suppress(ValueError):
        raws.append(bytes.fromhex(_NOT_HEX.sub("", blob)))
    letters = "".join(blob.split()).rstrip("=").translate(_URL_SAFE)
    for skipped in range(4):
        # Text glued to its front shifts a code by up to three letters.
        rest = letters[skipped:]
        rest = rest[: len(rest) - (len(rest) % 4 == 1)]
        with suppress(ValueError):
            raws.append(base64.b64decode(rest + "=" * (-len(rest) % 4)))
    for raw in raws:
        readable = len(raw) - len(raw.translate(None, _READABLE))
        if raw and readable > 0.9 * len(raw):
            yield raw.decode("latin-1")


def _sentence(text: str, hit: Hit) -> Hit:
    first = hit.start
    while first < hit.end - 1 and text[first].isspace():
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
