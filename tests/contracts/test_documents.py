"""Documents: which files a name means, what their text is, and how each that cannot be read says so."""

import hashlib
import io
import json
import os
import subprocess
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pytest
from docx.oxml import parse_xml
from docx.shared import Pt, RGBColor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader, PdfWriter
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from seawall_contracts.documents import DocumentError, Extracted, Failure, Limits, Source, discover, extract

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PROSE = "This Agreement is governed by the laws of the State of New York."


def names(*paths: Path | str) -> list[str]:
    """What discovery gives: names of sources, and names of failures after an exclamation mark."""
    found = discover([str(path) for path in paths])
    return [one.path.name if isinstance(one, Source) else f"!{one.path.name}" for one in found]


def code_of(path: Path, limits: Limits | None = None) -> str:
    """The code of the error that a document gives; its message must be one line and must not quote the document."""
    with pytest.raises(DocumentError) as caught:
        extract(path, limits)
    assert "\n" not in str(caught.value)
    assert caught.value.advice in str(caught.value)
    return caught.value.code


def hidden(document: Extracted) -> dict[str, str]:
    """Hidden text by the reason why it is not seen, neighbours joined."""
    found: dict[str, str] = {}
    for one in document.hidden:
        found[one.why] = found.get(one.why, "") + document.text[one.start : one.end].strip()
    return found


def write_pdf(path: Path, draw: Callable[[Any], None], pages: int = 1) -> Path:
    """A PDF with the same drawing on each page."""
    canvas: Any = Canvas(str(path), invariant=1)
    for _ in range(pages):
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return path


def prose(canvas: Any) -> None:
    """A line of black text."""
    canvas.drawString(72, 700, PROSE)


def picture(canvas: Any) -> None:
    """A picture over the whole page."""
    canvas.drawImage(ImageReader(Image.new("L", (40, 40), 128)), 0, 0, 600, 800)


