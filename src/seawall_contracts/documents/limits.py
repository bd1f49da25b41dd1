"""How large a document may be, and what a document that cannot be reviewed says of itself."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

_MB = 1_000_000


class DocumentError(Exception):
    """A document cannot be reviewed. The message says what is wrong and what to do; it quotes nothing of the document.

    `code` is stable, for machines: not_found, not_a_file, unreadable, unsupported, empty, too_large, too_many_pages,
    binary, encoding, broken_pdf, encrypted_pdf, scanned_pdf, broken_docx, encrypted_docx.
    """

    def __init__(self, code: str, reason: str, advice: str) -> None:
        super().__init__(code, reason, advice)
        self.code = code
        self.reason = reason
        self.advice = advice

    def __str__(self) -> str:
        """Say what and why, then what to do."""
        return f"{self.reason}; {self.advice}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one document.

    `file_bytes` of the file, `characters` of its text, `pages` of a PDF; of a Word file once unpacked, `unpacked_bytes` in
    all, `xml_bytes` of it parsed, and `unpacked_ratio` to its packed size; of a PDF, `content_bytes` of drawing once
    unpacked and `operators` in it, which bound the time that pages take (about 100,000 operators a second).
    """

    file_bytes: int = 50 * _MB
    characters: int = 5_000_000
    pages: int = 2_000
    unpacked_bytes: int = 200 * _MB
    xml_bytes: int = 60 * _MB
    unpacked_ratio: int = 200
    content_bytes: int = 100 * _MB
    operators: int = 5_000_000


def check_size(path: Path, limits: Limits) -> None:
    """Refuse what is no file, is empty or is too large, before a byte of it is read; DocumentError says which."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(error) from None
    _check(found, limits)


def read_bounded(path: Path, limits: Limits) -> bytes:
    """Read a file that keeps to `file_bytes`; one that is swapped or grows meanwhile is still not read beyond it."""
    check_size(path, limits)
    try:
        # Opening a pipe without O_NONBLOCK waits for a writer, should one have taken the file's place.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            _check(os.fstat(descriptor), limits)
            content = file.read(limits.file_bytes + 1)
    except OSError as error:
        raise _unreadable(error) from None
    if len(content) > limits.file_bytes:
        raise _too_large(len(content), limits)
    return content


def _check(found: os.stat_result, limits: Limits) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise DocumentError(
            "not_a_file", "is not an ordinary file", "name a file, not a folder, a device or a pipe"
        )
    if found.st_size == 0:
        raise DocumentError("empty", "the file is empty (0 bytes)", "export the document again")
    if found.st_size > limits.file_bytes:
        raise _too_large(found.st_size, limits)


def _too_large(size: int, limits: Limits) -> DocumentError:
    reason = f"the file has {size / _MB:,.1f} MB, and {limits.file_bytes / _MB:,.1f} MB is the most"
    return DocumentError("too_large", reason, "split it, or export it without images")


def _unreadable(error: OSError | ValueError) -> DocumentError:
    if isinstance(error, FileNotFoundError):
        return DocumentError(
            "not_found", "there is no such file", "check the name, or the link that led here"
        )
    why = error.strerror if isinstance(error, OSError) else "no file can have this name"
    return DocumentError("unreadable", f"cannot be read ({why})", "check its permissions and its name")
