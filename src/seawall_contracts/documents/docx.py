"""Word files, by python-docx; footnotes, comments and text boxes too, since attacks hide there.

Both of python-docx's XML parsers are set not to resolve entities; so is ours for the parts it leaves unparsed.
"""

import io
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from docx import Document
from docx.opc.exceptions import OpcError
from docx.opc.package import OpcPackage

from seawall_contracts.documents.archive import ARCHIVE_FAULTS, broken, check_archive
from seawall_contracts.documents.limits import Limits
from seawall_contracts.documents.looks import Look, Styles, W, cell_paper, tracked_change
from seawall_contracts.documents.parts import Part

# lxml comes without types.
_lxml: Any = import_module("lxml.etree")
_P, _TC, _TR, _TBL = f"{W}p", f"{W}tc", f"{W}tr", f"{W}tbl"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_NOTES = ("footnotes", "endnotes", "comments")
_LINE = "\n________\n\n"
_FAULTS = (
    *ARCHIVE_FAULTS, OpcError, _lxml.LxmlError, LookupError, TypeError, AttributeError, AssertionError, RecursionError,
    RuntimeError,
)  # fmt: skip
_BREAKS = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-", f"{W}ptab": "\t"}
_WORDS = frozenset({f"{W}t", f"{W}delText"})


def read_docx(content: bytes, limits: Limits) -> list[Part]:
    """Read headers, body (paragraphs and tables in reading order), notes, comments and footers, as parts.

    What a reader would not see comes along, marked. DocumentError for a file that is broken, locked, or unpacks to
    more than the limits, which is checked before it is unpacked.
    """
    check_archive(content, limits)
    try:
        package = Document(io.BytesIO(content)).part.package
        assert package is not None
        return list(_package(package))
    except _FAULTS as error:
        raise broken(type(error).__name__) from None


def _package(package: OpcPackage) -> Iterator[Part]:
    main = package.main_document_part
    named = (
        (rel.reltype.rpartition("/")[2], rel.target_part) for rel in main.rels.values() if not rel.is_external
    )
    # One part may be referred to twice, and is read once.
    unique = {str(part.partname): (kind, part) for kind, part in named}
    related = sorted(unique.items(), key=lambda item: (len(item[0]), item[0]))
    trees = {
        kind: [_tree(part) for _, (found, part) in related if found == kind]
        for kind in ("styles", "header", "footer")
    }
    styles = Styles(trees["styles"][0] if trees["styles"] else None)
    for tree in trees["header"]:
        yield from _blocks(tree, styles)
    yield from _blocks(_tree(main), styles)
    for wanted in _NOTES:
        for _, (kind, part) in related:
            found = list(_blocks(_tree(part), styles)) if kind == wanted else []
            if found:
                yield Part(_LINE)
                yield from found
    for tree in trees["footer"]:
        yield from _blocks(tree, styles)


def _tree(part: Any) -> Any:
    element = getattr(part, "element", None)
    if element is not None:
        return element
    parser = _lxml.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    return _lxml.fromstring(part.blob, parser)


def _blocks(root: Any, styles: Styles) -> Iterator[Part]:
    """Walk paragraphs in document order; cells of a table's row are divided by tabs, rows by line ends."""
    gap = ""
    fallbacks = 0
    paragraphs = 0
    # Cells we are in, and how many paragraphs had come when each began.
    cells: list[tuple[Any, int]] = []
    for event, element in _lxml.iterwalk(root, events=("start", "end"), tag=(_P, _TC, _TR, _TBL, _FALLBACK)):
        if element.tag == _FALLBACK:
            # Word writes a text box twice, the second time for readers that do not know the first form.
            fallbacks += 1 if event == "start" else -1
        elif element.tag == _TC and event == "start":
            cells.append((element, paragraphs))
        elif element.tag == _P and event == "start" and not fallbacks:
            found = list(_runs(element, styles, [cell for cell, _ in cells]))
            if found:
                yield Part(gap)
                yield from found
                gap = "\n" if cells else "\n\n"
                paragraphs += 1
        elif element.tag == _TC:
            has_text = cells.pop()[1] < paragraphs
            gap = "\t" if has_text else gap + "\t" * gap.startswith("\t")
        elif event == "end" and element.tag != _P:
            gap = _gap_after(element.tag, gap, is_in_cell=bool(cells))
    yield Part(gap and "\n\n")


def _gap_after(tag: str, gap: str, *, is_in_cell: bool) -> str:
    """What stands before the next text, once a row or a table has ended."""
    if tag == _TR:
        return "\n" if gap.startswith("\t") else gap
    return gap if is_in_cell or not gap else "\n\n"


def _runs(paragraph: Any, styles: Styles, cells: list[Any]) -> Iterator[Part]:
    inherited = styles.paragraph(paragraph.find(f"{W}pPr"))
    if cells:
        inherited = inherited.over(
            Look(paper=next((found for cell in reversed(cells) if (found := cell_paper(cell))), None))
        )
    for run in paragraph.iter(f"{W}r"):
        # A text box's paragraphs stand inside this one, and are walked on their own.
        if next(run.iterancestors(_P)) is not paragraph:
            continue
        text = "".join(_text(child) for child in run)
        if text:
            why = tracked_change(run, paragraph) or styles.run(run.find(f"{W}rPr"), inherited).why_unseen()
            yield Part(text, why)


def _text(element: Any) -> str:
    if element.tag in _WORDS:
        return element.text or ""
    return _BREAKS.get(element.tag, "")