def repack(path: Path, changed: dict[str, bytes]) -> Path:
    """Replace or add parts of a Word file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()} | changed
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def write_docx(path: Path, *paragraphs: str) -> Path:
    """A Word file with these paragraphs."""
    document = docx.Document()
    for paragraph in paragraphs or (PROSE,):
        document.add_paragraph(paragraph)
    document.save(str(path))
    return path


def body_docx(path: Path, body: str, **parts: str) -> Path:
    """A Word file with this body as XML; each further part (footnotes="<w:p>…") is related to it."""
    write_docx(path)
    with zipfile.ZipFile(path) as archive:
        kinds = archive.read("[Content_Types].xml").decode()
        links = archive.read("word/_rels/document.xml.rels").decode()
    changed = {"word/document.xml": f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'}
    for kind, content in parts.items():
        changed[f"word/{kind}.xml"] = f'<w:{kind} xmlns:w="{W}"><w:footnote>{content}</w:footnote></w:{kind}>'
        mime = f"application/vnd.openxmlformats-officedocument.wordprocessingml.{kind}+xml"
        kinds = kinds.replace(
            "</Types>", f'<Override PartName="/word/{kind}.xml" ContentType="{mime}"/></Types>'
        )
        link = f'<Relationship Id="x{kind}" Type="{OFFICE}/{kind}" Target="{kind}.xml"/></Relationships>'
        links = links.replace("</Relationships>", link)
    changed |= {"[Content_Types].xml": kinds, "word/_rels/document.xml.rels": links}
    return repack(path, {name: content.encode() for name, content in changed.items()})


def run(text: str, properties: str = "") -> str:
    """A run of Word text as XML."""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def test_folder_is_walked_in_order_without_hidden_or_other_files(tmp_path: Path) -> None:
    """A folder gives its readable files sorted, those in folders too; the rest is passed over in silence."""
    for name in ("b.txt", "a/c.PDF", "a/b.docx", ".secret.txt", ".git/x.txt", "a/notes.xlsx", "z.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert names(tmp_path) == ["b.docx", "c.PDF", "b.txt", "z.md"]


def test_what_is_named_outright_and_unreadable_fails_once_each(tmp_path: Path) -> None:
    """Another ending, nothing there, a link to nowhere, an empty name and one with NUL: a clear Failure each."""
    (tmp_path / "old.doc").write_text("x")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "plain").write_text("x")
    paths = [
        tmp_path / "old.doc",
        tmp_path / "none.txt",
        tmp_path / "gone.txt",
        tmp_path / "plain",
        "",
        "a\x00.txt",
    ]
    found = list(discover([str(path) for path in paths]))
    errors = [one.error for one in found if isinstance(one, Failure)]
    expected = [".docx", "no such file", "leads nowhere", "no ending", "is empty", "no file name has"]
    assert len(errors) == 6
    assert [wanted in error for wanted, error in zip(expected, errors, strict=True)] == [True] * 6


def test_globs_and_names_with_brackets(tmp_path: Path) -> None:
    """A glob gives its matches, sorted; a file that has brackets in its name is that file; no match is a Failure."""
    for name in ("b.txt", "a.txt", "[a].txt", ".hidden.txt", "deep/er/c.txt", "deep/.git/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert names(f"{tmp_path}/?.txt") == ["a.txt", "b.txt"]
    assert names(tmp_path / "[a].txt") == ["[a].txt"]
    assert names(f"{tmp_path}/**/*.txt") == ["[a].txt", "a.txt", "b.txt", "c.txt"]
    assert names(f"{tmp_path}/*.pdf") == ["!*.pdf"]


def test_no_file_comes_twice_and_loops_of_links_end(tmp_path: Path) -> None:
    """Named twice, by a relative detour, by a link, by loops of links, and by a glob through them: once."""
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    for name in ("loop1", "loop2", "loop3"):
        (tmp_path / name).symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")
    detour = f"{tmp_path}/../{tmp_path.name}/a.txt"
    assert names(tmp_path / "a.txt", detour, tmp_path, f"{tmp_path}/**/*.txt") == [
        "a.txt",
        "!self.txt",
        "!self.txt",
    ]


def test_odd_names_are_found_and_fit_into_json(tmp_path: Path) -> None:
    """Line ends, emoji and bytes that are no UTF-8 are names like any other, and no reason repeats them."""
    odd = ["a\nb.txt", "📜.txt", os.fsdecode(b"\xff\xfe.txt"), "x.t\nx", os.fsdecode(b"x.\xff")]
    for name in odd:
        (tmp_path / name).write_text("x")
    found = list(discover([str(tmp_path / name) for name in odd]))
    assert [isinstance(one, Source) for one in found] == [True, True, True, False, False]
    assert all(one.error.isprintable() and one.error.isascii() for one in found if isinstance(one, Failure))
    assert json.loads(json.dumps([str(one.path) for one in found])) == [str(tmp_path / name) for name in odd]


def test_closed_folders_fail_and_the_rest_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may not be listed is one Failure among the sources."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.txt").write_text("x")
    listing = Path.iterdir

    def guarded(path: Path) -> Any:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", guarded)
    assert names(tmp_path) == ["!closed", "open.txt"]


def test_very_deep_folders_are_walked(tmp_path: Path) -> None:
    """Folders nested deeper than Python calls can be are no crash."""
    here = os.getcwd()  # noqa: PTH109
    try:
        os.chdir(tmp_path)
        for _ in range(1_200):
            os.mkdir("d")  # noqa: PTH102
            os.chdir("d")
        Path("deep.txt").write_text("x")
        os.chdir(here)
        assert names(tmp_path) == ["deep.txt"]
    finally:
        os.chdir(here)
        # Nobody who recurses, and pytest does, can remove it again.
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


@pytest.mark.parametrize("text", ["One\r\ntwo\rthree\n", "\ufeffMarked.\n", "Ünïcode 📜\n", "\x0cpage\x0c\n"])
def test_text_is_the_file_unchanged(tmp_path: Path, text: str) -> None:
    """Line ends and a byte order mark stay in, so that offsets are the file's; the hash is of its bytes."""
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    found = extract(path)
    assert found == Extracted(text, hashlib.sha256(text.encode()).hexdigest())


