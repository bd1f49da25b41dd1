"""From a file to questions: everything that is done with the whole document, in a worker process."""

import os
import resource
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, zip_longest
from pathlib import Path

from seawall.agents import Block
from seawall.defense import find_injection
from seawall_contracts.documents import Extracted, Hidden, extract
from seawall_contracts.facts import read_facts
from seawall_contracts.finder.nda import NdaRetriever
from seawall_contracts.finder.retriever import Candidate, Retriever, worth_asking
from seawall_contracts.finder.segments import Segment, segment
from seawall_contracts.reading import Questions
from seawall_contracts.schema import Alert, Facts, Span

ADDRESSED = "text addressed to the reviewer"
HIDDEN = "text hidden from the reader"
UNREAD = "pages that could not be read"
WITHHELD = "[withheld: text addressed to the reviewer, or hidden]"
ALERT_SPANS = 20
_SCANS = 8


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved passage and where it stands in the document."""

    id: str
    start: int
    end: int
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document, read: what rules found in it, and what a model should be asked about it.

    `withheld` are all stretches that are addressed to the reviewer or hidden from a reader of the page. They are kept
    from every model; alerts show the first of them. `candidates` are all that retrieval found for a clause, best first;
    `clauses` are those of them that are worth asking about, with their scores.
    """

    sha256: str
    characters: int
    facts: Facts
    alerts: tuple[Alert, ...]
    withheld: tuple[tuple[int, int], ...]
    passages: tuple[Passage, ...]
    candidates: dict[str, tuple[str, ...]]
    clauses: dict[str, tuple[tuple[str, float], ...]]
    hypotheses: dict[str, tuple[tuple[str, float], ...]]
    seconds: float
    peak_rss_mb: float

    @property
    def tokens(self) -> int:
        """What the whole document would have cost to send; see `estimate_tokens`."""
        return estimate_tokens(self.characters)

    def questions(self) -> Questions:
        """Return the questions, with what is withheld cut out of the passages."""
        asked = {
            id_ for group in (self.clauses, self.hypotheses) for best in group.values() for id_, _ in best
        }
        blocks = (Block(p.id, p.heading, withhold(p, self.withheld)) for p in self.passages if p.id in asked)
        return Questions(tuple(blocks), self.clauses, self.hypotheses)


