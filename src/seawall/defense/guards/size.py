"""Text whose size or shape is an attack on whoever reads it."""

from dataclasses import dataclass

from seawall.defense.guards.guard import GuardInput, Verdict
from seawall.foundation.patterns import compile_pattern, scannable
from seawall.foundation.units import size as parse_size

# Eight marks on one letter occur in no script; each is a token or more ("zalgo" text).
_STACKED_MARKS = compile_pattern(
    r"[\x{300}-\x{36F}\x{483}-\x{489}\x{1AB0}-\x{1AFF}\x{1DC0}-\x{1DFF}\x{20D0}-\x{20FF}\x{FE20}-\x{FE2F}]{8}"
)
_UNSEEN_RUN = compile_pattern(r"[\x{200B}-\x{200F}\x{2060}-\x{2064}\x{FE00}-\x{FE0F}\x{E0000}-\x{E01EF}]{16}")


@dataclass(frozen=True, slots=True)
class SizeGuard:
    """Blocks text over `max_bytes` of UTF-8, with a line or a word that is too long, or of bomb-like shape.

    Reason codes: `too_large`, `line_too_long`, `word_too_long`, `stacked_marks`, `unseen_run`. It counts no tokens.
    """

    max_bytes: int
    max_line: int
    max_word: int
    name: str = "size"
    cost: float = 0.0
    max_characters: int = 2**62
    cacheable: bool = True

    def __call__(self, value: GuardInput, /) -> Verdict:
        """Judge size and shape; the dearer tests only once the text is known to be small enough."""
        code = self._reason(value.text)
        if code is None:
            return Verdict(outcome="allow", guard=self.name)
        return Verdict(outcome="block", guard=self.name, reason_code=code, score=1.0)

    def _reason(self, text: str) -> str | None:
        if len(text) > self.max_bytes or len(text.encode("utf-8", "surrogatepass")) > self.max_bytes:
            return "too_large"
        if len(text) > self.max_line and max(map(len, text.split("\n"))) > self.max_line:
            return "line_too_long"
        if len(text) > self.max_word and max(map(len, text.split()), default=0) > self.max_word:
            return "word_too_long"
        if not text.isascii():
            scan = scannable(text)
            if _STACKED_MARKS.search(scan) is not None:
                return "stacked_marks"
            if _UNSEEN_RUN.search(scan) is not None:
                return "unseen_run"
        return None


def size(limit: str | int, *, line: str | int = "1 MB", word: str | int = "20 kB") -> SizeGuard:
    """Make a guard on size: at most `limit` bytes, no line longer than `line`, no word longer than `word` characters.

    The defaults let a contract pass that was written out without a line break; set them lower for chat.
    """
    return SizeGuard(parse_size(limit), parse_size(line), parse_size(word))
