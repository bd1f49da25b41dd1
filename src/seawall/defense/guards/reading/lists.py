"""Text written sign by sign with blanks between: lists of character numbers in any base, Morse and Braille."""

import re
from collections.abc import Iterator
from contextlib import suppress

from seawall.defense.guards.reading.english import TooMany
from seawall.defense.guards.reading.normalise import Folding, Normalised
from seawall.foundation.patterns import compile_pattern

_ITEM = r"(?:0[xb]|[\\]?[ux]|u\+|&#x?)?[0-9a-f]{1,8}"
_NUMBERS = compile_pattern(
    rf"(?i)(?:&#x?|\\[ux]|\b0[xb]|\bu\+|\b){_ITEM}(?:[ ,;:|_/\n\t-]{{1,3}}{_ITEM}){{9,}}"
)
_NUMBER = re.compile(r"(?:0[xb]|[ux](?:\+)?|&#x?)?([0-9a-f]{1,8})(?![0-9a-z])", re.IGNORECASE)
_HEX_MARK = re.compile(r"0x|[ux]\+?[0-9a-f]|&#x", re.IGNORECASE)
_MORSE = compile_pattern(r"(?:[.-]{1,6}[ /|\n]{1,3}){9,}[.-]{1,6}")
_BRAILLE = re.compile("[\u2801-\u28ff][\u2800-\u28ff \n]{7,}")

LIST_TRIGGER = compile_pattern(
    r"(?:[0-9a-fA-F][ ,;:|_/\n\t-]{1,3}[0-9a-fA-FuUxX+\\&#]{1,10}){5}|(?:[.-]{1,6}[ /|\n]{1,3}){9}|[\x{2800}-\x{28ff}]{4}"
)

_CODES = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
_LETTERS = {code: chr(ord("a") + number) for number, code in enumerate(_CODES.split())}
_DOTS = (1, 3, 9, 25, 17, 11, 27, 19, 10, 26)
_CELLS = {
    0x2800 + dots: letter
    for letter, dots in zip(
        "abcdefghijklmnopqrstuvxyzw",
        (*_DOTS, *(4 + dots for dots in _DOTS), *(0x24 + dots for dots in _DOTS[:5]), 58),
        strict=True,
    )
} | {0x2800: " "}

# So many lists in one layer are no writing; no reading them all.
_MOST_LISTS = 1500
# Bytes that are no text: what a list of other numbers would give.
_TEXT = re.compile(r"[\x20-\x7e\t\r\n\xa0-\uffff]{8,}")
_WORDY = 0.7


def unwrap_lists(text: str) -> Iterator[tuple[str, Normalised]]:
    """Yield what lists of signs in the text spell, by kind of list; each stands for the whole of its list.

    TooMany past 1,500 lists of a kind.
    """
    numbers, morse, braille = Folding(), Folding(), Folding()
    for number, match in enumerate(_NUMBERS.finditer(text)):
        if number == _MOST_LISTS:
            raise TooMany
        start, end = match.start(), match.end()
        for plain in _readings(text[start:end]):
            numbers.add_whole(plain + "\n", start, end)
    for number, match in enumerate(_MORSE.finditer(text)):
        if number == _MOST_LISTS:
            raise TooMany
        start, end = match.start(), match.end()
        plain = _morse(text[start:end])
        # Dots that lead to a page's number spell one letter.
        if len(set(plain)) >= 5:
            morse.add_whole(plain + "\n", start, end)
    for match in _BRAILLE.finditer(text):
        braille.add_whole(match.group().translate(_CELLS) + "\n", *match.span())
    for how, folding in (("numbers", numbers), ("morse", morse), ("braille", braille)):
        if folding.length:
            yield how, folding.result()


def _readings(run: str) -> Iterator[str]:
    digits = [match[1] for match in _NUMBER.finditer(run)]
    joined = "".join(digits)
    widest = max(map(len, digits), default=0)
    if not digits:
        return
    bases = [16] if _HEX_MARK.search(run) else [16] if not joined.isdigit() else [10, 8, 16]
    if widest in {7, 8} and not joined.strip("01"):
        bases = [2]
    for base in bases:
        plain = "\n".join(part for part in _TEXT.findall(_letters(digits, base)) if _wordy(part))
        if plain:
            yield plain


def _letters(digits: list[str], base: int) -> str:
    if base == 8 and not set("89").isdisjoint("".join(digits)):
        return ""
    with suppress(ValueError):
        return bytes(int(one, base) for one in digits).decode("latin-1")
    return "".join(chr(min(int(one, base), 0xFFFF)) for one in digits)


def _wordy(part: str) -> bool:
    return sum(map(str.isalpha, part)) + part.count(" ") >= _WORDY * len(part)


def _morse(run: str) -> str:
    words = re.split(r" ?[/|] ?| {2,}|\n", run)
    return " ".join("".join(_LETTERS.get(code, "") for code in word.split()) for word in words)
