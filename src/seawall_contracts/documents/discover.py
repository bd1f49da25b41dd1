"""Which files a command line means."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ENDINGS = frozenset({".txt", ".md", ".pdf", ".docx"})


@dataclass(frozen=True, slots=True)
class Source:
    """A file to review."""

    path: Path


@dataclass(frozen=True, slots=True)
class Failure:
    """Something named or found that cannot be reviewed, and why."""

    path: Path
    error: str


def discover(paths: Sequence[str]) -> Iterator[Source | Failure]:
    """Find the files meant, in the order named; a folder's files sorted by path, folders within it included.

    In a folder, hidden entries and files with other endings are passed over; a file named outright is a Failure if
    its ending is not one we read. A file reached twice (named twice, by a link, through a loop of links) comes
    once. What does not exist, a glob without a match, and a folder that cannot be opened are Failures.
    """
    seen: set[tuple[int, int]] = set()
    for named in paths:
        for path in _expand(named):
            yield from _one(path, seen)


def _expand(named: str) -> list[Path]:
    # A name that exists is that file, whatever brackets it has in it.
    if not os.path.lexists(named) and glob.has_magic(named):
        return [Path(match) for match in sorted(glob.glob(named, recursive=True))] or [Path(named)]  # noqa: PTH207
    return [Path(named)]


def _one(path: Path, seen: set[tuple[int, int]]) -> Iterator[Source | Failure]:
    try:
        found = path.stat()
    except FileNotFoundError:
        why = "the link leads nowhere" if path.is_symlink() else "there is no such file or folder"
        yield Failure(path, f"{why}; check the name")
        return
    except OSError as error:
        yield Failure(path, f"cannot be opened ({error.strerror}); check its permissions and links")
        return
    if path.is_dir():
        yield from _folder(path, seen)
    elif path.suffix.lower() not in ENDINGS:
        kind = path.suffix or "no ending"
        advice = "save it as .docx" if path.suffix.lower() in {".doc", ".rtf", ".odt"} else "name .txt, .md, .pdf or .docx"
        yield Failure(path, f"files of this kind ({kind}) are not read; {advice}")
    elif _first_time(found, seen):
        yield Source(path)


def _folder(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Source | Failure]:
    if not _first_time(folder.stat(), seen):
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield Failure(folder, f"the folder cannot be opened ({error.strerror}); check its permissions")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir() or entry.suffix.lower() in ENDINGS or entry.is_symlink():
            yield from _linked(entry, seen) if entry.is_symlink() else _one(entry, seen)


def _linked(entry: Path, seen: set[tuple[int, int]]) -> Iterator[Source | Failure]:
    """Follow a link found in a folder; one to a file that a folder would pass over is passed over too."""
    if entry.suffix.lower() in ENDINGS or entry.is_dir() or not entry.exists():
        yield from _one(entry, seen)


def _first_time(found: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    identity = (found.st_dev, found.st_ino)
    if identity in seen:
        return False
    seen.add(identity)
    return True
