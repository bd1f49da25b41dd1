"""PDF files, by pypdf, whose own limits (`pypdf.Configuration`) bound what one stream may unpack to."""

import io
import logging
import struct
import zlib
from dataclasses import dataclass
from typing import Any, cast

from pypdf import PageObject, PdfReader
from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

from seawall_contracts.documents.ink import Canvas, Shown, why_unseen
from seawall_contracts.documents.limits import DocumentError, Limits
from seawall_contracts.documents.parts import Part

# What a malformed file makes the parser trip over, besides its own errors.
_PARSER_FAULTS = (
    PyPdfError, DependencyError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
    RecursionError, NotImplementedError, EOFError, OSError, struct.error, zlib.error,
)  # fmt: skip
# A stamp or a page number on a scanned page is not its text.
_FEW_LETTERS = 40
_SAVE_ANEW = "open it and print it to a new PDF"

# Its complaints about a malformed file would quote the file.
logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class PdfText:
    """A PDF's text in parts, a blank line after each page; `unread_pages` (from 1) show pictures and no text."""

    parts: tuple[Part, ...]
    pages: int
    unread_pages: tuple[int, ...]


@dataclass(slots=True)
class _Budget:
    """What a document may still cost; running out is a DocumentError."""

    characters: int
    operators: int
    content: int

    def check(self) -> None:
        if self.characters < 0:
            raise DocumentError("too_large", "its text is longer than the limit", "split the document")
        if self.operators < 0 or self.content < 0:
            raise DocumentError("too_large", "its pages hold more drawing than the limit", _SAVE_ANEW)


def read_pdf(content: bytes, limits: Limits) -> PdfText:
    """Read the pages' text in order.

    Text that is not seen comes along, marked. DocumentError for a file that is encrypted, broken, without text (a
    scan), or over a limit. A file encrypted with an empty password is read: any viewer opens it.
    """
    try:
        return _read(content, limits)
    except LimitReachedError:
        raise DocumentError(
            "too_large", "a part of the PDF unpacks to more than the limit", _SAVE_ANEW
        ) from None
    except _PARSER_FAULTS as error:
        raise DocumentError(
            "broken_pdf", f"the PDF cannot be read ({type(error).__name__})", _SAVE_ANEW
        ) from None


def _read(content: bytes, limits: Limits) -> PdfText:
    reader = PdfReader(io.BytesIO(content), strict=False)
    if reader.is_encrypted and not reader.decrypt(""):
        raise DocumentError(
            "encrypted_pdf", "the PDF is locked with a password", "save a copy without the password"
        )
    count = len(reader.pages)
    if count > limits.pages:
        reason = f"the PDF has {count:,} pages, and {limits.pages:,} is the most"
        raise DocumentError("too_many_pages", reason, "split the document")
    if count == 0:
        raise DocumentError("empty", "the PDF has no pages", "export the document again")
    budget = _Budget(limits.characters, limits.operators, limits.content_bytes)
    parts: list[Part] = []
    unread: list[int] = []
    has_prose = False
    for number, page in enumerate(reader.pages, start=1):
        found = _read_page(page, budget)
        letters = sum(letter.isalnum() for part in found for letter in part.text)
        has_prose = has_prose or letters >= _FEW_LETTERS
        if letters < _FEW_LETTERS and _has_picture(page):
            unread.append(number)
        parts += [*found, Part("\n\n")]
    if not has_prose and (unread or not any(part.text.strip() for part in parts)):
        raise DocumentError(
            "scanned_pdf", "the PDF holds pictures and no text", "run text recognition (OCR) on it first"
        )
    return PdfText(tuple(parts), count, tuple(unread))


