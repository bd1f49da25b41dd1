"""A document on its way to a review, as one text, so that a run can be stored with it: a `data:` URL (RFC 2397)."""

import base64
import binascii
from dataclasses import dataclass
from pathlib import PurePath
from typing import Self

_KINDS = {
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".txt": "text/plain",
    ".md": "text/markdown",
}
_SUFFIXES = {kind: suffix for suffix, kind in _KINDS.items()}
_SCHEME = "data:"
_BASE64 = ";base64"


class NoDocument(ValueError):
    """What was given is no document of a kind that is read."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's bytes; `suffix` says of which kind they are, such as `.pdf`."""

    content: bytes
    suffix: str

    @classmethod
    def of_file(cls, content: bytes, name: str, kind: str) -> Self:
        """Take an uploaded file: its kind by its name, or else by its media type. NoDocument where neither is known."""
        suffix = PurePath(name).suffix.lower()
        if suffix not in _KINDS:
            suffix = _SUFFIXES.get(kind.partition(";")[0].strip().lower(), "")
        if not suffix:
            raise NoDocument("files of this kind are not read; send a .pdf, .docx, .txt or .md file")
        return cls(content, suffix)

    @classmethod
    def of_text(cls, given: str) -> Self:
        """Read what `as_text` wrote, or take anything else as the contract's own text."""
        if not given.startswith(_SCHEME):
            return cls(given.encode("utf-8", "surrogatepass"), ".txt")
        head, comma, body = given[len(_SCHEME) :].partition(",")
        suffix = _SUFFIXES.get(head.removesuffix(_BASE64))
        if not comma or not head.endswith(_BASE64) or suffix is None:
            raise NoDocument(
                f"a data: URL is read as data:KIND;base64,… with KIND one of {', '.join(_SUFFIXES)}"
            )
        try:
            return cls(base64.b64decode(body, validate=True), suffix)
        except binascii.Error as error:
            raise NoDocument("the data: URL holds no base64; encode the file again") from error

    def as_text(self) -> str:
        """Return it as a data: URL.

        >>> Document(b"This Agreement", ".txt").as_text()
        'data:text/plain;base64,VGhpcyBBZ3JlZW1lbnQ='
        """
        return f"{_SCHEME}{_KINDS[self.suffix]}{_BASE64},{base64.b64encode(self.content).decode()}"
