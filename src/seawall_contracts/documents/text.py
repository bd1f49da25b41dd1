"""Plain text: the file decoded as UTF-8, unchanged."""

from seawall_contracts.documents.limits import DocumentError

_OTHER_FORMATS = {
    b"%PDF-": ("a PDF", "give it the ending .pdf"),
    b"PK\x03\x04": ("an archive or an Office file", "give it its true ending (.docx)"),
    b"\xd0\xcf\x11\xe0": ("an old Office file", "save it as .docx"),
    b"{\\rtf": ("rich text (RTF)", "save it as .docx"),
}
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Control characters that prose never holds, and no text editor writes.
_BINARY = ("\x00", "\x01", "\x02", "\x03", "\x04")


def decode(content: bytes) -> str:
    """Decode a text file; line ends and a byte order mark stay in, so that offsets are those of the file.

    DocumentError names the first byte that is not UTF-8 and what the encoding may be instead.
    """
    for magic, (what, advice) in _OTHER_FORMATS.items():
        if content.startswith(magic):
            raise DocumentError("binary", f"is {what}, though its name says text", advice)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(content, error.start) from None
    if any(sign in text for sign in _BINARY):
        raise _binary()
    return text


def _not_utf8(content: bytes, offset: int) -> DocumentError:
    if content.startswith(_WIDE_MARKS):
        likely = "it begins as UTF-16 does"
    elif b"\x00" in content:
        return _binary()
    else:
        likely = "often Windows-1252 or Latin-1"
    line = content.count(b"\n", 0, offset) + 1
    reason = f"is not UTF-8 text: byte {offset:,} (line {line:,}) belongs to another encoding, {likely}"
    return DocumentError("encoding", reason, "save it anew with the encoding UTF-8")


def _binary() -> DocumentError:
    return DocumentError("binary", "is not text, though its name says so", "name the document itself")
