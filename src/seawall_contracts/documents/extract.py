"""A document's text, with what a reader of the page would not have seen."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seawall_contracts.documents.limits import DocumentError, Limits, read_bounded
from seawall_contracts.documents.parts import Hidden, Part, join
from seawall_contracts.documents.text import decode


@dataclass(frozen=True, slots=True)
class Extracted:
    """Text of a document; `sha256` is of the file's bytes, `hidden` are stretches of the text not meant for the eye.

    Stretches are in order and do not overlap. `pages` is None for what has no pages before it is printed.
    `unread_pages` are the numbers (from 1) of PDF pages that show a picture and no text, such as single scanned pages.
    """

    text: str
    sha256: str
    pages: int | None = None
    hidden: tuple[Hidden, ...] = ()
    unread_pages: tuple[int, ...] = ()


def extract(path: Path, limits: Limits | None = None) -> Extracted:
    """Read a .txt, .md, .pdf or .docx file; DocumentError where there is no text to review.

    Deterministic, and blocking: a PDF takes about 10 ms a page.
    """
    limits = limits or Limits()
    kind = path.suffix.lower()
    if kind not in {".txt", ".md", ".pdf", ".docx"}:
        raise DocumentError(
            "unsupported", "files of this kind are not read", "save it as .docx, .pdf or .txt (UTF-8)"
        )
    content = read_bounded(path, limits)
    sha256 = hashlib.sha256(content).hexdigest()
    # The parsers are imported where they are used: text files, the common case, need neither.
    if kind == ".pdf":
        from seawall_contracts.documents.pdf import read_pdf

        pdf = read_pdf(content, limits)
        return _joined(pdf.parts, sha256, limits, pages=pdf.pages, unread_pages=pdf.unread_pages)
    if kind == ".docx":
        from seawall_contracts.documents.docx import read_docx

        return _joined(read_docx(content, limits), sha256, limits)
    return Extracted(_checked(decode(content), limits), sha256)


def _joined(
    parts: Sequence[Part],
    sha256: str,
    limits: Limits,
    pages: int | None = None,
    unread_pages: tuple[int, ...] = (),
) -> Extracted:
    text, hidden = join(parts)
    return Extracted(_checked(text, limits), sha256, pages, hidden, unread_pages)


def _checked(text: str, limits: Limits) -> str:
    if not text.strip("\ufeff\u200b \t\r\n\f\v_"):
        raise DocumentError("empty", "there is no text in it", "export the document again")
    if len(text) > limits.characters:
        reason = f"its text has {len(text):,} characters, and {limits.characters:,} is the most"
        raise DocumentError("too_large", reason, "split the document")
    return text
