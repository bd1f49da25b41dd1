"""Letters kept apart (s p a c e d), letters with backslashes, and signs in place of letters (l33t)."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from seawall.defense.guards.reading.english import COMMON, TooMany
from seawall.defense.guards.reading.normalise import Folding, Normalised
from seawall.foundation.patterns import compile_pattern

# Text round a disguised word that is judged with it.
_REACH = 200
_WORD = 32
_BLANK = re.compile(r"\s")
# So many runs of spaced letters in one layer are no writing; no reading them all.
_MOST_RUNS = 1500

SPACED_TRIGGER = compile_pattern(
    r"(?i)(?:^|[^A-Za-z0-9])((?:[a-z0-9@$][ .*_\\|/~+,:;\n\t-]{1,5}){4,}[a-z0-9])(?:[^A-Za-z0-9]|$)"
)
SPREAD_TRIGGER = compile_pattern(r"(?:[!-~][ \t]{1,3}){16,}[!-~]")
# Dots that lead to a page's number are of one kind.
_KINDS = 6
_DIGITS = re.compile(r"[0-9]+")
_LETTER = re.compile(r"([A-Za-z0-9@$])([^A-Za-z0-9@$]*)")
_VOCABULARY = compile_pattern("(?i)" + "|".join(sorted(COMMON, key=lambda word: (-len(word), word))))
_TELLING = compile_pattern(
    r"(?i)ignor|previ|instr|promp|syste|contr|agree|appro|revea|disre|forge|answe|repor|model|risk"
)

BACKSLASH_TRIGGER = compile_pattern(r"(?:\\{1,4}[^\\\n]{1,3}){6,}")

LEET_TRIGGER = compile_pattern(
    r"[A-Za-z][0134578@$!|+]+[A-Za-z]|(?:^|[^A-Za-z0-9@$!|+])[0134578@$!|+]+(?:[a-zA-Z]{3}|[a-mo-qu-zA-Z][a-zA-Z])"
)
_LEET = re.compile(
    r"[A-Za-z][0134578@$!|+]+(?=[A-Za-z])|(?<![A-Za-z0-9@$!|+])[0134578@$!|+]+(?=[A-Za-z]{2})(?!(?:st|nd|rd|th)\b)"
)
_UNLEET = str.maketrans("0134578@$!|+", "oieastbasiit")
_UNLEET_L = str.maketrans("0134578@$!|+", "oleastbasllt")
# Signs that end a word are signs.
_ENDING = re.compile(r"[!|+$@](?![A-Za-z0-9@$!|+])")


def unwrap_leet(text: str) -> Iterator[tuple[str, Normalised]]:
    """Yield the text round words with digits among their letters, these read as letters, one for one.

    A one, a bar and an exclamation mark may stand for i or l: where there are any, both readings are given.
    """
    folding = Folding()
    for start, end in _regions(text, _LEET):
        part = text[start:end]
        kept = {match.start() for match in _ENDING.finditer(part)}
        for table in (_UNLEET, _UNLEET_L):
            plain = part.translate(table)
            if kept:
                letters = list(plain)
                for at in kept:
                    letters[at] = part[at]
                plain = "".join(letters)
            folding.add(plain, start, end)
            folding.add_whole("\n\n", start, end)
            if not _ONE.search(part):
                break
    if folding.length:
        yield "leet", folding.result()


_ONE = re.compile(r"[1!|](?=[A-Za-z0-9@$!|+])|(?<=[A-Za-z])1")


def _regions(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    start = end = -1
    code = 0
    for match in pattern.finditer(text):
        if match.start() < code:
            continue
        code = _code_end(text, match.start())
        if code:
            continue
        if start < 0 or match.start() - _REACH > end:
            if start >= 0:
                yield start, end
            start = _border(text, max(0, match.start() - _REACH), match.start())
        end = min(len(text), match.end() + _REACH)
    if start >= 0:
        yield start, end


def _code_end(text: str, at: int) -> int:
    """Return the end of the run of signs round a place if it is too long to be a word, as in base64; else 0."""
    if max(map(len, text[max(0, at - _WORD) : at + _WORD].split())) <= _WORD:
        return 0
    blank = _BLANK.search(text, at)
    return len(text) if blank is None else blank.start()


def _border(text: str, first: int, last: int) -> int:
    # A word cut in two must not read as another word.
    return text.find(" ", first, last) + 1 or first if first else 0


def unwrap_backslashes(text: str) -> Iterator[tuple[str, Normalised]]:
    r"""Yield text with a backslash before every letter or two (\i\g\n\o\r\e), without them."""
    folding = Folding()
    for match in BACKSLASH_TRIGGER.finditer(text):
        start, end = match.start(), match.end()
        folding.add_each(["" if letter == "\\" else letter for letter in text[start:end]], range(start, end))
        folding.add_whole("\n", start, end)
    yield "backslashes", folding.result()


def unwrap_spaced(text: str) -> Iterator[tuple[str, Normalised]]:
    """Yield the text with letters kept apart put together again, and their words parted; TooMany past 1,500 runs."""
    folding = Folding()
    at = 0
    for number, match in enumerate(SPACED_TRIGGER.finditer(text)):
        if number == _MOST_RUNS:
            raise TooMany
        start, end = match.start(1), match.end(1)
        letters, joints = text[start:end:2], text[start + 1 : end : 2]
        places: Sequence[int] = range(start, end, 2)
        parted = not letters.isalnum() or joints != joints[0] * len(joints)
        if parted:
            pairs: list[tuple[str, str]] = _LETTER.findall(text, start, end)
            letters = "".join(letter for letter, _ in pairs)
            places = [*accumulate((1 + len(joint) for _, joint in pairs[:-1]), initial=start)]
            parts = _parted([joint for _, joint in pairs], letters)
        else:
            parts = _words(letters)
        # Rows of numbers are no words.
        if 2 * len(_DIGITS.sub("", letters)) >= len(letters):
            _between(folding, text, at, start)
            folding.add_each(parts, places)
            at = end
    if at:
        folding.add(text[at : at + _REACH], at, min(len(text), at + _REACH))
        yield "spaced", folding.result()


def unwrap_spread(text: str) -> Iterator[tuple[str, Normalised]]:
    """Yield signs of any kind that blanks keep apart, put together: codes, and words that more blanks part."""
    folding = Folding()
    for match in SPREAD_TRIGGER.finditer(text):
        start, end = match.start(), match.end()
        signs = text[start:end]
        # Letters alone are for `unwrap_spaced`, which parts their words.
        if len({*signs}) > _KINDS and not "".join(signs.split()).isalpha():
            parts = ["" if one in " \t" and before not in " \t" else one for before, one in pairwise(signs)]
            folding.add_each([signs[0], *parts], range(start, end))
            folding.add_whole("\n", start, end)
    if folding.length:
        yield "spread", folding.result()


def _between(folding: Folding, text: str, at: int, start: int) -> None:
    if start - at > 2 * _REACH:
        if at:
            folding.add(text[at : at + _REACH], at, at + _REACH)
            folding.add_whole("\n\n", at + _REACH, start - _REACH)
        at = start - _REACH
    folding.add(text[at:start], at, start)


def _parted(joints: list[str], letters: str) -> list[str]:
    """Part words where the sign after a letter is not the commonest."""
    joint, common = Counter(joints[:-1]).most_common(1)[0]
    if common == len(joints) - 1:
        return _words(letters)
    parts = [one if after == joint else one + " " for one, after in zip(letters, joints, strict=True)]
    return [*parts[:-1], letters[-1]]


def _words(letters: str) -> list[str]:
    """Part words that nothing parts, by a small vocabulary; only where they look like an attack's."""
    parts = [*letters]
    if len(letters) >= 12 and _TELLING.search(letters) is not None:
        for match in _VOCABULARY.finditer(letters):
            parts[match.start()] = " " + parts[match.start()]
            parts[match.end() - 1] += " "
    return parts
