"""What a Word file would unpack to, judged by its directory before anything is unpacked."""

import io
import zipfile
import zlib

from seawall_contracts.documents.limits import DocumentError, Limits

_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_DIRECTORY_ENTRY = b"PK\x01\x02"
_MOST_ENTRIES = 10_000
_IS_ENCRYPTED = 0x1
# Small parts of white space and repetition pack very well; only a large one is a bomb.
_HARMLESS = 10_000_000
ARCHIVE_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError)


def check_archive(content: bytes, limits: Limits) -> None:
    """Refuse what is no archive, is encrypted, or would unpack to more than the limits; DocumentError says which."""
    if content.startswith(_OLD_OFFICE):
        if _ENCRYPTED in content:
            raise DocumentError(
                "encrypted_docx", "the Word file is locked with a password", "save a copy without it"
            )
        raise DocumentError(
            "unsupported", "is an old .doc under a new name", "open it in Word and save it as .docx"
        )
    if content.count(_DIRECTORY_ENTRY) > _MOST_ENTRIES:
        raise _too_large(f"holds more than {_MOST_ENTRIES:,} files")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except ARCHIVE_FAULTS:
        raise broken("it is no Word file, or was cut short") from None
    if any(entry.flag_bits & _IS_ENCRYPTED for entry in entries):
        raise DocumentError(
            "encrypted_docx", "the Word file is locked with a password", "save a copy without it"
        )
    if sum(entry.file_size for entry in entries) > limits.unpacked_bytes:
        raise _too_large(f"unpacks to more than {limits.unpacked_bytes / 1_000_000:,.0f} MB")
    if sum(entry.file_size for entry in entries if _is_xml(entry.filename)) > limits.xml_bytes:
        raise _too_large(f"holds more than {limits.xml_bytes / 1_000_000:,.0f} MB of text and formatting")
    for entry in entries:
        if entry.file_size > max(_HARMLESS, limits.unpacked_ratio * entry.compress_size):
            raise _too_large(f"unpacks to more than {limits.unpacked_ratio} times its size")


def broken(what: str) -> DocumentError:
    """Say that a Word file cannot be read."""
    return DocumentError(
        "broken_docx", f"the Word file cannot be read ({what})", "open it in Word and save it anew"
    )


def _is_xml(name: str) -> bool:
    return name.lower().endswith((".xml", ".rels"))


def _too_large(what: str) -> DocumentError:
    return DocumentError(
        "too_large", f"the Word file {what}", "export it without embedded files, or split it"
    )
