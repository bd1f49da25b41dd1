"""A quotation is a claim about a document, and can be checked."""

_FOLD = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "\u00a0": " ", "\u00ad": "-"}
)


def locate_quote(quote: str, text: str, start: int = 0, end: int | None = None) -> tuple[int, int] | None:
    """Find where `quote` stands in `text[start:end]`; offsets into `text`, half open, or None if it is not there.

    Exact first; then white space, typographic quotes and dashes may differ, as models retype those. Words
    may not differ, in no letter: a paraphrase is not a quotation. Linear in the length of the passage.
    """
    end = len(text) if end is None else end
    wanted = quote.strip()
    if not wanted:
        return None
    exact = text.find(wanted, start, end)
    if exact >= 0:
        return exact, exact + len(wanted)
    folded, offsets = _fold(text[start:end])
    needle, _ = _fold(wanted)
    at = folded.find(needle)
    if at < 0:
        return None
    return start + offsets[at], start + offsets[at + len(needle) - 1] + 1


def _fold(text: str) -> tuple[str, list[int]]:
    letters: list[str] = []
    offsets: list[int] = []
    blank = True
    for offset, letter in enumerate(text.translate(_FOLD)):
        if letter.isspace():
            if not blank:
                letters.append(" ")
                offsets.append(offset)
            blank = True
        else:
            letters.append(letter)
            offsets.append(offset)
            blank = False
    if letters and letters[-1] == " ":
        letters.pop()
        offsets.pop()
    return "".join(letters), offsets
