"""Renders the sample contracts that are .docx and .pdf from `examples/sources`, the same bytes every time.

A source is simple markdown: `#` title, `##` heading, `**bold**`, `| tables |`, a paragraph a line. Besides that, for
the contracts that attack their reader: `[[white: text]]` is a white run and `[[footnote: text]]` a real footnote.
`NAME.docx.md` becomes `NAME.docx`, `NAME.pdf.md` `NAME.pdf`; a first line `<!-- layout: scan -->` asks for the layout a
bad scan leaves behind: two columns, words cut at line ends, lines in pieces, page headers in the middle of sentences.

Run `python scripts/build_samples.py`; with `--check` nothing is written, and a difference is an error.
"""

import io
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Pt, RGBColor
from reportlab import rl_config
from reportlab.lib.pagesizes import LETTER
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

EXAMPLES = Path(__file__).parent.parent / "examples"
DATE = datetime(2025, 1, 15, 9, 0, 0)  # noqa: DTZ001 - python-docx writes naive dates as UTC
WORDPROCESSING = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
FOOTNOTES = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
SCAN = "<!-- layout: scan -->"
_INLINE = re.compile(r"(\*\*[^*]+\*\*|\[\[white: [^\]]+\]\]|\[\[footnote: [^\]]+\]\])")
Block = tuple[str, Any]


def blocks(source: str) -> Iterator[Block]:
    """Cut a source into ("title" | "heading" | "text", str) and ("table", rows)."""
    rows: list[list[str]] = []
    for raw in [*source.splitlines(), ""]:
        line = raw.strip()
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not all(set(cell) <= set("-: ") for cell in cells):
                rows.append(cells)
            continue
        if rows:
            yield "table", rows
            rows = []
        if line.startswith("## "):
            yield "heading", line[3:]
        elif line.startswith("# "):
            yield "title", line[2:]
        elif line and not line.startswith("<!--"):
            yield "text", line


def render_docx(source: str) -> bytes:
    """Render as a Word document; footnotes go to a footnotes part of their own, as Word keeps them."""
    document = docx.Document()
    properties = document.core_properties
    properties.author, properties.title, properties.last_modified_by = "Seawall samples", "", ""
    properties.created = properties.modified = DATE
    document.styles["Normal"].font.name, document.styles["Normal"].font.size = "Times New Roman", Pt(11)
    notes: list[str] = []
    for kind, content in blocks(source):
        if kind == "table":
            table = document.add_table(rows=0, cols=len(content[0]), style="Table Grid")
            for row in content:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    cell.text = text
        elif kind == "text":
            _add_runs(document.add_paragraph(), content, notes)
        else:
            document.add_heading(content, level=0 if kind == "title" else 2)
    if notes:
        part = Part(PackURI("/word/footnotes.xml"), FOOTNOTES, _footnotes(notes), document.part.package)
        document.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)
    out = io.BytesIO()
    document.save(out)
    return _repack(out.getvalue())


def _add_runs(paragraph: Any, text: str, notes: list[str]) -> None:
    for piece in _INLINE.split(text):
        if piece.startswith("[[white: "):
            paragraph.add_run(piece[9:-2]).font.color.rgb = RGBColor(0xFF, 0xFF, 0xFF)
        elif piece.startswith("[[footnote: "):
            notes.append(piece[12:-2])
            run = paragraph.add_run()
            run.font.superscript = True
            reference = OxmlElement("w:footnoteReference")
            reference.set(qn("w:id"), str(len(notes)))
            run._r.append(reference)  # noqa: SLF001 - python-docx has no footnotes of its own
        elif piece.startswith("**"):
            paragraph.add_run(piece[2:-2]).bold = True
        elif piece:
            paragraph.add_run(piece)


def _footnotes(notes: list[str]) -> bytes:
    # Word wants the two separators, -1 and 0, before any note.
    separators = (
        '<w:footnote w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:footnote>'
        '<w:footnote w:type="continuationSeparator" w:id="0"><w:p><w:r><w:continuationSeparator/></w:r></w:p></w:footnote>'
    )
    body = "".join(
        f'<w:footnote w:id="{number}"><w:p><w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:footnoteRef/></w:r>'
        f'<w:r><w:t xml:space="preserve"> {escape(note, quote=False)}</w:t></w:r></w:p></w:footnote>'
        for number, note in enumerate(notes, start=1)
    )
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    return f'{head}<w:footnotes xmlns:w="{WORDPROCESSING}">{separators}{body}</w:footnotes>'.encode()


