"""Whether a web address carries data to whoever owns its host: in its query, fragment, path, or the host's name itself."""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from seawall.defense.guards.addresses import Address, is_number
from seawall.defense.guards.reading.english import common_words

# Characters of text from which an address is no search and no name of a page.
LEAST_TEXT = 40
_TOKEN = re.compile(r"⟦[A-Z_]+:[0-9a-f]{24}⟧|\b[A-Z][A-Z_]{2,}:[0-9a-f]{24}\b")
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]+\.[A-Za-z][\w.-]*")
_DIGITS = re.compile(r"(?<![0-9])[2-6](?:[ -]?[0-9]){12,18}(?![0-9])")
_CODED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){10,}")
_BASE32 = re.compile(r"[A-Z2-7]{24,}", re.IGNORECASE)
_LISTS = (
    (10, re.compile(r"\d{2,3}(?:[,.;:_ -]\d{2,3}){11,999}")),
    (16, re.compile(r"[0-9A-Fa-f]{2}(?:[,.;:_ -][0-9A-Fa-f]{2}){11,999}")),
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PIECE = re.compile(r"[A-Za-z0-9]+")
_WORD = re.compile(r"[^\W\d_]+")
_LETTERS = re.compile(r"[^\W\d_]")
_LONGEST_PART = 2_000
_LEAST_READ = 12
_PRINTED = re.compile(rb"[ -~\n]{14,}")
_LONGEST_HOST = 80
_MOST_LABELS = 8
_LONGEST_PIECE = 24
# Documents that people share have random names of up to 44 letters; what is longer is no name.
_RANDOM_LENGTH = 48
_RANDOM_BITS = 4.2


def carries_data(address: Address) -> bool:
    """Say whether an address carries what looks like data.

    That is personal data or its tokens, codes that read as text, more than 48 random letters, 40 characters of text. A
    page's name in words joined by hyphens is none. A query is read pair by pair, and all its values together.
    """
    if address.scheme != "mailto" and (is_number(address) or _in_host(address.host)):
        return True
    query = _values(address.query)
    fragment = _values(address.fragment)
    path = [] if address.scheme == "mailto" else [_plain(part) for part in address.path.split("/")]
    user = [] if address.scheme == "mailto" else [_plain(address.user)]
    return (
        any(map(_is_data, (*query, *fragment, *path, *user)))
        or any(map(_is_text, (*query, *fragment, *path)))
        or _together(query)
        or _together([part for part in path if "-" not in part and "_" not in part])
    )


def _values(query: str) -> list[str]:
    """Return names and values of a query, or all of it where it has no such form."""
    parts = re.split(r"[&;]", query)
    return [_plain(one.replace("+", " ")) for part in parts for one in part.partition("=")[::2] if one] + (
        [_plain(query)] if "=" not in query.rstrip("=") else []
    )


def _plain(part: str) -> str:
    """Undo percent signs, twice written ones too."""
    for _ in range(3):
        if "%" not in part:
            break
        part = unquote(part)
    return part


def _in_host(host: str) -> bool:
    labels = host.split(".")
    names = [label for label in labels[:-2] if not label.startswith("xn--")]
    if len(labels) > _MOST_LABELS or len(host) > _LONGEST_HOST:
        return True
    if any(
        len(piece) > _LONGEST_PIECE and not _is_slug(piece) for label in names for piece in label.split("-")
    ):
        return True
    return any(map(_reads, _decoded("".join(names)))) or _is_said_in(" ".join(names).replace("-", " "))


def _is_slug(piece: str) -> bool:
    return piece.isalpha() and sum(letter in "aeiouy" for letter in piece) * 4 >= len(piece)


def _together(values: list[str]) -> bool:
    """Judge pieces that say nothing one by one: a word or a few letters of a code in each."""
    if len(values) < 2:
        return False
    if _is_said_in(" ".join(values)):
        return True
    joined = "".join(value for value in values if len(value) >= 4)
    return _hides_text(joined) or any(map(_is_card, _DIGITS.findall("".join(filter(str.isdigit, values)))))


def _is_said_in(words: str) -> bool:
    """Say whether single words make a sentence: those of a path or a query seldom do, and lack its small words."""
    return len(words) >= LEAST_TEXT and len(_WORD.findall(words)) >= 8 and common_words(words) >= 2


def _is_data(value: str) -> bool:
    if not value or _UUID.fullmatch(value):
        return False
    if _TOKEN.search(value) or _MAIL.search(value) or any(map(_is_card, _DIGITS.findall(value))):
        return True
    return len(value) > _LONGEST_PART or _is_coded(value) or any(map(_reads, _listed(value)))


def _is_coded(value: str) -> bool:
    # In a query, a plus sign reads as a blank.
    value = value.replace(" ", "+")
    return _hides_text(value) or any(map(_is_random, _CODED.findall(value)))


def _hides_text(value: str) -> bool:
    return any(_reads(plain) for coded in _CODED.findall(value) for plain in _decoded(coded))


def _is_random(coded: str) -> bool:
    """Say whether letters are at random: names of pages are words, hashes are hexadecimal."""
    letters = "".join(piece for piece in _PIECE.findall(coded) if not _is_word(piece))
    return len(letters) >= _RANDOM_LENGTH and _bits(letters) >= _RANDOM_BITS


def _is_word(piece: str) -> bool:
    return piece.isdigit() or (
        piece.isalpha()
        and len(piece) <= _LONGEST_PIECE
        and (piece.islower() or piece.istitle() or piece.isupper())
    )


def _is_text(value: str) -> bool:
    """Say whether a value is text of some length: blanks between, mostly letters."""
    if len(value) < LEAST_TEXT or len(value.split()) < 5:
        return False
    return len(_LETTERS.findall(value)) * 2 >= len(value)


def _is_card(digits: str) -> bool:
    numbers = [int(digit) for digit in reversed(digits) if digit.isdigit()]
    doubled = (number * 2 - 9 * (number > 4) for number in numbers[1::2])
    return (sum(numbers[::2]) + sum(doubled)) % 10 == 0


def _decoded(coded: str) -> Iterator[bytes]:
    """Yield what letters say as hexadecimal, base64 from any of four places, and base32."""
    coded = coded[: 2 * _LONGEST_PART].rstrip("=")
    for match in _HEX.finditer(coded):
        yield bytes.fromhex(match.group())
    plain = coded.translate(_TO_BASE64)
    for at in range(4):
        yield from _tried(base64.b64decode, _whole(plain[at:], 4))
    if _BASE32.fullmatch(coded):
        yield from _tried(base64.b32decode, _whole(coded.upper(), 8))


def _listed(value: str) -> Iterator[bytes]:
    """Yield what lists of numbers say, one number a letter, in decimal and in hexadecimal."""
    for base, pattern in _LISTS:
        for match in pattern.finditer(value):
            numbers = [int(one, base) for one in re.split(r"[^0-9A-Fa-f]", match.group())]
            yield bytes(number for number in numbers if number < 256)


_TO_BASE64 = str.maketrans("-_", "+/")


def _whole(coded: str, size: int) -> str:
    return coded[: len(coded) // size * size]


def _tried(decode: Callable[[str], bytes], coded: str) -> Iterator[bytes]:
    try:
        yield decode(coded)
    except (ValueError, binascii.Error):
        return


def _reads(plain: bytes) -> bool:
    """Say whether bytes are text, or a stretch of them is: printable, mostly letters and blanks."""
    if any(_is_said(run.decode()) for run in _PRINTED.findall(plain)):
        return True
    try:
        # The last letter may be cut off.
        text = plain.decode()
    except UnicodeDecodeError as error:
        if error.start < len(plain) - 3:
            return False
        text = plain[: error.start].decode()
    return len(plain) >= _LEAST_READ and text.isprintable() and _is_said(text)


def _is_said(text: str) -> bool:
    return sum(one.isalnum() or one in " .,@:-\n" for one in text) > 0.85 * len(text)


def _bits(text: str) -> float:
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
