"""Which stretches of a text are judged by themselves: an attack is short, whatever it is hidden in."""

import numpy as np
from numpy.typing import NDArray

from seawall.defense.guards.injection.grams import I64, Grams

_IS_FULL_STOP = np.zeros(0x10000, np.bool_)
_IS_FULL_STOP[[ord(sign) for sign in ".!?;…。！？"]] = True
_LONGEST_SENTENCE = 44
FEWEST = 4


def sliding(grams: Grams, size: int) -> NDArray[np.int64]:
    """Every stretch of `size` words, `[n, 2]` half open, in words; the whole text where it is shorter.

    None where the text has fewer than four words: too few to read anything into.
    """
    if len(grams) < FEWEST:
        return np.zeros((0, 2), np.int64)
    first = np.arange(max(1, len(grams) - size + 1))
    return np.stack((first, np.minimum(first + size, len(grams))), axis=1)


def sentences(grams: Grams, text: str) -> I64:
    """The sentences of 4 to 44 words, `[n, 2]` half open, in words; an empty line ends one as a full stop does."""
    stops = _IS_FULL_STOP[grams.sign[:-1]] & (grams.start[1:] > grams.end[:-1])
    lines = np.cumsum(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32) == ord("\n"))
    empty = lines[grams.start[1:]] - lines[grams.start[:-1]] > 1
    cuts = np.concatenate(([0], np.flatnonzero(stops | empty) + 1, [len(grams)]))
    found = np.stack((cuts[:-1], cuts[1:]), axis=1)
    words = found[:, 1] - found[:, 0]
    return found[(words >= FEWEST) & (words <= _LONGEST_SENTENCE)]
