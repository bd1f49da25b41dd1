"""Disguises for attacks, as an attacker would put them on: text in, disguised text out."""

import base64
import codecs
import random
from collections.abc import Callable
from urllib.parse import quote

Disguise = Callable[[str], str]

HOMOGLYPHS = str.maketrans("aceoipxyAEOH", "асеоірхуАЕОН")
LEET = str.maketrans("oieasOIEAS", "0134501345")


def as_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def wrapped_base64(text: str) -> str:
    return base64.encodebytes(text.encode()).decode()


def bare_base64(text: str) -> str:
    return "xyz" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def as_base32(text: str) -> str:
    return base64.b32encode(text.encode()).decode()


def as_base85(text: str) -> str:
    return base64.b85encode(text.encode()).decode()


def as_ascii85(text: str) -> str:
    return base64.a85encode(text.encode(), adobe=True).decode()


def as_hex(text: str) -> str:
    return text.encode().hex()


def spaced_hex(text: str) -> str:
    return text.encode().hex(" ")


def escaped_hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def listed_hex(text: str) -> str:
    return ", ".join(hex(byte) for byte in text.encode())


def decimals(text: str) -> str:
    return " ".join(map(str, text.encode()))


def octals(text: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in text.encode())


def bits(text: str) -> str:
    return " ".join(f"{byte:08b}" for byte in text.encode())


def url(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def url_twice(text: str) -> str:
    return quote(quote(text, safe=""), safe="")


def entities(text: str) -> str:
    return "".join(f"&#{ord(letter)};" for letter in text)


def hex_entities(text: str) -> str:
    return "".join(f"&#x{ord(letter):x};" for letter in text)


def backslash_u(text: str) -> str:
    return text.encode("utf-16-be").hex(":", 2).join(("\\u", "")).replace(":", "\\u")


def quoted_printable(text: str) -> str:
    return "".join(f"={byte:02X}" for byte in text.encode())


def rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def caesar(text: str) -> str:
    lower = "abcdefghijklmnopqrstuvwxyz"
    return text.lower().translate(str.maketrans(lower, lower[7:] + lower[:7]))


def backwards(text: str) -> str:
    return text[::-1]


def words_backwards(text: str) -> str:
    return " ".join(word[::-1] for word in text.split(" "))


def leet(text: str) -> str:
    return text.translate(LEET)


def spaced(text: str) -> str:
    return "  ".join(" ".join(word) for word in text.split(" "))


def dashed(text: str) -> str:
    return " ".join("-".join(word) for word in text.split(" "))


def full_width(text: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)


def homoglyphs(text: str) -> str:
    return text.translate(HOMOGLYPHS)


def thin(text: str) -> str:
    return "\u200b".join(text)


def tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(letter)) if letter.isascii() else letter for letter in text)


def selectors(text: str) -> str:
    return "".join(chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in text.encode())


def thin_bits(text: str) -> str:
    return "".join("\u200b\u200c"[int(bit)] for byte in text.encode() for bit in f"{byte:08b}")


def circled(text: str) -> str:
    return "".join(chr(0x1F150 + ord(one) - 65) if "A" <= one <= "Z" else one for one in text.upper())


def mixed_thin(text: str) -> str:
    chooser = random.Random(len(text))
    return "".join(letter + chooser.choice(["", "\u200d", "\u2060", "\u0301"]) for letter in text)


# Of these any two, one put on over the other, must come off.
NESTING: dict[str, Disguise] = {
    "base64": as_base64,
    "hex": as_hex,
    "url": url,
    "rot13": rot13,
    "entities": entities,
    "spaced": spaced,
    "full width": full_width,
    "homoglyphs": homoglyphs,
    "zero width": thin,
}
SINGLE: dict[str, Disguise] = NESTING | {
    one.__name__: one
    for one in (
        wrapped_base64, bare_base64, as_base32, as_base85, as_ascii85, spaced_hex, escaped_hex, listed_hex, decimals, octals, bits,
        url_twice, hex_entities, backslash_u, quoted_printable, caesar, backwards, words_backwards, leet, dashed, tags, selectors,
        thin_bits, circled, mixed_thin,
    )
}  # fmt: skip
