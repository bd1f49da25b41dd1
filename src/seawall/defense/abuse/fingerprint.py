"""Recognise refused content without keeping it: small edits leave most of a fingerprint as it was.

MinHash over pairs of words (Broder, "On the resemblance and containment of documents", 1997), two minima to a band
(locality-sensitive hashing: Indyk and Motwani, 1998), each band a keyed digest. Two texts with a share s of their
pairs in common agree on a band with probability s², on at least one of six with 1 - (1 - s²)⁶: 0.98 for s = 0.7,
0.83 for s = 0.5, 0.06 for s = 0.1.
"""

import re
import unicodedata
from hashlib import blake2b

import numpy as np

BANDS = 6
_ROWS = 2
_BAND_BYTES = 8
# Bounded work on hostile text; a guard names the passage it refused, and passages are short.
_MOST_CHARACTERS = 8_192
_MOST_WORDS = 1_024
_WORD = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"\d")


def _keys(count: int) -> list[int]:
    keys = [0x9E3779B97F4A7C15]
    for _ in range(count - 1):
        keys.append((keys[-1] * 0xD1342543DE82EF95 + 0x2545F4914F6CDD1D) % (1 << 64) | 1)
    return keys


_KEYS = np.array(_keys(BANDS * _ROWS), np.uint64)[:, None]


def fingerprint(text: str, secret: bytes) -> bytes:
    """Return 48 bytes, six bands of eight, that say nothing of the text without `secret`; none for no words.

    Case, spacing, signs, accents and the value of digits do not matter. Pass the passage that a guard refused, as
    the guard read it, and not the whole document round it: only the first 8,192 characters are read, and what
    surrounds an attack differs. Processes that share trust share `secret`.
    """
    words = _words(text)
    if not words:
        return b""
    pairs = {f"{first} {second}" for first, second in zip(["", *words], [*words, ""], strict=True)}
    keyed = blake2b(key=secret[:64], digest_size=8, person=b"pairs")
    hashes = bytearray()
    for pair in pairs:
        state = keyed.copy()
        state.update(pair.encode())
        hashes += state.digest()
    # Twelve orders of the same pairs; the first of each is a fair draw from them.
    mixed = np.frombuffer(bytes(hashes), "<u8").astype(np.uint64)[None, :] * _KEYS
    lowest = (mixed ^ (mixed >> np.uint64(29))).min(axis=1).astype("<u8").tobytes()
    width = _ROWS * 8
    return b"".join(
        blake2b(lowest[at : at + width], key=secret[:64], digest_size=_BAND_BYTES, person=b"band").digest()
        for at in range(0, len(lowest), width)
    )


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text[:_MOST_CHARACTERS])
    # Marks and unseen characters would break words apart.
    seen = "".join(one for one in folded if unicodedata.category(one) not in {"Mn", "Me", "Cf", "Cs"})
    return _DIGITS.sub("0", " ".join(_WORD.findall(seen.casefold())[:_MOST_WORDS])).split()