def _repack(content: bytes) -> bytes:
    """Write the archive again with one date for every member: python-docx stamps the time of day."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            member = zipfile.ZipInfo(name, DATE.timetuple()[:6])
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o600 << 16
            new.writestr(member, old.read(name))
    return out.getvalue()


def render_pdf(source: str) -> bytes:
    """Render as a PDF with page numbers."""
    rl_config.invariant = 1
    sheet = getSampleStyleSheet()
    body = ParagraphStyle(
        "body", parent=sheet["BodyText"], fontName="Times-Roman", fontSize=10.5, leading=13.5, spaceAfter=5
    )
    styles = {"title": sheet["Title"], "heading": sheet["Heading3"], "text": body}
    story: list[Any] = []
    for kind, content in blocks(source):
        if kind == "table":
            cells = [[Paragraph(escape(cell), body) for cell in row] for row in content]
            story += [
                Table(cells, style=TableStyle([("GRID", (0, 0), (-1, -1), 0.5, "black")])),
                Spacer(1, 8),
            ]
        else:
            marked = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", escape(content))
            story.append(Paragraph(marked, styles[kind]))
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out, pagesize=LETTER, leftMargin=72, rightMargin=72, topMargin=72, bottomMargin=72
    )
    document.build(story, onFirstPage=_page_number, onLaterPages=_page_number)
    return out.getvalue()


def _page_number(canvas: Canvas, document: Any) -> None:
    canvas.setFont("Times-Roman", 9)
    canvas.drawCentredString(LETTER[0] / 2, 40, f"Page {document.page}")


def render_scan(source: str) -> bytes:
    """Render as what text recognition makes of a poor scan."""
    rl_config.invariant = 1
    lines: list[str] = []
    for kind, content in blocks(source):
        text = "  ".join("  ".join(row) for row in content) if kind == "table" else content.replace("**", "")
        lines += [*_cut(text.upper() if kind in {"title", "heading"} else text, 47), ""]
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=LETTER, invariant=1)
    per_column = 52
    columns = [lines[start : start + per_column] for start in range(0, len(lines), per_column)]
    pages = [columns[start : start + 2] for start in range(0, len(columns), 2)]
    for number, page in enumerate(pages, start=1):
        canvas.setFont("Courier", 8)
        canvas.drawString(
            48,
            752,
            f"SCANNED 14 MAR 2024  09:1{number % 10}   DOC ID 00118-73   PAGE {number} OF {len(pages)}",
        )
        for column, texts in enumerate(page):
            _draw_column(canvas, texts, 48 + 272 * column)
        canvas.setFont("Courier", 7)
        canvas.drawString(250, 30, "BEST COPY AVAILABLE")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def _draw_column(canvas: Canvas, lines: list[str], left: float) -> None:
    canvas.setFont("Courier", 8.5)
    for number, line in enumerate(lines):
        top = 730 - 13 * number
        # Every third line comes in two pieces, as recognition splits lines at specks and folds.
        cut = line.find(" ", len(line) // 2) if number % 3 == 1 else -1
        canvas.drawString(left, top, line if cut < 0 else line[:cut])
        if cut >= 0:
            canvas.drawString(left + 5.1 * (cut + 1), top - 0.4, line[cut + 1 :])


def _cut(text: str, width: int) -> Iterator[str]:
    """Break into lines, cutting words of seven letters and more with a hyphen where the line is full."""
    line = ""
    for word in text.split():
        room = width - len(line) - 1
        if len(word) <= room or not line:
            line = f"{line} {word}".strip()
        elif len(word) >= 7 and word.isalpha() and room >= 4:
            yield f"{line} {word[: room - 1]}-"
            line = word[room - 1 :]
        else:
            yield line
            line = word
    yield line


def render(path: Path) -> tuple[Path, bytes]:
    """Render one source; the file it belongs in, and its bytes."""
    source = path.read_text(encoding="utf-8")
    name = path.name.removesuffix(".md")
    renderers: dict[str, Callable[[str], bytes]] = {".docx": render_docx, ".pdf": render_pdf}
    renderer = render_scan if source.startswith(SCAN) else renderers[Path(name).suffix]
    return EXAMPLES / "contracts" / name, renderer(source)


def main(*, check: bool) -> int:
    """Render all sources; with `check`, compare instead of writing."""
    different = 0
    for path in sorted((EXAMPLES / "sources").glob("*.md")):
        target, content = render(path)
        if not check:
            target.write_bytes(content)
        elif not target.exists() or target.read_bytes() != content:
            print(f"{target.name} is not what {path.name} gives: run python scripts/build_samples.py")
            different += 1
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
