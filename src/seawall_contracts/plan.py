"""What a run has to do: which files there are, and which of them are the same document."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seawall_contracts.documents import DocumentError, Limits, Source, check_size, discover
from seawall_contracts.outputs.results import json_safe


@dataclass(frozen=True, slots=True)
class Plan:
    """Files by key of work, one key a content; files that cannot be read; and the place of each file's row."""

    files: dict[str, list[str]]
    sha256: dict[str, str]
    failures: tuple[tuple[str, str], ...]
    order: dict[str, int]


def make_plan(
    paths: Sequence[str],
    key_of: Callable[[str], str],
    limits: Limits | None = None,
    *,
    without: Path | None = None,
) -> Plan:
    """Find the files and hash them; nothing is parsed yet. Files that lie in the folder `without` are passed over."""
    files: dict[str, list[str]] = {}
    hashes: dict[str, str] = {}
    failures: list[tuple[str, str]] = []
    order: dict[str, int] = {}
    for found in discover(paths):
        if without is not None and _lies_in(found.path, without):
            continue
        name = str(found.path)
        order[json_safe(name)] = len(order)
        if not isinstance(found, Source):
            failures.append((name, found.error))
            continue
        try:
            check_size(found.path, limits or Limits())
            digest = _sha256(found.path)
        except DocumentError as error:
            failures.append((name, str(error)))
        except OSError as error:
            failures.append((name, f"cannot be read: {error.strerror}; check its permissions"))
        else:
            key = key_of(digest)
            hashes[key] = digest
            files.setdefault(key, []).append(name)
    return Plan(files, hashes, tuple(failures), order)


def _lies_in(path: Path, folder: Path) -> bool:
    return path.parent.name == folder.name and path.parent.resolve() == folder.resolve()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
