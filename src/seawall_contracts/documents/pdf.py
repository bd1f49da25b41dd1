"""PDF files, by pypdf."""

import io
import logging
from collections.abc import Callable
from typing import Any

from pypdf import PageObject, PdfReader
from pypdf.errors import PyPdfError

from seawall_contracts.documents.limits import DocumentError, Limits
from seawall_contracts.documents.parts import Part

_TINY = 2.0
_WHITE = 0.95
_INVISIBLE = 3
# What a malformed file makes the parser trip over, besides its own errors.
_PARSER_FAULTS = (PyPdfError, ValueError, KeyError, IndexError, TypeError, AttributeError, ZeroDivisionError, AssertionError)
_FILL = {b"g": 1, b"rg": 3}

logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def read_pdf(content: bytes, limits: Limits) -> tuple[list[Part], int]:
    """Read the pages' text in order, a blank line between pages, and count the pages.

    White, invisible or tiny text comes along, marked. DocumentError for a file that is encrypted, broken, without
    text (a scan), or has too many pages.
    """
    try:
        reader = PdfReader(io.BytesIO(content), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError("encrypted_pdf", "the PDF is encrypted", "save a copy without the password")
        count = len(reader.pages)
        if count > limits.pages:
            raise DocumentError("too_many_pages", f"the PDF has {count:,} pages, and {limits.pages:,} is the most", "split it")
        parts: list[Part] = []
        size = 0
        for page in reader.pages:
            found = _read_page(page)
            size += sum(len(part.text) for part in found)
            if size > limits.characters:
                raise DocumentError("too_large", f"its text has over {limits.characters:,} characters", "split the document")
            parts += [*found, Part("\n\n")]
    except (*_PARSER_FAULTS, RecursionError, NotImplementedError) as error:
        raise DocumentError("broken_pdf", f"the PDF cannot be read ({type(error).__name__})", "open it and save it anew") from error
    if not "".join(part.text for part in parts).strip():
        raise DocumentError("scanned_pdf", "the PDF holds pictures and no text", "run text recognition (OCR) on it first")
    return parts, count


def _read_page(page: PageObject) -> list[Part]:
    """Read a page in pypdf's order; where it shows hidden text, mark which pieces of the page's text that is."""
    state = _Ink()
    suspects: list[tuple[str, str]] = []

    def before(operator: bytes, operands: Any, _matrix: Any, _text_matrix: Any) -> None:
        state.take(operator, operands)

    def piece(text: str, _matrix: Any, text_matrix: list[float], _font: Any, size: float | None) -> None:
        why = state.why(abs((size or 10.0) * (abs(text_matrix[3]) or abs(text_matrix[1]) or 1.0)))
        if why and text.strip():
            suspects.append((text.strip(), why))

    text: str = page.extract_text(visitor_operand_before=before, visitor_text=piece)
    return _mark(text, suspects)


class _Ink:
    """Fill colour and text render mode, as the page's operators set them."""

    def __init__(self) -> None:
        self._fill: tuple[float, ...] = (0.0,)
        self._mode = 0
        self._saved: list[tuple[tuple[float, ...], int]] = []
        self._handlers: dict[bytes, Callable[[Any], None]] = {b"q": self._save, b"Q": self._restore, b"Tr": self._set_mode}

    def take(self, operator: bytes, operands: Any) -> None:
        wanted = _FILL.get(operator)
        if wanted is not None and len(operands) == wanted:
            self._fill = tuple(float(value) for value in operands)
        elif operator == b"k" and len(operands) == 4:
            # Cyan, magenta, yellow, black: none of them is white.
            self._fill = (1.0 - max(float(value) for value in operands),)
        elif operator in self._handlers:
            self._handlers[operator](operands)

    def why(self, size: float) -> str:
        if self._mode == _INVISIBLE:
            return "invisible text"
        if min(self._fill) >= _WHITE:
            return "white text"
        return "tiny text" if size <= _TINY else ""

    def _save(self, _operands: Any) -> None:
        self._saved.append((self._fill, self._mode))

    def _restore(self, _operands: Any) -> None:
        if self._saved:
            self._fill, self._mode = self._saved.pop()

    def _set_mode(self, operands: Any) -> None:
        self._mode = int(operands[0]) if operands else 0


def _mark(text: str, suspects: list[tuple[str, str]]) -> list[Part]:
    parts: list[Part] = []
    at = 0
    for wanted, why in suspects:
        start = text.find(wanted, at)
        if start >= 0:
            parts += [Part(text[at:start]), Part(wanted, why)]
            at = start + len(wanted)
    return [*parts, Part(text[at:])]
