"""How large a document may be, and what a document that cannot be reviewed says of itself."""

import stat
from dataclasses import dataclass
from pathlib import Path

_MB = 1_000_000


class DocumentError(Exception):
    """A document cannot be reviewed. The message says what is wrong and what to do; it quotes nothing of the document.

    `code` is stable, for machines: empty, binary, encoding, too_large, scanned_pdf, encrypted_pdf, broken_pdf,
    broken_docx, unreadable, not_found, not_a_file, unsupported, too_many_pages.
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
    """Bounds on one document: bytes of the file, characters of its text, pages, bytes of a docx once unpacked."""

    file_bytes: int = 50 * _MB
    characters: int = 5_000_000
    pages: int = 2_000
    unpacked_bytes: int = 500 * _MB


def check_size(path: Path, limits: Limits) -> None:
    """Refuse what is no file, is empty or is too large, before a byte of it is read; DocumentError says which."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise DocumentError("not_found", "there is no such file", "check the name, or the link that led here") from None
    except OSError as error:
        raise DocumentError("unreadable", f"cannot be read ({error.strerror})", "check its permissions") from error
    if not stat.S_ISREG(found.st_mode):
        raise DocumentError("not_a_file", "is not an ordinary file", "name a file, not a device or a pipe")
    if found.st_size == 0:
        raise DocumentError("empty", "the file is empty", "export the document again")
    if found.st_size > limits.file_bytes:
        size, most = found.st_size / _MB, limits.file_bytes / _MB
        raise DocumentError(
            "too_large", f"the file has {size:.0f} MB, and {most:.0f} MB is the most", "split it, or export it without images"
        )
