"""Which files a command line means."""

import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ENDINGS = frozenset({".txt", ".md", ".pdf", ".docx"})
_CONVERTIBLE = frozenset({".doc", ".rtf", ".odt", ".pages", ".docm", ".dotx"})
_Identity = tuple[int, int, str]
_PLAIN_ENDING = re.compile(r"\.[A-Za-z0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to review; it had a known ending when it was found, nothing else is promised of it."""

    path: Path


@dataclass(frozen=True, slots=True)
class Failure:
    """Something named or found that cannot be reviewed, and why. The reason holds nothing of a name but its ending."""

    path: Path
    error: str


def discover(paths: Sequence[str]) -> Iterator[Source | Failure]:
    """Find the files meant, in the order named; a folder's files sorted by name, folders within it included.

    In a folder, hidden entries and files with other endings are passed over; a file named outright is a Failure if
    its ending is not one we read. One real path comes once, however often it is named or linked to (hard links are
    files of their own). What does not exist, a glob without a match, and a folder that cannot be opened are Failures.
    """
    seen: set[_Identity] = set()
    for named in paths:
        if not named:
            yield Failure(Path(named), "the name is empty; name a file, a folder or a pattern")
            continue
        for path in _expand(named):
            yield from _walk(path, seen)


def _expand(named: str) -> list[Path]:
    # A name that exists is that file, whatever brackets it has in it.
    if os.path.lexists(named) or not glob.has_magic(named) or "\x00" in named:
        return [Path(named)]
    pattern = Path(named)
    try:
        # pathlib's `**` does not follow links, so loops of links cannot multiply; glob's does.
        found = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
        dotted = any(part.startswith(".") and part not in {".", ".."} for part in pattern.parts)
        matches = sorted(path for path in found if dotted or not _is_hidden(path))
    except (ValueError, NotImplementedError, OSError, RecursionError):
        matches = []
    return matches or [pattern]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") and part not in {".", ".."} for part in path.parts)


def _walk(named: Path, seen: set[_Identity]) -> Iterator[Source | Failure]:
    # A stack, not recursion: folders may be nested deeper than Python's calls.
    waiting = [(named, True)]
    while waiting:
        path, is_named = waiting.pop()
        try:
            found = path.stat()
        except (OSError, ValueError) as error:
            if is_named or path.suffix.lower() in ENDINGS or _is_link(path):
                yield Failure(path, _why_not(path, error))
            continue
        is_folder = stat.S_ISDIR(found.st_mode)
        if not is_folder and path.suffix.lower() not in ENDINGS:
            if is_named:
                yield Failure(path, _other_ending(path.suffix))
        elif _is_new(path, found, seen):
            if not is_folder:
                yield Source(path)
                continue
            try:
                entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
            except OSError as error:
                yield Failure(path, f"the folder cannot be opened ({error.strerror}); check its permissions")
                continue
            waiting += [(entry, False) for entry in reversed(entries)]


def _is_new(path: Path, found: os.stat_result, seen: set[_Identity]) -> bool:
    """Whether this real file or folder has not come before; two hard links to a file are two files."""
    identity: _Identity = (found.st_dev, found.st_ino, "")
    if not stat.S_ISDIR(found.st_mode):
        # Not the whole real path: working that out takes quadratic time in deep folders.
        real = Path(os.path.realpath(path)) if _is_link(path) else path
        folder = real.parent.stat()
        identity = (folder.st_dev, folder.st_ino, real.name)
    if identity in seen:
        return False
    seen.add(identity)
    return True


def _is_link(path: Path) -> bool:
    return os.path.islink(path)  # noqa: PTH114  pathlib's own raises where the folder may not be searched


def _why_not(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "the name holds a character that no file name has; check the name"
    if isinstance(error, FileNotFoundError):
        why = "the link leads nowhere" if _is_link(path) else "there is no such file or folder"
        return f"{why}; check the name"
    return f"cannot be opened ({error.strerror}); check its permissions and links"


def _other_ending(suffix: str) -> str:
    # An ending may hold anything, even bytes that are no characters; only plain ones are repeated.
    kind = (suffix if _PLAIN_ENDING.fullmatch(suffix) else "an unknown ending") if suffix else "no ending"
    advice = "save it as .docx" if suffix.lower() in _CONVERTIBLE else "name .txt, .md, .pdf or .docx files"
    return f"files of this kind ({kind}) are not read; {advice}"
