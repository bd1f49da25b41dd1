"""Which parts of a contract's text the report carries, within a budget.

Offsets count characters of the text, half open, as everywhere in a review.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MARGIN = 180
LONGEST_SPAN = 1200
QUOTE = 400
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Cited:
    """A span somebody cites: where it is, and the beginning of its verbatim words."""

    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of the text, starting at character `start`."""

    start: int
    text: str

    @property
    def end(self) -> int:
        """One past the last character."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Text:
    """What the report shows of a text: all of it, excerpts around what is cited, or only the quotations."""

    kind: Literal["whole", "excerpts", "quotes"]
    passages: tuple[Passage, ...]
    length: int


def text_path(texts: Path, sha256: str | None) -> Path | None:
    """Return where the document's text is, or None for what is no SHA-256 (rows are input, not to be trusted)."""
    if sha256 is None or len(sha256) != 64 or not _HEX.issuperset(sha256):
        return None
    return texts / f"{sha256}.txt"


def read_text(path: Path) -> str | None:
    """Read a text without translating line ends, which would shift every offset; None if there is no such file."""
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None


def stands(cited: Cited, text: str) -> bool:
    """Tell whether the quotation is in the text where it says."""
    return text[cited.start : cited.start + len(cited.quote)] == cited.quote


def whole(text: str) -> Text:
    """Show all of it."""
    return Text("whole", (Passage(0, text),), len(text))


def excerpts(text: str, cited: Sequence[Cited], limit: int) -> Text:
    """Show what surrounds the cited spans, the first ones first, until `limit` characters are reached.

    Windows that touch are one passage. A span that no longer fits is left out; a smaller one after it may still fit.
    """
    windows: list[tuple[int, int]] = []
    left = limit
    for span in cited:
        start = max(0, span.start - MARGIN)
        end = min(len(text), min(span.end, span.start + LONGEST_SPAN) + MARGIN)
        fresh = end - start - _covered(windows, start, end)
        if fresh <= 0 or fresh > left:
            continue
        left -= fresh
        windows = _merge([*windows, (start, end)])
    if not windows:
        windows = [(0, min(len(text), 600))]
    return Text("excerpts", tuple(Passage(start, text[start:end]) for start, end in windows), len(text))


def quotations(cited: Sequence[Cited], limit: int) -> Text:
    """Show the quotations alone, for a text that is not there."""
    kept: list[Passage] = []
    for span in sorted(cited, key=lambda each: (each.start, -each.end)):
        behind = not kept or span.start >= kept[-1].end
        if behind and len(span.quote) <= limit:
            kept.append(Passage(span.start, span.quote))
            limit -= len(span.quote)
    return Text("quotes", tuple(kept), 0)


def shown(cited: Cited, text: Text) -> bool:
    """Tell whether a reader finds the beginning of the span in what is shown."""
    return any(part.start <= cited.start < part.end for part in text.passages)


def choose_whole(sizes: Sequence[int], order: Sequence[int], budget: int, largest: int) -> frozenset[int]:
    """Choose, in `order`, the texts that fit the budget together; one above `largest` never does.

    `sizes` are bytes by position, `order` lists positions, most important first.
    """
    chosen: set[int] = set()
    for at in order:
        if 0 < sizes[at] <= min(budget, largest):
            chosen.add(at)
            budget -= sizes[at]
    return frozenset(chosen)


def _covered(windows: Sequence[tuple[int, int]], start: int, end: int) -> int:
    return sum(max(0, min(end, right) - max(start, left)) for left, right in windows)


def _merge(windows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
