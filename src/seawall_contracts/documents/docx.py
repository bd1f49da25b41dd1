"""Word files, by python-docx; footnotes, comments and text boxes too, since attacks hide there."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from docx import Document
from docx.opc.exceptions import PackageNotFoundError
from docx.opc.package import OpcPackage
from lxml import etree

from seawall_contracts.documents.limits import DocumentError, Limits
from seawall_contracts.documents.parts import Part

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_TINY_HALF_POINTS = 4
_NEAR_WHITE = 0xF0
_NOTES = ("footnotes", "endnotes", "comments")
_FAULTS = (PackageNotFoundError, zipfile.BadZipFile, etree.XMLSyntaxError, KeyError, ValueError, AttributeError, EOFError)
_BREAKS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}


def read_docx(content: bytes, limits: Limits) -> list[Part]:
    """Read headers, body (paragraphs and tables in reading order), notes, comments and footers, as parts.

    White, vanishing or tiny text comes along, marked. DocumentError for a file that is broken, encrypted, or unpacks to
    more than the limit, which is checked before it is unpacked.
    """
    _check_archive(content, limits)
    try:
        package = Document(io.BytesIO(content)).part.package
        assert package is not None
        parts = list(_package(package))
    except _FAULTS as error:
        raise _broken(type(error).__name__) from error
    return parts


def _check_archive(content: bytes, limits: Limits) -> None:
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise DocumentError("broken_docx", "is encrypted, or an old .doc under a new name", "save it as .docx, without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise _broken("not a Word file") from error
    if unpacked > limits.unpacked_bytes:
        most = limits.unpacked_bytes // 1_000_000
        raise DocumentError("too_large", f"unpacks to more than {most:,} MB", "export it without embedded files")


def _broken(what: str) -> DocumentError:
    return DocumentError("broken_docx", f"the Word file cannot be read ({what})", "open it in Word and save it anew")


def _package(package: OpcPackage) -> Iterator[Part]:
    main = package.main_document_part
    related = sorted(
        ((rel.reltype.rpartition("/")[2], rel.target_part) for rel in main.rels.values() if not rel.is_external),
        key=lambda pair: str(pair[1].partname),
    )
    for kind, part in related:
        if kind == "header":
            yield from _blocks(_tree(part))
    yield from _blocks(_tree(main))
    for kind, part in related:
        if kind in _NOTES:
            yield Part("\n________\n\n")
            yield from _blocks(_tree(part))
    for kind, part in related:
        if kind == "footer":
            yield from _blocks(_tree(part))


def _tree(part: Any) -> Any:
    element = getattr(part, "element", None)
    if element is not None:
        return element
    # No entities, no network: the file is somebody else's.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    return etree.fromstring(part.blob, parser)


def _blocks(root: Any) -> Iterator[Part]:
    """Walk paragraphs in document order; those of a table's row are divided by tabs, rows by line ends."""
    for paragraph in root.iter(f"{_W}p"):
        if next(paragraph.iterancestors(f"{_W}txbxContent"), None) is not None and _fallback(paragraph):
            continue
        found = list(_runs(paragraph))
        if any(part.text for part in found):
            yield from found
            cell = next(paragraph.iterancestors(f"{_W}tc"), None)
            yield Part("\n\n" if cell is None else _after_cell(cell, paragraph))


def _fallback(paragraph: Any) -> bool:
    # Word writes a text box twice, the second time for readers that do not know the first form.
    return next(paragraph.iterancestors("{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"), None) is not None


def _after_cell(cell: Any, paragraph: Any) -> str:
    last_in_cell = paragraph is list(cell.iter(f"{_W}p"))[-1]
    if not last_in_cell:
        return "\n"
    return "\t" if cell.getnext() is not None else "\n"


def _runs(paragraph: Any) -> Iterator[Part]:
    for run in paragraph.iter(f"{_W}r"):
        if next(run.iterancestors(f"{_W}p")) is not paragraph:
            continue
        text = "".join(_text(child) for child in run)
        if text:
            yield Part(text, _why_hidden(run.find(f"{_W}rPr")))


def _text(element: Any) -> str:
    if element.tag in {f"{_W}t", f"{_W}delText"}:
        return element.text or ""
    return _BREAKS.get(element.tag, "")


def _why_hidden(properties: Any) -> str:
    if properties is None:
        return ""
    vanish = properties.find(f"{_W}vanish")
    if vanish is not None and vanish.get(f"{_W}val", "true") not in {"0", "false"}:
        return "text formatted as hidden"
    colour = properties.find(f"{_W}color")
    if colour is not None and _near_white(colour.get(f"{_W}val", "")):
        return "white text"
    size = properties.find(f"{_W}sz")
    if size is not None and size.get(f"{_W}val", "").isdigit() and int(size.get(f"{_W}val")) <= _TINY_HALF_POINTS:
        return "tiny text"
    return ""


def _near_white(colour: str) -> bool:
    try:
        return len(colour) == 6 and min(bytes.fromhex(colour)) >= _NEAR_WHITE
    except ValueError:
        return False
