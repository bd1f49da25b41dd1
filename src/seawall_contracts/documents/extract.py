"""A document's text, with what a reader of the page would not have seen."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from seawall_contracts.documents.docx import read_docx
from seawall_contracts.documents.limits import DocumentError, Limits, check_size
from seawall_contracts.documents.parts import Hidden, Part, join
from seawall_contracts.documents.pdf import read_pdf

_BINARY = ("\x00", "\x01", "\x02", "\x03")


@dataclass(frozen=True, slots=True)
class Extracted:
    """Text of a document; `sha256` is of the file's bytes, `hidden` are stretches of the text not meant for the eye.

    A .txt or .md file is its bytes decoded as UTF-8, unchanged: line ends, and a byte order mark if it has one,
    are part of the text, so that offsets count what is in the file.
    """

    text: str
    sha256: str
    pages: int | None = None
    hidden: tuple[Hidden, ...] = ()


def extract(path: Path, limits: Limits | None = None) -> Extracted:
    """Read a .txt, .md, .pdf or .docx file; DocumentError where there is no text to review. Deterministic."""
    limits = limits or Limits()
    check_size(path, limits)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DocumentError("unreadable", f"cannot be read ({error.strerror})", "check its permissions") from error
    sha256 = hashlib.sha256(content).hexdigest()
    kind = path.suffix.lower()
    if kind == ".pdf":
        parts, pages = read_pdf(content, limits)
        return _joined(parts, sha256, pages, limits)
    if kind == ".docx":
        return _joined(read_docx(content, limits), sha256, None, limits)
    if kind in {".txt", ".md"}:
        return Extracted(_checked(_decode(content), limits), sha256)
    raise DocumentError("unsupported", f"files of this kind ({kind or 'no ending'}) are not read", "save it as .docx or .pdf")


def _decode(content: bytes) -> str:
    if content.startswith((b"%PDF-", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DocumentError("binary", "is not text, though its name says so", "give it its true ending (.pdf, .docx)")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        if b"\x00" in content[:4096] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DocumentError("binary", "is not text, though its name says so", "name the document itself") from error
        where = f"byte {error.start} is not UTF-8"
        raise DocumentError("encoding", where, "save it as UTF-8 (its encoding looks like another)") from error
    if any(sign in text for sign in _BINARY):
        raise DocumentError("binary", "is not text, though its name says so", "name the document itself")
    return text


def _checked(text: str, limits: Limits) -> str:
    if not text.strip("\ufeff \t\r\n\f\v"):
        raise DocumentError("empty", "there is no text in it", "export the document again")
    if len(text) > limits.characters:
        reason = f"its text has {len(text):,} characters, and {limits.characters:,} is the most"
        raise DocumentError("too_large", reason, "split the document")
    return text


def _joined(parts: list[Part], sha256: str, pages: int | None, limits: Limits) -> Extracted:
    text, hidden = join(parts)
    return Extracted(_checked(text, limits), sha256, pages, hidden)
