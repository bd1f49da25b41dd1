"""Input: files, folders and globs become sources; a source becomes text, or one error that says why it cannot.

    for found in discover(["contracts/", "late/*.pdf"]):      # Source, or Failure with a reason
        document = extract(found.path)                        # Extracted, or raises DocumentError

What it promises
- Every name given or found ends as one `Source` or one `Failure`, never as an exception, and no file comes twice.
- `Extracted.text` is what every offset of a review counts in: a .txt or .md file is its bytes decoded as UTF-8 and nothing
  else (CRLF and a byte order mark stay in), so its offsets are the file's own. The same bytes always give the same text.
- Of a Word file, headers come first, then body, tables (cells divided by tabs) and text boxes in document order, then
  footnotes, endnotes and comments, each under a line, then footers: text in all of these reaches a model.
- `Extracted.hidden` marks text that a reader of the page would not see: white on white, transparent, off the page, of 2 points
  or less, formatted as hidden, or struck out by a tracked change.
- A file over its `Limits` is refused before it is read (size) or unpacked (archives), and a pipe or device is never opened.
- A `DocumentError` has a stable `code` and says what is wrong and what to do; it quotes nothing of the document.

What it does not
- No text recognition: a scan is the error `scanned_pdf`, single scanned pages are numbered in `Extracted.unread_pages`.
- Automatic list numbers of Word are not text, and neither are filled-in form fields and notes pinned to a PDF page.
- Text under an image, behind a clipping path, or white by way of a table style or a pattern is not recognised as hidden.
"""

from seawall_contracts.documents.discover import Failure, Source, discover
from seawall_contracts.documents.extract import Extracted, Hidden, extract
from seawall_contracts.documents.limits import DocumentError, Limits, check_size

__all__ = [
    "DocumentError",
    "Extracted",
    "Failure",
    "Hidden",
    "Limits",
    "Source",
    "check_size",
    "discover",
    "extract",
]
