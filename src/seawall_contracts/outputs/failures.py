"""What to do about a file that could not be reviewed, told from its error's own words."""

_REMEDIES = (
    (("password", "encrypt"), "Save a copy without the password, and run the same command again."),
    (
        ("scan", "no text", "ocr", "image"),
        "It has no text to read: run it through OCR first, then review the result.",
    ),
    (("too large", "larger than", "limit", "too many"), "Split it, or leave it to a person."),
    (
        ("run again", "run the review again", "refused by", "timed out", "took longer"),
        "Run the same command again.",
    ),
    (
        ("damaged", "corrupt", "cannot be read", "not a ", "malformed", "truncated"),
        "Ask for an intact copy, and run the same command again.",
    ),
    (("empty",), "Ask for the document itself: this file has nothing in it."),
)


def explain_failure(error: str) -> str:
    """Return advice for the error's kind; every failed file also needs a person until it has been reviewed."""
    lowered = error.lower()
    for words, advice in _REMEDIES:
        if any(word in lowered for word in words):
            return advice
    return "Open it by hand to see what it is; if it can be repaired, run the same command again."
