"""Pieces of text on their way from a page to a string."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of text; `hidden` says why a reader would not see it, '' where they would."""

    text: str
    hidden: str = ""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A stretch of the extracted text, half open, that a reader of the page would not see, and why."""

    start: int
    end: int
    why: str


def join(parts: Sequence[Part]) -> tuple[str, tuple[Hidden, ...]]:
    """Put the pieces together and say where the hidden ones ended up; neighbours with one reason become one stretch."""
    pieces: list[str] = []
    hidden: list[Hidden] = []
    at = 0
    for part in parts:
        # A lone surrogate cannot be written as UTF-8; it stands for a character that the document garbled.
        text = part.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if part.hidden and text.strip():
            if hidden and hidden[-1].end == at and hidden[-1].why == part.hidden:
                hidden[-1] = Hidden(hidden[-1].start, at + len(text), part.hidden)
            else:
                hidden.append(Hidden(at, at + len(text), part.hidden))
        pieces.append(text)
        at += len(text)
    return "".join(pieces), tuple(hidden)
