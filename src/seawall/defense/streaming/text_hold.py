"""Text that arrives in pieces, kept until a sentence of it is whole: strings in, strings out, no I/O."""

from seawall.foundation.errors import ConfigError
from seawall.foundation.patterns import Pattern, compile_pattern, scannable

MAX_HOLD = 1_000

# A sign that ends a sentence counts once a blank follows it: "3.5" and "example.com" end nothing.
_BORDER = compile_pattern(r"""[.!?…؟।۔]["'”’»)\]]{0,4}\s|[。！？\n]""")
# Every border has one of these: most pieces have none, and need no search.
_SIGNS = frozenset(".!?…؟।۔。！？\n")
_BLANK = compile_pattern(r"\s")
# The start of a pseudonym token that is not yet closed, at the very end.
_OPEN_TOKEN = compile_pattern(r"⟦[A-Z_]{0,32}(?::[0-9a-f]{0,24})?$")
# How far back a border can begin, and how much room a token takes at most, its brackets escaped.
_LOOK_BACK = 32
_LONGEST_TOKEN = 80


class TextHold:
    """Gives text back sentence by sentence, whatever pieces it came in.

    Holds at most `max_hold` characters after a `feed`: text without borders is then cut at a blank, or
    anywhere, but not within a pseudonym token. What comes out, in order, is exactly what went in. ConfigError
    where `max_hold` has no room for a token.
    """

    border: Pattern = _BORDER
    signs: frozenset[str] = _SIGNS

    def __init__(self, max_hold: int = MAX_HOLD) -> None:
        if max_hold < 2 * _LONGEST_TOKEN:
            raise ConfigError(
                f"max_hold={max_hold}: expected at least {2 * _LONGEST_TOKEN}, such as {MAX_HOLD}"
            )
        self._max_hold = max_hold
        self._held = ""
        # Before this no border was found, so none need be looked for again.
        self._searched = 0

    @property
    def held(self) -> int:
        """Characters waiting for the end of their sentence."""
        return len(self._held)

    def feed(self, chunk: str) -> str:
        """Take a piece; return what is whole now, empty where nothing is."""
        self._held += chunk
        cut = self._last_border(max(0, self._searched - _LOOK_BACK))
        while len(self._held) - cut > self._max_hold:
            cut += self._forced_cut(self._held[cut : cut + self._max_hold])
        return self._take(cut)

    def rest(self) -> str:
        """Return all that is left, for nothing more belongs to it."""
        return self._take(len(self._held))

    def open_end(self, text: str) -> int:
        """Where the text's last characters begin that belong to what is to come; its length where none do."""
        return start_near_end(_OPEN_TOKEN, text)

    def _last_border(self, start: int) -> int:
        text = self._held[start:]
        if self.signs.isdisjoint(text):
            return 0
        ends = [border.end() for border in self.border.finditer(scannable(text))]
        return start + ends[-1] if ends else 0

    def _take(self, cut: int) -> str:
        whole, self._held = self._held[:cut], self._held[cut:]
        self._searched = len(self._held)
        return whole

    def _forced_cut(self, text: str) -> int:
        blanks = [blank.end() for blank in _BLANK.finditer(scannable(text))]
        return blanks[-1] if blanks else self.open_end(text)


def start_near_end(pattern: Pattern, text: str) -> int:
    """Where the pattern begins near the end of the text; the text's length where it does not occur."""
    before = max(0, len(text) - _LONGEST_TOKEN)
    found = pattern.search(scannable(text[before:]))
    return len(text) if found is None else before + found.start()
