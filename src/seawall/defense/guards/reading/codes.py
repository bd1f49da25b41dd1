"""Text written as a code without blanks: base64, base32, base85, hex and bits."""

import base64
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from string import ascii_letters

from seawall.defense.guards.reading.base85 import base85_texts
from seawall.defense.guards.reading.normalise import Folding, Normalised
from seawall.foundation.patterns import compile_pattern

CODE_TRIGGER = compile_pattern(r"[!-~]{20,}|<~")

_RUN = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,6}")
_SHORTEST = 20
# What stands between the lines of one code: a line's end, perhaps quoted or escaped.
_GAP = re.compile(r"[ \t>|\"'+,\\nr]{0,6}\r?\n?[ \t>|\"'+,]{0,6}")
_LINE = 80
_LAST_LINE = re.compile(r"(?:\r?\n|\\[nr])[ \t>|]{0,4}([A-Za-z0-9+/_-]{1,15}={0,6})(?![A-Za-z0-9+/_-])")
_HEX_TURNED = re.compile(r"[0-9n-sN-S]{24,}")
_HEX = re.compile(r"[0-9a-fA-F]{24,}")
_BITS = re.compile(r"[01]{64,}")
_BASE32 = re.compile(r"[A-Z2-7]{20,}|[a-z2-7]{20,}")
_ROT13 = str.maketrans(
    ascii_letters, ascii_letters[13:26] + ascii_letters[:13] + ascii_letters[39:] + ascii_letters[26:39]
)
_URL_SAFE = str.maketrans("-_", "+/")
_READABLE = bytes((*range(0x20, 0x7F), 0x09, 0x0A, 0x0D))
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Of random bytes, one in a hundred thousand begins so long a run of readable ones.
_PLAIN = re.compile(rb"[\x20-\x7e\t\r\n]{12,}")


def unwrap_codes(text: str) -> Iterator[tuple[str, Normalised]]:
    """Yield what codes in the text say, by kind of code; each stands for the whole of its code."""
    foldings: defaultdict[str, Folding] = defaultdict(Folding)
    regions = [*_regions(text)]
    for first, last in regions:
        for start, end, run in _runs(text, first, last):
            for how, plain in _readings(run):
                _add(foldings[how], plain, start, end)
        for how, pattern in (("hex", _HEX), ("hex", _HEX_TURNED), ("bits", _BITS)):
            for match in pattern.finditer(text, first, last):
                digits = match.group()
                for plain in _digits(digits.translate(_ROT13) if pattern is _HEX_TURNED else digits, how):
                    _add(foldings[how], plain, *match.span())
    for start, end, plain in base85_texts(text, regions):
        _add(foldings["base85"], plain, start, end)
    for how, folding in foldings.items():
        yield how, folding.result()


def _add(folding: Folding, plain: str, start: int, end: int) -> None:
    folding.add_whole(plain, start, end)
    folding.add_whole("\n", start, end)


def _regions(text: str) -> Iterator[tuple[int, int]]:
    """Yield where long runs of signs stand, neighbours together, with room for a code's last line."""
    start = end = -1
    for match in CODE_TRIGGER.finditer(text):
        if start < 0 or match.start() > end + _LINE:
            if start >= 0:
                yield start, min(len(text), end + _LINE)
            start = match.start()
        end = match.end()
    if start >= 0:
        yield start, min(len(text), end + _LINE)


def _runs(text: str, first: int, last: int) -> Iterator[tuple[int, int, str]]:
    """Yield codes with their lines put together, and where they stand."""
    lines: list[str] = []
    start = end = 0
    for match in _RUN.finditer(text, first, last):
        if lines and not _GAP.fullmatch(text, end, match.start()):
            yield from _whole(text, lines, start, end)
            lines.clear()
        if not lines:
            start = match.start()
        lines.append(match.group())
        end = match.end()
        if lines[-1].endswith("="):
            yield from _whole(text, lines, start, end)
            lines.clear()
    if lines:
        yield from _whole(text, lines, start, end)


def _whole(text: str, lines: list[str], start: int, end: int) -> Iterator[tuple[int, int, str]]:
    if not lines[-1].endswith("="):
        last = _LAST_LINE.match(text, end)
        if last is not None:
            # What looks like a last line may be a word of the text.
            if len(last.group(1)) + sum(map(len, lines)) >= _SHORTEST:
                yield start, last.end(1), "".join((*lines, last.group(1)))
            if last.group(1).endswith("="):
                return
    run = "".join(lines)
    if len(run) >= _SHORTEST:
        yield start, end, run


def _readings(run: str) -> Iterator[tuple[str, str]]:
    letters = run.rstrip("=")
    # Rules and underlines are no code.
    if len(set(letters)) < 8:
        return
    plain = _base64(letters.translate(_URL_SAFE))
    if plain:
        yield "base64", plain
    if _BASE32.fullmatch(letters):
        with suppress(ValueError):
            raw = base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
            plain = read_bytes(raw)
            if plain:
                yield "base32", plain


def _base64(letters: str) -> str:
    found: list[str] = []
    for skipped in range(4):
        # Text glued to its front shifts a code by up to three letters.
        rest = letters[skipped:]
        rest = rest[: len(rest) - (len(rest) % 4 == 1)]
        raw = base64.b64decode(rest + "=" * (-len(rest) % 4))
        plain = read_bytes(raw)
        if plain:
            found.append(plain)
        if not skipped and not raw.translate(None, _READABLE):
            break
    return "\n".join(found or _turned(letters))


def _turned(letters: str) -> Iterator[str]:
    """Yield what a code says that was itself turned, backwards or by rot13: only if all of it is readable."""
    for turned in (letters[::-1], letters.translate(_ROT13)):
        rest = turned[: len(turned) - (len(turned) % 4 == 1)]
        raw = base64.b64decode(rest + "=" * (-len(rest) % 4))
        if not raw.translate(None, _READABLE):
            yield raw.decode("ascii")


def _digits(run: str, how: str) -> Iterator[str]:
    for skipped in range(2 if how == "hex" else 8):
        size = 2 if how == "hex" else 8
        digits = run[skipped : skipped + (len(run) - skipped) // size * size]
        raw = bytes.fromhex(digits) if how == "hex" else int(digits, 2).to_bytes(len(digits) // 8, "big")
        plain = read_bytes(raw)
        if plain:
            yield plain


def read_bytes(raw: bytes) -> str:
    """Return what is readable in decoded bytes: all where they are text, else the stretches of ASCII; none is empty."""
    if not raw.translate(None, _READABLE):
        return raw.decode("ascii") if len(raw) >= 8 else ""
    if raw.count(0) * 3 >= len(raw):
        return read_bytes(raw.replace(b"\0", b"")) if raw.count(0) < len(raw) else ""
    if max(raw) > 0xC1:
        with suppress(UnicodeDecodeError):
            plain = raw.decode()
            if len(_CONTROL.findall(plain)) < 0.1 * len(plain):
                return plain
    return "\n".join(part.decode("ascii") for part in _PLAIN.findall(raw))
