"""Regular expressions on hostile text: RE2, whose time is linear in the text whatever the pattern.

Linear is one search. A search that matches may have read far beyond its match, so repeated searches stay
linear only if a pattern bounds its gaps: write `.{0,40}`, not `.*`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, cast

import re2

from seawall.foundation.errors import SeawallError

_re2 = cast("Any", re2)


class Match(Protocol):
    """Where a pattern was found, in characters."""

    def start(self, group: int = 0, /) -> int:
        """First character of the group; -1 where the group took no part."""
        ...

    def end(self, group: int = 0, /) -> int:
        """Character after the group's last; -1 where the group took no part."""
        ...

    def group(self, group: int = 0, /) -> str | None:
        """Text of the group, None where it took no part."""
        ...


class Pattern(Protocol):
    """A compiled RE2 pattern. Its text must hold no lone surrogates: see `scannable`."""

    @property
    def pattern(self) -> str:
        """The pattern as written."""
        ...

    def search(self, text: str, /) -> Match | None:
        """Find the first match."""
        ...

    def fullmatch(self, text: str, /) -> Match | None:
        """Match the whole text."""
        ...

    def finditer(self, text: str, /) -> Iterator[Match]:
        """Find all matches from left to right, none overlapping another."""
        ...


def compile_pattern(pattern: str) -> Pattern:
    r"""Compile for RE2: no look-around, no back-references; `\b`, `\d`, `\w` and `\s` are ASCII."""
    return cast("Pattern", _re2.compile(pattern))


class PatternsTooLarge(SeawallError):
    """A set of patterns did not fit its memory, so that what occurs in the text is not known."""

    def __init__(self, patterns: int, memory: int) -> None:
        super().__init__(
            f"{patterns} patterns need more than the {memory} bytes their set was given, and the text was not read; "
            "give the set more memory, or make two of it"
        )


class PatternSet:
    """Many patterns as one automaton: which of them occur in a text, for the price of reading it once."""

    # Room for the automaton's states. A text that visits more of them is read on with room made anew.
    _MEMORY = 64 << 20
    # RE2 says "no match" where it has too little memory to run: what matches any text once must be in every answer.
    _CANARY = r"\z"

    def __init__(self, patterns: Iterable[Pattern], *, memory: int = _MEMORY) -> None:
        options = _re2.Options()
        options.max_mem = self._memory = memory
        options.log_errors = False
        self._set = _re2.Set.SearchSet(options)
        self._canary = 0
        for pattern in patterns:
            self._set.Add(pattern.pattern)
            self._canary += 1
        self._set.Add(self._CANARY)
        try:
            self._set.Compile()
        except _re2.error as error:
            raise PatternsTooLarge(self._canary, memory) from error

    def matching(self, text: str) -> list[int]:
        """Numbers of the patterns that occur in the text, in their order; PatternsTooLarge where RE2 could not tell."""
        found = sorted(cast("list[int] | None", self._set.Match(text)) or [])
        if not found or found.pop() != self._canary:
            raise PatternsTooLarge(self._canary, self._memory)
        return found


def scannable(text: str) -> str:
    """Return the text with lone surrogates replaced by `?`, character for character, so that offsets hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