@given(text=st.text(min_size=1).map(lambda text: "x" + text))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_or_is_called_binary(tmp_path: Path, text: str) -> None:
    """Whatever can be written as UTF-8 is read back as it was, unless it holds what only binary files do."""
    path = tmp_path / "any.md"
    path.write_bytes(text.encode())
    if set(text) & set("\x00\x01\x02\x03\x04"):
        assert code_of(path) == "binary"
    else:
        assert extract(path).text == text


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b" \r\n\t\n", "empty"),
        (b"\xef\xbb\xbf\n", "empty"),
        (b"caf\xe9 au lait", "encoding"),
        ("Übereinkunft".encode("utf-16"), "encoding"),
        (b"%PDF-1.7\nx", "binary"),
        (b"PK\x03\x04rest", "binary"),
        (b"\x89PNG\x00\x01", "binary"),
        (b"ab\x00cd", "binary"),
        (b"{\\rtf1 text}", "binary"),
    ],
)
def test_what_is_no_text_says_so(tmp_path: Path, content: bytes, code: str) -> None:
    """Empty, wrongly encoded and binary files behind a .txt ending are told apart."""
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert code_of(path) == code


def test_wrong_encoding_names_the_byte_and_not_the_text(tmp_path: Path) -> None:
    """The message leads to the place: byte and line, and how to mend it."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"first\nsecond caf\xe9")
    with pytest.raises(DocumentError, match=r"byte 16 \(line 2\).*UTF-8") as caught:
        extract(path)
    assert "caf" not in str(caught.value)


def test_what_is_no_file_is_refused_without_opening_it(tmp_path: Path) -> None:
    """A pipe would wait for ever, a device never end; folders, absent files and other endings are refused too."""
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "letter.doc").write_text("x")
    codes = [
        code_of(tmp_path / name) for name in ("pipe.txt", "zero.txt", "folder.txt", "none.txt", "letter.doc")
    ]
    assert codes == ["not_a_file", "not_a_file", "not_a_file", "not_found", "unsupported"]


def test_too_large_a_file_costs_nothing(tmp_path: Path) -> None:
    """300 MB are refused by their size, not by reading them."""
    path = tmp_path / "large.pdf"
    with path.open("wb") as file:
        file.truncate(300_000_000)
    tracemalloc.start()
    assert code_of(path) == "too_large"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_limits_are_parameters(tmp_path: Path) -> None:
    """Each limit can be set, and each has its own answer."""
    text, pdf = tmp_path / "a.txt", write_pdf(tmp_path / "a.pdf", prose, pages=3)
    text.write_text("word " * 100)
    assert code_of(text, Limits(file_bytes=499)) == "too_large"
    assert code_of(text, Limits(characters=499)) == "too_large"
    assert len(extract(text, Limits(file_bytes=500, characters=500)).text) == 500
    assert code_of(pdf, Limits(pages=2)) == "too_many_pages"
    assert code_of(pdf, Limits(characters=70)) == "too_large"
    assert code_of(pdf, Limits(operators=5)) == "too_large"
    assert code_of(pdf, Limits(content_bytes=50)) == "too_large"


def test_pdf_text_pages_and_determinism(tmp_path: Path) -> None:
    """A PDF gives its pages' text in order, their number, nothing hidden, and the same each time."""
    path = write_pdf(tmp_path / "a.pdf", prose, pages=2)
    found = extract(path)
    assert found.text.count(PROSE) == 2
    assert (found.pages, found.hidden, found.unread_pages) == (2, (), ())
    assert found == extract(path)