def _read_page(page: PageObject, budget: _Budget) -> list[Part]:
    """Read a page in pypdf's order, and mark which pieces of its text are not seen."""
    budget.content -= _content_size(page)
    budget.check()
    canvas = Canvas(_box(page), _spaces(page), _states(page))
    pieces: list[Part] = []
    shown: list[Shown] = []
    is_showing = [False]

    def before(operator: bytes, operands: Any, matrix: Any, text_matrix: Any) -> None:
        budget.operators -= 1
        if budget.operators < 0:
            budget.check()
        found = canvas.before(operator, operands, matrix, text_matrix)
        if found is not None:
            shown.append(found)
        is_showing[0] = found is not None

    def after(operator: bytes, _operands: Any, _matrix: Any, _text_matrix: Any) -> None:
        canvas.after(operator)

    def piece(text: str, _matrix: Any, _text_matrix: Any, _font: Any, _size: Any) -> None:
        if text:
            pieces.append(Part(text, why_unseen(shown)))
        if text.strip():
            # In the midst of an operator that shows text, its own may be reported now or next.
            del shown[: -1 if is_showing[0] else len(shown)]

    text: str = page.extract_text(
        visitor_operand_before=before, visitor_operand_after=after, visitor_text=piece
    )
    budget.characters -= len(text)
    # pypdf swallows what is raised inside a form, so the budget is looked at again out here.
    budget.check()
    return pieces if "".join(part.text for part in pieces) == text else _found_again(text, pieces)


def _found_again(text: str, pieces: list[Part]) -> list[Part]:
    """Find the hidden pieces in a text that pypdf put together otherwise than it reported it."""
    parts: list[Part] = []
    at = 0
    for piece in pieces:
        wanted = piece.text.strip()
        start = text.find(wanted, at) if wanted else -1
        if start >= 0:
            parts += [Part(text[at:start]), Part(wanted, piece.hidden)]
            at = start + len(wanted)
    return [*parts, Part(text[at:])]


def _content_size(page: PageObject) -> int:
    content = _target(page.get("/Contents"))
    streams = (
        [_target(stream) for stream in cast("list[Any]", content)] if isinstance(content, list) else [content]
    )
    return sum(len(stream.get_data()) for stream in streams if hasattr(stream, "get_data"))


def _target(thing: Any) -> Any:
    """What a reference refers to; anything else as it is."""
    return thing.get_object() if hasattr(thing, "get_object") else thing


def _box(page: PageObject) -> tuple[float, float, float, float]:
    box = page.mediabox
    left, bottom, right, top = float(box.left), float(box.bottom), float(box.right), float(box.top)
    return (min(left, right), min(bottom, top), max(left, right), max(bottom, top))


def _resources(page: PageObject, kind: str) -> dict[str, Any]:
    resources = _entries(page.get("/Resources"))
    return {name: _target(value) for name, value in _entries(resources.get(kind)).items()}


def _entries(thing: Any) -> dict[str, Any]:
    found = _target(thing)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _spaces(page: PageObject) -> dict[str, bool]:
    """Say of each named colour space whether more means lighter, as in red, green and blue, or darker, as of ink."""
    named = {"/DeviceGray": True, "/DeviceRGB": True, "/DeviceCMYK": False, "/Pattern": False}
    for name, space in _resources(page, "/ColorSpace").items():
        parts = cast("list[Any]", space) if isinstance(space, list) else [space]
        family = str(parts[0]) if parts else ""
        named[name] = family in {"/CalGray", "/CalRGB", "/DeviceGray", "/DeviceRGB"}
        if family == "/ICCBased" and len(parts) > 1:
            named[name] = _entries(parts[1]).get("/N") in {1, 3}
    return named


def _states(page: PageObject) -> dict[str, float]:
    """The opacity that each named graphics state gives to text, where it gives one."""
    found = {name: _entries(state) for name, state in _resources(page, "/ExtGState").items()}
    return {name: float(state["/ca"]) for name, state in found.items() if "/ca" in state}


def _has_picture(page: PageObject) -> bool:
    return any(_entries(thing).get("/Subtype") == "/Image" for thing in _resources(page, "/XObject").values())
