r"""The same for JSON in its serialised form: a string's escapes and its `\u27e6`-bracketed tokens stay whole."""

from seawall.defense.streaming.text_hold import TextHold, start_near_end
from seawall.foundation.patterns import Match, Pattern, compile_pattern, scannable

# The end of a sentence in a string; a string, list or object that ends; a number before the next key.
_BORDER = compile_pattern(
    r"""[.!?…؟।۔](?:\\?["'”’»)\]]){0,4}(?:\s|\\[nrt])|[。！？\n]|\\n"""
    r"""|[^\\]"\s{0,8}[,}\]]|[}\]]\s{0,8},|[0-9el]\s{0,8},\s{0,8}\""""
)
_SIGNS = frozenset('.!?…؟।۔。！？\n"}]\\')
_OPEN_TOKEN = compile_pattern(
    r"(?:⟦|\\u27[eE]6)[A-Z_]{0,32}(?::[0-9a-f]{0,24})?(?:\\(?:u(?:2(?:7[eE]?)?)?)?)?$"
)
_OPEN_ESCAPE = compile_pattern(r"\\(?:u[0-9a-fA-F]{0,3})?$")
_OPEN_PAIR = compile_pattern(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?$")
_ESCAPE = compile_pattern(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u]"
)
_SHORT = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


class JsonHold(TextHold):
    """Gives JSON back at the ends of sentences and of values; never cut within an escape or a pair of them.

    Whether it is valid JSON is not looked at: prose round it passes in the same way.
    """

    border: Pattern = _BORDER
    signs: frozenset[str] = _SIGNS

    def open_end(self, text: str) -> int:
        """Where the text's last characters begin that belong to what is to come; its length where none do."""
        ends = [super().open_end(text)]
        for pattern in (_OPEN_TOKEN, _OPEN_PAIR, _OPEN_ESCAPE):
            start = start_near_end(pattern, text)
            if text[start : start + 1] != "\\" or not _escaped(text, start):
                ends.append(start)
        return min(ends)


def readable(raw: str) -> str:
    """Return JSON text with the escapes in its strings decoded: what a guard reads, not what a parser does.

    Half a surrogate pair, which is no character, becomes U+FFFD; an escape JSON does not know stays.
    """
    if "\\" not in raw:
        return raw
    parts: list[str] = []
    at = 0
    for found in _ESCAPE.finditer(scannable(raw)):
        parts += (raw[at : found.start()], _decoded(found))
        at = found.end()
    parts.append(raw[at:])
    return "".join(parts)


def _decoded(found: Match) -> str:
    escape = found.group() or ""
    if escape[1] != "u":
        return _SHORT.get(escape[1], escape[1])
    units = bytes.fromhex("".join(escape[at : at + 4] for at in range(2, len(escape), 6)))
    return units.decode("utf-16-be", "replace")


def _escaped(text: str, backslash: int) -> bool:
    """Whether the backslash is itself escaped, and so begins nothing."""
    first = backslash
    while first > 0 and text[first - 1] == "\\":
        first -= 1
    return (backslash - first) % 2 == 1