def unseen(canvas: Any) -> None:
    """Text hidden in every way known, between text that is seen."""
    prose(canvas)
    canvas.setFillColorRGB(1, 1, 1)
    canvas.drawString(72, 680, "On white.")
    canvas.setFillColorRGB(0, 0, 0)
    canvas.drawString(72, 660, "Seen after white.")
    canvas.setFont("Helvetica", 1)
    canvas.drawString(72, 640, "Too small.")
    canvas.setFont("Helvetica", 12)
    text = canvas.beginText(72, 620)
    text.setTextRenderMode(3)
    text.textLine("Not painted.")
    text.setTextRenderMode(0)
    text.textLine("Seen after mode.")
    canvas.drawText(text)
    canvas.drawString(4_000, 580, "Off paper.")
    canvas.setFillAlpha(0)
    canvas.drawString(72, 560, "See-through.")
    canvas.setFillAlpha(1)
    canvas.setFillColorRGB(0, 0, 0.4)
    canvas.rect(60, 500, 400, 30, fill=1, stroke=0)
    canvas.setFillColorRGB(1, 1, 1)
    canvas.drawString(72, 510, "White on a dark bar.")
    canvas.setFillColorCMYK(0, 0, 0, 0)
    canvas.drawString(72, 480, "No ink.")


def test_pdf_text_that_is_not_seen_is_marked(tmp_path: Path) -> None:
    """White, tiny, unpainted, transparent and off the page; a white heading on a dark bar is seen."""
    found = extract(write_pdf(tmp_path / "a.pdf", unseen))
    assert hidden(found) == {
        "white text": "On white.No ink.",
        "tiny text": "Too small.",
        "invisible text": "Not painted.",
        "text off the page": "Off paper.",
        "transparent text": "See-through.",
    }
    assert "Seen after white.\n" in found.text


def test_white_text_inside_a_form_is_marked_and_its_colour_ends_there(tmp_path: Path) -> None:
    """A drawing used by the page is looked into; what the page writes afterwards is seen."""

    def draw(canvas: Any) -> None:
        canvas.beginForm("stamp")
        canvas.setFillColorRGB(1, 1, 1)
        canvas.drawString(0, 0, "White stamp.")
        canvas.endForm()
        canvas.doForm("stamp")
        prose(canvas)

    assert hidden(extract(write_pdf(tmp_path / "a.pdf", draw))) == {"white text": "White stamp."}


def test_scans_and_empty_pages(tmp_path: Path) -> None:
    """Pictures alone are a scan; one scanned page among others is numbered; blank paper is a scan's error too."""

    def mixed(canvas: Any) -> None:
        if canvas.getPageNumber() == 2:
            picture(canvas)
        else:
            prose(canvas)

    def stamped(canvas: Any) -> None:
        picture(canvas)
        canvas.drawString(72, 20, f"Page {canvas.getPageNumber()}")

    assert code_of(write_pdf(tmp_path / "scan.pdf", picture)) == "scanned_pdf"
    assert code_of(write_pdf(tmp_path / "stamped.pdf", stamped, pages=2)) == "scanned_pdf"
    assert extract(write_pdf(tmp_path / "mixed.pdf", mixed, pages=3)).unread_pages == (2,)


def test_encrypted_pdf(tmp_path: Path) -> None:
    """A password is an error of its own; an empty one, which any viewer opens, is not."""
    source = PdfReader(str(write_pdf(tmp_path / "a.pdf", prose)))
    for name, password in (("locked.pdf", "secret"), ("open.pdf", "")):
        writer = PdfWriter()
        writer.append_pages_from_reader(source)
        writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
        with (tmp_path / name).open("wb") as file:
            writer.write(file)
    assert code_of(tmp_path / "locked.pdf") == "encrypted_pdf"
    assert PROSE in extract(tmp_path / "open.pdf").text


@pytest.mark.parametrize("cut", [0.02, 0.2, 0.5])
def test_truncated_files_are_broken(tmp_path: Path, cut: float) -> None:
    """The first part of a file is a broken file, whatever its format."""
    pdf, word = write_pdf(tmp_path / "a.pdf", prose), write_docx(tmp_path / "a.docx")
    for path in (pdf, word):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * cut)])
        assert code_of(path) == f"broken_{path.suffix[1:]}"


