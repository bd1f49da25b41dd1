"""Cuts a contract into the passages that retrieval ranks and findings point at."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_PASSAGE = 600
MIN_PASSAGE = 30
_MAX_HEADING = 80

_BLANK = re.compile(r"\r?\n[ \t\r\f\v]*\n\s*")
# A sentence's end: a stop, perhaps a closing quote or bracket, white space, then a capital, digit or bracket.
_SENTENCE = re.compile(r"[.;:!?][\"”’')\]]?\s+(?=[\"“‘'(\[]?[A-Z0-9])")
_SPACE = re.compile(r"\s+")
_NUMBER = (
    r"(?:(?:ARTICLE|Article|SECTION|Section)\s+)?(?:[0-9]{1,3}(?:\.[0-9]{1,3}){0,4}|[IVXLC]{1,6}|[A-Z])[.):]?"
)
_HEADED = re.compile(
    rf"\s{{0,20}}(?:{_NUMBER}\s{{1,20}})?([A-Z][A-Za-z,;&/'’ -]{{2,60}}?)\s?(?:[.:]|-{{1,2}}|—|\n|$)"
)
_NUMBERED = re.compile(rf"\s{{0,20}}{_NUMBER}\s")


@dataclass(frozen=True, slots=True)
class Segment:
    """A passage, `text[start:end]`, and the heading it stands under ('' where there is none)."""

    start: int
    end: int
    heading: str


def segment(text: str) -> list[Segment]:
    """Cut at blank lines; cut paragraphs over 600 characters at sentences' ends; glue pieces under 30 to the next.

    Passages are in order, do not overlap, begin and end with a visible character, and cover every one. Linear in the text's length.
    """
    found: list[Segment] = []
    heading = ""
    for start, end in _glued(text, [piece for block in _blocks(text) for piece in _pieces(text, *block)]):
        own = _heading(text, start, end)
        heading = own or heading
        found.append(Segment(start, end, heading))
    return found


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    for gap in _BLANK.finditer(text):
        yield at, gap.start()
        at = gap.end()
    yield at, len(text)


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    start, end = _stripped(text, start, end)
    while end - start > MAX_PASSAGE:
        cut = _cut(text, start, start + MAX_PASSAGE)
        piece = _stripped(text, start, cut)
        if piece[0] < piece[1]:
            yield piece
        start, _ = _stripped(text, cut, end)
    if start < end:
        yield start, end


def _cut(text: str, start: int, limit: int) -> int:
    """Find the last sentence's end before `limit`, else the last blank, else cut there."""
    best = 0
    for match in _SENTENCE.finditer(text, start + MIN_PASSAGE, limit):
        best = match.end()
    if best:
        return best
    blank = max(text.rfind(" ", start + 1, limit), text.rfind("\n", start + 1, limit))
    return blank + 1 if blank > start else limit


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _glued(text: str, pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join a piece too short to stand alone to the one after it, unless that would make it too long."""
    found: list[tuple[int, int]] = []
    for start, end in pieces:
        if (
            found
            and found[-1][1] - found[-1][0] < MIN_PASSAGE
            and end - found[-1][0] <= MAX_PASSAGE + MIN_PASSAGE
        ):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _heading(text: str, start: int, end: int) -> str:
    """Read a heading off a passage's beginning: `12.3 Governing Law. This …`, `ARTICLE IV  TERM`, or a short line."""
    match = _HEADED.match(text, start, min(end, start + 120))
    if match is None:
        return ""
    words = _SPACE.sub(" ", match.group(1)).strip()
    numbered = _NUMBERED.match(text, start, end) is not None
    titled = sum(word[0].isupper() for word in words.split() if len(word) > 3) >= sum(
        len(w) > 3 for w in words.split()
    )
    return words[:_MAX_HEADING] if len(words) > 3 and (numbered or titled) and len(words.split()) <= 9 else ""
