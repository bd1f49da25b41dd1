"""Verdicts remembered by what was judged, so that the same text is judged once."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b

from seawall.defense.guards.guard import GuardInput, Verdict

_MOST_SPANS = 16
_LONGEST_CODE = 64


@dataclass(slots=True)
class Page:
    """What is known of one input: verdicts by the number of their guard, and, where all are known, what they came to."""

    verdicts: dict[int, Verdict] = field(default_factory=dict[int, Verdict])
    whole: tuple[Verdict, tuple[Verdict, ...]] | None = None


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """Verdicts that were known, verdicts that had to be asked for, and texts held."""

    hits: int
    misses: int
    texts: int


class VerdictMemory:
    """Verdicts on at most `texts` texts, the least recently seen forgotten first; for use from one event loop.

    It holds digests and small verdicts, never text. The digest is keyed with a secret of this object, so it
    tells nothing outside it, and covers all of a `GuardInput`, its scope included: what one tenant had judged
    cannot be told from how fast the same text is judged for another. All scopes share the room: a busy one
    costs the others time, not correctness.
    """

    def __init__(self, texts: int) -> None:
        self._most = texts
        self._secret = secrets.token_bytes(32)
        self._pages: OrderedDict[bytes, Page] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def page(self, value: GuardInput) -> Page:
        """Return what is known of this very input: the caller adds what `fits`."""
        # The lengths keep scope, context, what came before and text apart.
        scope, before = value.scope, value.before
        head = f"{len(scope)}:{scope}{len(value.context)}:{value.context}{len(before)}:{before}"
        digest = blake2b(
            f"{head}{value.text}".encode(errors="surrogatepass"), key=self._secret, digest_size=16
        ).digest()
        page = self._pages.get(digest)
        if page is None:
            page = self._pages[digest] = Page()
            if len(self._pages) > self._most:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(digest)
        return page

    def stats(self) -> MemoryStats:
        """Return what it has done and holds."""
        return MemoryStats(self.hits, self.misses, len(self._pages))


def fits(verdict: Verdict) -> bool:
    """Say whether a verdict may be remembered: it holds no content, and little else."""
    return (
        verdict.replacement is None
        and len(verdict.spans) <= _MOST_SPANS
        and len(verdict.reason_code) <= _LONGEST_CODE
    )
