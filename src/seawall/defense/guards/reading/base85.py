"""Base85, in both of its common alphabets: all candidates of a text decoded at once, in numpy."""

import re
from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_MARKED = re.compile(r"<~([!-uz\s]{5,})~>")
_RUN = re.compile(r"[!-~]{24,}")
# A code has many different letters; a rule of dashes, a path or an underline has few.
_KINDS = 12
_PLAIN = re.compile(rb"[\x20-\x7e\t\r\n]{16,}")
_NO_LETTER = 255


def _table(alphabet: bytes) -> NDArray[np.uint8]:
    table = np.full(256, _NO_LETTER, np.uint8)
    table[np.frombuffer(alphabet, np.uint8)] = np.arange(85)
    return table


_TABLES = (
    _table(bytes(range(33, 118))),
    _table(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"),
)
_POWERS = np.array([85**4, 85**3, 85**2, 85, 1], np.uint64)


def base85_texts(text: str, regions: list[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    """Yield what base85 in these regions of a text says, with the place of its code."""
    places: list[tuple[int, int]] = []
    runs: list[bytes] = []
    for match in _MARKED.finditer(text) if "<~" in text else ():
        places.append(match.span())
        runs.append("".join(match.group(1).split()).replace("z", "!!!!!").encode())
    for match in chain.from_iterable(_RUN.finditer(text, *region) for region in regions):
        run = match.group()
        if len(set(run)) >= _KINDS and not run.startswith("<~"):
            places.append(match.span())
            runs.append(run.encode())
    if not runs:
        return
    # The last letter of the alphabet fills up the last group.
    padded = [run + b"u" * (-len(run) % 5) for run in runs]
    for number, table in enumerate(_TABLES):
        raw = _decode(
            b"".join(padded if not number else [run + b"~" * (-len(run) % 5) for run in runs]), table
        )
        at = 0
        for (start, end), run in zip(places, padded, strict=True):
            size = len(run) // 5 * 4
            for plain in _PLAIN.findall(raw, at, at + size):
                yield start, end, plain.decode("ascii")
            at += size


def _decode(letters: bytes, table: NDArray[np.uint8]) -> bytes:
    digits = table[np.frombuffer(letters, np.uint8)].reshape(-1, 5)
    values = digits.astype(np.uint64) @ _POWERS
    values[(digits == _NO_LETTER).any(axis=1) | (values >= 1 << 32)] = 0
    return values.astype(">u4").tobytes()