@given(
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=30),
    ending=st.sampled_from(["pdf", "docx"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_give_text_or_one_clear_error(
    tmp_path: Path, places: list[tuple[float, int]], ending: str
) -> None:
    """Bytes changed at random never make anything escape but a DocumentError, and offsets always hold."""
    path = tmp_path / f"a.{ending}"
    content = bytearray((write_pdf(path, unseen) if ending == "pdf" else write_docx(path)).read_bytes())
    for place, byte in places:
        content[int(place * (len(content) - 1))] = byte
    path.write_bytes(content)
    try:
        found = extract(path)
    except DocumentError:
        return
    assert all(0 <= one.start < one.end <= len(found.text) for one in found.hidden)


def test_docx_reads_every_place_where_text_can_stand(tmp_path: Path) -> None:
    """Headers first, then body with tables and text boxes in order, notes under a line, footers last."""
    document: Any = docx.Document()
    document.sections[0].header.paragraphs[0].text = "HEADER"
    document.sections[0].footer.paragraphs[0].text = "FOOTER"
    document.add_paragraph("before")
    table = document.add_table(rows=2, cols=2)
    for number, cell in enumerate(table._cells):
        cell.text = f"cell {number}"
    table._cells[2].text = ""
    document.add_paragraph("after")
    document.add_comment(document.paragraphs[0].runs[0], text="COMMENT")
    document.save(str(tmp_path / "a.docx"))
    found = extract(tmp_path / "a.docx")
    assert found.text == (
        "HEADER\n\nbefore\n\ncell 0\tcell 1\ncell 3\n\nafter\n\n\n________\n\nCOMMENT\n\nFOOTER\n\n"
    )
    assert found.hidden == ()


def test_docx_footnotes_and_text_boxes(tmp_path: Path) -> None:
    """A footnote comes at the end under a line; a text box comes once, though Word writes it twice."""
    compat = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    box = f"<w:txbxContent><w:p>{run('BOX')}</w:p></w:txbxContent>"
    twice = f"<mc:AlternateContent {compat}><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    body = f"<w:p>{run('Body.')}<w:r>{twice}</w:r></w:p>"
    path = body_docx(tmp_path / "a.docx", body, footnotes=f"<w:p>{run('NOTE')}</w:p>")
    assert extract(path).text == "Body.\n\nBOX\n\n\n________\n\nNOTE\n\n"


UNSEEN = {
    '<w:color w:val="FFFFFF"/>': "white text",
    '<w:color w:val="F4F5F6"/>': "white text",
    "<w:vanish/>": "text formatted as hidden",
    '<w:vanish w:val="0"/>': "",
    '<w:sz w:val="4"/>': "tiny text",
    '<w:sz w:val="5"/>': "",
    '<w:color w:val="FFFFFF"/><w:shd w:val="clear" w:fill="1F3864"/>': "",
    '<w:color w:val="FFFFFF"/><w:highlight w:val="darkBlue"/>': "",
    '<w:color w:val="000000"/><w:highlight w:val="black"/>': "text in the colour of its background",
    '<w:color w:val="auto"/>': "",
}


@pytest.mark.parametrize("properties", UNSEEN)
def test_docx_text_that_is_not_seen_is_marked(tmp_path: Path, properties: str) -> None:
    """Colour is judged against what it stands on, so that white on a dark ground counts as seen."""
    path = body_docx(
        tmp_path / "a.docx", f"<w:p>{run('Seen. ')}{run('Secret', properties)}{run(' Seen.')}</w:p>"
    )
    assert hidden(extract(path)) == ({UNSEEN[properties]: "Secret"} if UNSEEN[properties] else {})


def test_docx_looks_are_inherited_from_styles_and_cells(tmp_path: Path) -> None:
    """A style based on a hidden one hides too; white text in a dark cell is seen."""
    document: Any = docx.Document()
    base = document.styles.add_style("Ghost", 1)
    base.font.color.rgb = RGBColor(255, 255, 255)
    document.styles.add_style("Child", 1).base_style = base
    speck = document.styles.add_style("Speck", 2)
    speck.font.size = Pt(1)
    document.add_paragraph("In white.", style="Child")
    document.add_paragraph("Large ").add_run("Small.", style="Speck")
    cell = document.add_table(rows=1, cols=1)._cells[0]
    cell.paragraphs[0].style = "Child"
    cell.paragraphs[0].add_run("On dark.")
    shade: Any = parse_xml(f'<w:shd xmlns:w="{W}" w:val="clear" w:fill="102030"/>')
    cell._tc.get_or_add_tcPr().append(shade)
    document.save(str(tmp_path / "a.docx"))
    assert hidden(extract(tmp_path / "a.docx")) == {"white text": "In white.", "tiny text": "Small."}


def test_docx_tracked_deletions_are_marked_and_insertions_are_text(tmp_path: Path) -> None:
    """Text that a tracked change takes away is there for the reader of the review, and marked."""
    body = f"<w:p>{run('Kept ')}<w:ins>{run('added ')}</w:ins><w:del><w:r><w:delText>struck</w:delText></w:r></w:del></w:p>"
    found = extract(body_docx(tmp_path / "a.docx", body))
    assert found.text == "Kept added struck\n\n"
    assert hidden(found) == {"text deleted by a tracked change": "struck"}


def test_docx_bombs_are_refused_before_unpacking(tmp_path: Path) -> None:
    """Too much in all, too much to parse, too well packed, too many files: each refused by the directory alone."""
    bomb = repack(write_docx(tmp_path / "a.docx"), {"word/media/x.bin": bytes(20_000_000)})
    assert code_of(bomb) == "too_large"
    assert PROSE in extract(bomb, Limits(unpacked_ratio=2_000)).text
    assert code_of(bomb, Limits(unpacked_ratio=2_000, unpacked_bytes=1_000_000)) == "too_large"
    assert code_of(write_docx(tmp_path / "b.docx"), Limits(xml_bytes=1_000)) == "too_large"
    many = repack(write_docx(tmp_path / "c.docx"), {f"x/{number}": b"" for number in range(10_001)})
    assert code_of(many) == "too_large"


@pytest.mark.parametrize("part", ["word/document.xml", "word/footnotes.xml"])
def test_docx_entities_are_not_expanded(tmp_path: Path, part: str) -> None:
    """Neither a file of this machine nor a billion laughs come into the text."""
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP SECRET")
    laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    for kinds, code in (
        (f'<!ENTITY f SYSTEM "{secret.as_uri()}">', ""),
        (f'<!ENTITY l0 "ha">{laughs}', "broken_docx"),
    ):
        body = f"<w:p>{run('Begin &l9; end' if code else 'Begin &f; end')}</w:p>"
        content = f'<!DOCTYPE x [{kinds}]><w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'
        path = body_docx(tmp_path / "a.docx", f"<w:p>{run(PROSE)}</w:p>", footnotes="")
        repack(path, {part: content.encode()})
        if code:
            assert code_of(path) == code
        else:
            text = extract(path).text
            assert "Begin" in text
            assert "SECRET" not in text


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "encrypted_docx"),
        (b"\xd0\xcf\x11\xe0" + b"Word.Document.8", "unsupported"),
        (b"not a zip", "broken_docx"),
    ],
)
def test_docx_that_is_something_else(tmp_path: Path, content: bytes, code: str) -> None:
    """A locked file and an old .doc under a new name are told apart from a broken one."""
    path = tmp_path / "a.docx"
    path.write_bytes(content)
    assert code_of(path) == code


def test_docx_without_text_or_without_parts(tmp_path: Path) -> None:
    """An empty document is empty; an archive that is no document, and one with locked entries, are broken or locked."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("hello.txt", "x")
    (tmp_path / "zip.docx").write_bytes(archive.getvalue())
    locked = write_docx(tmp_path / "locked.docx")
    content = bytearray(locked.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    locked.write_bytes(content)
    assert code_of(write_docx(tmp_path / "empty.docx", "")) == "empty"
    assert code_of(tmp_path / "zip.docx") == "broken_docx"
    assert code_of(locked) == "encrypted_docx"
