"""Look into raw files for what should not be in them: not through the database, which shows only what it still knows."""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

# What is shorter is found by chance.
_LEAST = 6


class Scanned(NamedTuple):
    """How many files and bytes were looked through, for how many markers, and in which files one was found."""

    files: int
    size: int
    markers: int
    found: tuple[str, ...]


def scan(folder: Path, markers: Sequence[bytes]) -> Scanned:
    """Look through every file of a folder, and of those in it; markers shorter than 6 bytes are not looked for."""
    wanted = [marker for marker in dict.fromkeys(markers) if len(marker) >= _LEAST]
    files = size = 0
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        files += 1
        with path.open("rb") as file:
            length = file.seek(0, 2)
            size += length
            if not length:
                continue
            with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) as content:
                if any(content.find(marker) >= 0 for marker in wanted):
                    found.append(str(path.relative_to(folder)))
    return Scanned(files, size, len(wanted), tuple(found))
