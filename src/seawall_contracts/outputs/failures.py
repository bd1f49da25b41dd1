"""What to do about a file that could not be reviewed, in its error's own words."""

_LAST_RESORT = "run the same command again; if it fails again, have a person read the file"


def split_failure(error: str) -> tuple[str, str]:
    """Split an error, "what and why; what to do", into its two halves; one that gives no advice gets some."""
    what, _, advice = error.rpartition("; ")
    return (
        (_sentence(what), _sentence(advice))
        if what and advice
        else (_sentence(error), _sentence(_LAST_RESORT))
    )


def _sentence(text: str) -> str:
    stripped = text.strip().rstrip(".")
    return f"{stripped[:1].upper()}{stripped[1:]}." if stripped else "No reason was recorded."
