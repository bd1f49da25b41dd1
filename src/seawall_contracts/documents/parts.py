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
    # Whether all text since the last stretch was blank: then the next one with the same reason continues it.
    is_blank_since = False
    for part in parts:
        text = _clean(part.text)
        end = at + len(text)
        if text.strip():
            if part.hidden and is_blank_since and hidden[-1].why == part.hidden:
                hidden[-1] = Hidden(hidden[-1].start, end, part.hidden)
            elif part.hidden:
                hidden.append(Hidden(at, end, part.hidden))
            is_blank_since = bool(part.hidden)
        pieces.append(text)
        at = end
    return "".join(pieces), tuple(hidden)


def _clean(text: str) -> str:
    if text.isascii() and "\x00" not in text:
        return text
    # A lone surrogate cannot be written as UTF-8, and NUL not into many databases: both stand for garbled characters.
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
