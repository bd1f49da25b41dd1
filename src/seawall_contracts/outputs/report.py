"""`report.html`: a whole run in one file which opens offline, asks the network for nothing and runs nobody's code.

Documents are hostile input. Everything of theirs is text: escaped by the template, or JSON inside a data block that the
page's own script turns into text nodes. The page's policy (CSP, trusted types) forbids any other script, style or request.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from markupsafe import Markup

from seawall_contracts.outputs.compact import Json, Phrases, cited_spans, detail, index_entry, with_text
from seawall_contracts.outputs.economics import (
    Assumptions,
    Manual,
    compute_return,
    dollars,
    hours,
    plain,
    seconds,
    sensitivity,
    show_arithmetic,
)
from seawall_contracts.outputs.failures import split_failure
from seawall_contracts.outputs.page import data_block, json_text, render
from seawall_contracts.outputs.passages import (
    Text,
    choose_whole,
    excerpts,
    quotations,
    read_text,
    text_path,
    whole,
)
from seawall_contracts.outputs.portfolio import Portfolio
from seawall_contracts.outputs.rows import RISKS, ContractRow, RunFacts, parse_row

TEXT_BUDGET = 12_000_000
EXCERPT_BUDGET = 18_000_000
_LARGEST_TEXT = 1_000_000
_EXCERPTS_EACH = 8_000
_FAILURES_SHOWN = 500


@dataclass(slots=True)
class _Gathered:
    """What one pass over the rows leaves: counts, table entries, and each page's place in the spool."""

    spool: IO[bytes]
    texts: Path
    portfolio: Portfolio = field(default_factory=Portfolio)
    phrases: Phrases = field(default_factory=Phrases)
    entries: list[str] = field(default_factory=list[str])
    places: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    sizes: list[int] = field(default_factory=list[int])
    urgency: list[tuple[bool, int]] = field(default_factory=list[tuple[bool, int]])
    originals: dict[str, int] = field(default_factory=dict[str, int])
    failures: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    def add(self, row: ContractRow) -> None:
        """Take one row in; its page waits in the spool."""
        self.portfolio.add(row)
        entry = index_entry(row, self.phrases)
        copied = row.duplicate_of is not None and row.status == "reviewed"
        page: Json = {"copy": row.duplicate_of} if copied else {}
        if row.status == "reviewed":
            page |= detail(row, self.phrases)
            if not copied:
                self.originals[row.file] = len(self.entries)
        elif len(self.failures) < _FAILURES_SHOWN:
            self.failures.append((row.file, *split_failure(row.error or "")))
        start = self.spool.tell()
        self.spool.write(json_text(page).encode("utf-8", "backslashreplace"))
        self.places.append((start, self.spool.tell() - start))
        self.sizes.append(0 if copied or row.status == "failed" else _size(text_path(self.texts, row.sha256)))
        self.urgency.append((not row.alerts, len(RISKS) if row.risk is None else RISKS.index(row.risk)))
        self.entries.append(json_text(entry))

    def page(self, at: int) -> Json:
        """Read a page back."""
        start, length = self.places[at]
        self.spool.seek(start)
        return json.loads(self.spool.read(length))


def write_report(
    path: Path,
    rows: Iterable[Mapping[str, object]],
    run: Mapping[str, object],
    texts: Path,
    *,
    text_budget: int = TEXT_BUDGET,
) -> None:
    """Write the report of a run and put it in place in one step.

    `rows` are those of `results.jsonl`, read once and never held together; `run` is `run.json`; `texts` holds
    `SHA256.txt` for each document. Up to `text_budget` bytes of whole texts go in, contracts with alerts first, then the
    riskiest; the others get excerpts around what their page cites, and name the file with the whole text. A missing text
    leaves the quotations. Raises pydantic's ValidationError for a row that is none.
    """
    facts = RunFacts.model_validate(run)
    with TemporaryFile(dir=path.parent) as spool:
        gathered = _Gathered(spool, texts)
        for row in rows:
            gathered.add(parse_row(row))
        folder = Path(os.path.relpath(texts, path.parent)).as_posix()
        aside = path.with_suffix(".part")
        with aside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
            out.writelines(render(_context(gathered, facts), _pages(gathered, text_budget, folder)))
        aside.replace(path)


def _pages(gathered: _Gathered, budget: int, folder: str) -> Iterator[Markup]:
    count = len(gathered.places)
    order = sorted(range(count), key=lambda at: gathered.urgency[at])
    chosen = choose_whole(gathered.sizes, order, budget, _LARGEST_TEXT)
    limit = min(_EXCERPTS_EACH, EXCERPT_BUDGET // max(1, count))
    for at in range(count):
        page = gathered.page(at)
        original = gathered.originals.get(str(page.pop("copy", None)))
        if original is not None:
            page = {"copy_of": original}
        elif page:
            page = _fill(gathered, page, f"{folder}/{page['sha256']}.txt", None if at in chosen else limit)
        yield data_block(f"c{at}", json_text(page))


def _fill(gathered: _Gathered, page: Json, shown_path: str, limit: int | None) -> Json:
    """Add the text to a page: all of it if `limit` is None, else excerpts of so many characters."""
    cited = cited_spans(page)
    place = text_path(gathered.texts, str(page["sha256"]))
    full = None if place is None else read_text(place)
    if full is None:
        return with_text(page, cited, quotations(cited, _EXCERPTS_EACH), None, "")
    if limit is None and _escaped_much(full):
        limit = _EXCERPTS_EACH
    text: Text = whole(full) if limit is None else excerpts(full, cited, limit)
    return with_text(page, cited, text, full, shown_path)


def _escaped_much(text: str) -> bool:
    # A text of control characters or `<` grows sixfold as JSON: it would break the budget, which counts bytes on disk.
    return len(json_text(text)) > 1.5 * len(text) + 1000


def _size(path: Path | None) -> int:
    try:
        return 0 if path is None else path.stat().st_size
    except OSError:
        return 0


def _context(gathered: _Gathered, run: RunFacts) -> dict[str, object]:
    portfolio = gathered.portfolio
    manual = Manual(run.baseline.minutes_per_contract, run.baseline.usd_per_contract)
    work = portfolio.workload(run)
    assumed = Assumptions()
    result = compute_return(manual, work, assumed)
    shares = tuple(Decimal(each) for each in ("1", "0.75", "0.5", "0.25"))
    minutes = tuple(Decimal(each) for each in ("0", "5", "10"))
    core, others = portfolio.clauses()
    return {
        "run": run,
        "portfolio": portfolio,
        "day": _day(run.finished),
        "core_clauses": core,
        "other_clauses": others,
        "failures": gathered.failures,
        "manual": manual,
        "work": work,
        "result": result,
        "half": compute_return(manual, work, Assumptions(lawyer_share=Decimal("0.5"))),
        "lines": show_arithmetic(manual, work, assumed),
        "minutes": minutes,
        "sensitivity": sensitivity(manual, work, shares, minutes),
        "dollars": dollars,
        "hours": hours,
        "plain": plain,
        "seconds": seconds,
        "index": data_block("index", "[" + ",\n".join(gathered.entries) + "]"),
        "phrases": data_block("phrases", json_text(list(gathered.phrases.texts))),
    }


def _day(moment: str) -> str:
    try:
        return f"{datetime.fromisoformat(moment):%-d %B %Y, %H:%M} UTC"
    except ValueError:
        return moment
