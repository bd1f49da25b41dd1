r"""Letters written as escapes among others: %41, &#65;, &lt;, \u0041, \x41, =41, \101 and xn-- names."""

import html
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache

from seawall.defense.guards.reading.normalise import Folding, Normalised
from seawall.foundation.patterns import compile_pattern

# Text round an escape that is judged with it.
_REACH = 250
_ESCAPE = re.compile(
    r"(?P<url>%(?:25){0,99}[0-9A-Fa-f]{2})"
    r"|(?P<entities>&(?:amp;){0,99}(?:#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};))"
    r"|\\{1,8}(?P<backslash>x[0-9a-fA-F]{2}|[0-3][0-7]{2}|u\{[0-9a-fA-F]{1,6}\}|u[dD][89abAB][0-9a-fA-F]{2}\\{1,8}u[dD]"
    r"[c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[A-Za-z0-9 -]{2,60}\}|[nrt\"'/])"
    r"|=(?P<printable>[0-9A-F]{2}|[ \t]{0,4}\r?\n)"
    r"|(?P<punycode>(?i:xn--)[A-Za-z0-9-]{2,59})"
)
ESCAPE_TRIGGER = compile_pattern(
    r"%[0-9A-Fa-f]{2}|&(?:#[0-9xX]|[A-Za-z][A-Za-z0-9]{1,31};)|\\(?:[xuUN0-3]|[nrt\"'/])|=[0-9A-F]{2}|(?i:xn--)"
)
_BYTES = frozenset({"url", "printable"})


def unwrap_escapes(text: str) -> Iterator[tuple[str, Normalised]]:
    """Yield the text round escapes with all of them resolved, of whatever kinds; far from any nothing is kept."""
    folding = Folding()
    kinds: set[str] = set()
    raw = bytearray()
    at = run = stop = 0
    for match in _ESCAPE.finditer(text):
        start, end = match.span()
        if raw and start != stop:
            folding.add_whole(_decoded(raw), run, stop)
            raw.clear()
        if start != stop or not kinds:
            _between(folding, text, at, start, first=not kinds)
            run = start
        elif not raw:
            run = start
        kind = match.lastgroup or ""
        kinds.add(kind)
        value = _RESOLVE[kind](match.group(kind))
        if isinstance(value, int):
            raw.append(value)
        else:
            if raw:
                folding.add_whole(_decoded(raw), run, start)
                raw.clear()
            folding.add_whole(value, start, end)
        at = stop = end
    if kinds:
        if raw:
            folding.add_whole(_decoded(raw), run, stop)
        folding.add(text[at : at + _REACH], at, min(len(text), at + _REACH))
        yield "+".join(sorted(kinds)), folding.result()


def _between(folding: Folding, text: str, at: int, start: int, *, first: bool) -> None:
    if start - at <= 2 * _REACH and not first:
        folding.add(text[at:start], at, start)
        return
    if not first:
        folding.add(text[at : at + _REACH], at, at + _REACH)
        folding.add("\n\n", at + _REACH, start - _REACH)
    near = max(at, start - _REACH)
    folding.add(text[near:start], near, start)


def _decoded(raw: bytearray) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _url(escape: str) -> int:
    return int(escape[-2:], 16)


def _printable(escape: str) -> int | str:
    return int(escape, 16) if len(escape) == 2 and escape.isalnum() else ""


@lru_cache(maxsize=4096)
def _entity(escape: str) -> str:
    return html.unescape("&" + escape.rpartition("amp;")[2].lstrip("&").removesuffix(";") + ";")


@lru_cache(maxsize=4096)
def _backslash(escape: str) -> int | str:
    kind = escape[0]
    if kind == "x":
        return int(escape[1:], 16)
    if kind.isdigit():
        return int(escape, 8)
    if kind == "N":
        with suppress(UnicodeDecodeError):
            return f"\\{escape}".encode("ascii").decode("unicode_escape")
        return " "
    if kind in "uU":
        codes = [int(part, 16) for part in re.findall(r"[0-9a-fA-F]+", escape)]
        if len(codes) == 2:
            return chr(0x10000 + (codes[0] - 0xD800) * 0x400 + codes[1] - 0xDC00)
        return chr(codes[0]) if codes[0] < 0x110000 else ""
    return {"n": "\n", "r": "\n", "t": " "}.get(kind, kind)


@lru_cache(maxsize=1024)
def _punycode(name: str) -> str:
    with suppress(UnicodeError):
        return name[4:].encode("ascii").decode("punycode")
    return ""


_RESOLVE: dict[str, Callable[[str], int | str]] = {
    "url": _url,
    "entities": _entity,
    "backslash": _backslash,
    "printable": _printable,
    "punycode": _punycode,
}