def estimate_tokens(characters: int) -> int:
    """Estimate tokens from characters, at four to the token: usual for English prose, and free of downloads."""
    return -(-characters // 4)


def prepare(path: str, texts: str, *, nda: bool | None) -> Prepared:
    """Read the file at `path`, keep its text as `texts/SHA256.txt`, and work out what to ask about it.

    `nda` asks the NDA hypotheses (True), or not (False), or if the document is one (None). DocumentError
    where the file cannot be reviewed.
    """
    started = time.perf_counter()
    document = extract(Path(path))
    _keep_text(Path(texts) / f"{document.sha256}.txt", document.text)
    text = document.text
    facts = read_facts(text)
    segments = segment(text)
    clauses = _retriever().retrieve(text, segments)
    asks_nda = facts.document_type == "nda" if nda is None else nda
    hypotheses = _nda_retriever().retrieve(text, segments) if asks_nda else {}
    hidden = _hidden(document)
    addressed = _addressed(text)
    withheld = merged([*addressed, *((stretch.start, stretch.end) for stretch in hidden)])
    said = _one_line("\n".join(text[start:end] for start, end in withheld))
    wanted = sorted(
        {found.segment for group in (clauses, hypotheses) for best in group.values() for found in best}
    )
    return Prepared(
        sha256=document.sha256,
        characters=len(text),
        facts=facts,
        alerts=_alerts(document, addressed, hidden),
        withheld=withheld,
        passages=tuple(_passage(text, number, segments[number], said) for number in wanted),
        candidates={name: tuple(_id(found) for found in best) for name, best in clauses.items()},
        clauses={name: _named(worth_asking(best)) for name, best in clauses.items()},
        hypotheses={name: _named(best) for name, best in hypotheses.items()},
        seconds=time.perf_counter() - started,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


@cache
def _retriever() -> Retriever:
    return Retriever.load()


@cache
def _nda_retriever() -> NdaRetriever:
    return NdaRetriever.load()


def _hidden(document: Extracted) -> tuple[Hidden, ...]:
    """Return what a reader of the page would not see; of a scan, whose recognised text lies invisible under its picture, nothing."""
    unseen = sum(stretch.end - stretch.start for stretch in document.hidden)
    return () if 2 * unseen > len(document.text) else document.hidden


def _addressed(text: str) -> tuple[tuple[int, int], ...]:
    """Find the stretches addressed to the reviewer, in order of place, none overlapping another."""
    found: list[tuple[int, int]] = []
    for _ in range(_SCANS):
        hits = [(hit.start, hit.end) for hit in find_injection(text, "document")]
        if not hits:
            break
        # What is taken out may have swallowed the beginning of what comes after it: look again without it.
        kept = [text[end:start] for (_, end), (start, _) in pairwise([(0, 0), *hits, (len(text), 0)])]
        blanks = ["\n" * (end - start) for start, end in hits]
        text = "".join(part for pair in zip_longest(kept, blanks, fillvalue="") for part in pair)
        found += hits
    return merged(found)


def merged(stretches: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Put stretches in order of place and make one of those that overlap, as `withhold` needs them."""
    apart: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if apart and start < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return tuple(apart)


def _passage(text: str, number: int, found: Segment, said: str) -> Passage:
    # A heading stands in the prompt outside the text that `withhold` cuts, also over passages it is inherited by.
    heading = "" if said and _tainted(found.heading, said) else found.heading
    return Passage(f"P{number}", found.start, found.end, heading, text[found.start : found.end])


def _tainted(heading: str, said: str) -> bool:
    line = _one_line(heading)
    return bool(line) and (line in said or bool(find_injection(line, "document")))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _named(best: tuple[Candidate, ...]) -> tuple[tuple[str, float], ...]:
    return tuple((_id(found), found.score) for found in best)


def _id(found: Candidate) -> str:
    return f"P{found.segment}"


def _alerts(
    document: Extracted, addressed: Sequence[tuple[int, int]], hidden: Sequence[Hidden]
) -> tuple[Alert, ...]:
    text = document.text
    alerts: list[Alert] = []
    if addressed:
        spans = tuple(_span(text, start, end) for start, end in addressed[:ALERT_SPANS])
        why = "the document speaks to whoever reviews it; this text was kept from the model and changed no verdict"
        alerts.append(Alert(kind=ADDRESSED, why=why, spans=spans))
    if hidden:
        spans = tuple(_span(text, stretch.start, stretch.end) for stretch in hidden[:ALERT_SPANS])
        why = f"{'; '.join(sorted({stretch.why for stretch in hidden}))}; it was kept from the model"
        alerts.append(Alert(kind=HIDDEN, why=why, spans=spans))
    if document.unread_pages:
        pages = ", ".join(str(page) for page in document.unread_pages[:ALERT_SPANS])
        why = f"these hold pictures and no text: {pages}; run text recognition (OCR) on the document and review it again"
        alerts.append(Alert(kind=UNREAD, why=why))
    return tuple(alerts)


def _span(text: str, start: int, end: int) -> Span:
    return Span(start=start, end=end, quote=text[start:end])


def withhold(passage: Passage, withheld: Sequence[tuple[int, int]]) -> str:
    """Return the passage's text without the `withheld` stretches of the document, which do not overlap."""
    text = passage.text
    # From the last to the first, so that what is still to be cut keeps its place.
    for found_start, found_end in sorted(withheld, reverse=True):
        start, end = max(found_start, passage.start), min(found_end, passage.end)
        if start < end:
            text = text[: start - passage.start] + WITHHELD + text[end - passage.start :]
    return text


def _keep_text(path: Path, text: str) -> None:
    if path.exists():
        return
    # Written aside and renamed, so that a text which is there is whole.
    aside = path.with_suffix(f".{os.getpid()}.part")
    aside.write_bytes(text.encode("utf-8", "surrogatepass"))
    aside.replace(path)
