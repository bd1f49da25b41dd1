"""Text that no reader sees, or sees upside down; looked for in the text as it came, before folding removes it."""

import re
from collections import Counter
from collections.abc import Iterator

from seawall.defense.guards.reading.codes import read_bytes
from seawall.defense.guards.reading.english import common_words
from seawall.defense.guards.reading.normalise import Folding, Normalised

_THIN = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")
# Eight letters' worth of bits; emoji and scripts that join letters have a few such characters only.
_LEAST_BITS = 56
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{8,}")
_UPSIDE_DOWN = re.compile("[ǝɐɹʇʌʍʎɥʞɯᴉɔɟ][^\n]*")
_TURNED = dict(
    zip(
        "ɐɔǝɟƃɓɥᴉıɾʞʃɯɹʇʌʍʎ˙∀ƆƎℲ⅁⅂Ԁ┴∩Λ⅄⇂ƐㄥbqdpnuWMmw69¡¿,'",
        "aceffghiijklmrtvwy.ACEFGLPTUVY137qbpdunMWwm96!?',",
        strict=False,
    )
)
_UPRIGHT = {ord(turned): upright for turned, upright in _TURNED.items()} | {ord("ƃ"): "g", ord("ɓ"): "g"}


def unwrap_unseen(raw: str) -> Iterator[tuple[str, Normalised]]:
    """Yield what characters without width, variation selectors and letters upside down say."""
    selected = Folding()
    for match in _SELECTORS.finditer(raw):
        codes = map(ord, match.group())
        plain = read_bytes(bytes(code - 0xFE00 if code < 0xFE10 else code - 0xE0100 + 16 for code in codes))
        selected.add_whole(plain, *match.span())
    if selected.length:
        yield "variation", selected.result()
    thin = _THIN.findall(raw)
    if len(thin) >= _LEAST_BITS:
        places = [match.start() for match in _THIN.finditer(raw)]
        plain = "\n".join(_bits(thin))
        folding = Folding()
        folding.add_whole(plain, places[0], places[-1] + 1)
        if plain:
            yield "zero_width", folding.result()
    turned = Folding()
    for match in _UPSIDE_DOWN.finditer(raw):
        start, end = raw.rfind("\n", 0, match.start()) + 1, match.end()
        letters = raw[start:end].translate(_UPRIGHT)[::-1]
        if common_words(letters) >= 2:
            turned.add_each(letters, range(end - 1, start - 1, -1))
            turned.add_whole("\n", start, end)
    if turned.length:
        yield "upside_down", turned.result()


def _bits(thin: list[str]) -> Iterator[str]:
    """Read two kinds of thin characters as bits, either way round; a third kind may part letters."""
    kinds = [letter for letter, _ in Counter(thin).most_common(3)]
    if len(kinds) == 3:
        yield from _parted("".join(thin), kinds)
    for zero, one in ((0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)):
        if max(zero, one) < len(kinds):
            table = {kinds[zero]: "0", kinds[one]: "1"}
            bits = "".join(table.get(letter, "") for letter in thin)
            for size in (8, 7):
                whole = bits[: len(bits) // size * size]
                letters = [int(whole[at : at + size], 2) for at in range(0, len(whole), size)]
                plain = read_bytes(bytes(letters))
                if plain:
                    yield plain


def _parted(thin: str, kinds: list[str]) -> Iterator[str]:
    """Read letters of any number of bits, parted by whichever kind it is."""
    for part in kinds:
        zero, one = (kind for kind in kinds if kind != part)
        for table in ({ord(zero): "0", ord(one): "1"}, {ord(zero): "1", ord(one): "0"}):
            letters = [
                "".join(kind for kind in bits if kind in "01") for bits in thin.translate(table).split(part)
            ]
            codes = [int(bits, 2) if 0 < len(bits) <= 8 else 0 for bits in letters if bits]
            plain = read_bytes(bytes(codes))
            if plain:
                yield plain
