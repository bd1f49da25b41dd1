"""All contracts together: the counts and shares behind the report's first page."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import quote

from seawall_contracts.finder.names import CORE_CLAUSES
from seawall_contracts.outputs.compact import clip
from seawall_contracts.outputs.economics import Workload
from seawall_contracts.outputs.rows import RISKS, ROUTES, ContractRow, RunFacts

NOT_FOUND = "not found"
# Names come from documents: past this many distinct ones, the rest is counted as one.
_NAMES = 5000


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart: `width` is 0 to 100 of the longest, `x` where a stacked bar's segment starts."""

    label: str
    count: int
    share: float
    width: float
    href: str
    tone: str = ""
    x: float = 0.0


@dataclass(frozen=True, slots=True)
class ClauseShare:
    """Of the reviewed contracts: in which share the clause is present, undecided, absent. They add up to 1."""

    clause: str
    present: float
    abstained: float
    absent: float


@dataclass(slots=True)
class Portfolio:
    """Counts what goes by. Identical copies are counted apart and enter no distribution."""

    files: int = 0
    failed: int = 0
    copies: int = 0
    undecided: int = 0
    alerted: int = 0
    deviating: int = 0
    degraded: int = 0
    risk: Counter[str] = field(default_factory=Counter[str])
    route: Counter[str] = field(default_factory=Counter[str])
    types: Counter[str] = field(default_factory=Counter[str])
    laws: Counter[str] = field(default_factory=Counter[str])
    deviations: Counter[str] = field(default_factory=Counter[str])
    missing: Counter[str] = field(default_factory=Counter[str])
    present: Counter[str] = field(default_factory=Counter[str])
    abstained: Counter[str] = field(default_factory=Counter[str])
    absent: Counter[str] = field(default_factory=Counter[str])

    @property
    def reviewed(self) -> int:
        """Distinct documents that were reviewed."""
        return self.files - self.failed - self.copies

    @property
    def routed(self) -> int:
        """Distinct documents that go to a lawyer."""
        return self.reviewed - self.route["accept"]

    def add(self, row: ContractRow) -> None:
        """Count one file."""
        self.files += 1
        if row.status == "failed":
            self.failed += 1
            return
        if row.duplicate_of is not None:
            self.copies += 1
            return
        self.risk[row.risk or "unknown"] += 1
        self.route[row.route or "legal review"] += 1
        _count(self.types, clip(row.document_type, 80))
        _count(self.laws, NOT_FOUND if row.governing_law is None else clip(row.governing_law, 80))
        self.alerted += bool(row.alerts)
        self.degraded += bool(row.degraded)
        self._add_rules(row)
        self._add_findings(row)

    def _add_rules(self, row: ContractRow) -> None:
        deviations, missing = set(row.titles("deviation")), set(row.titles("missing"))
        self.deviating += bool(deviations or missing)
        for title in deviations:
            _count(self.deviations, clip(title, 120))
        for title in missing:
            _count(self.missing, clip(title, 120))

    def _add_findings(self, row: ContractRow) -> None:
        self.undecided += any(finding.abstained for finding in row.findings)
        for finding in row.findings:
            clause = clip(finding.clause, 80)
            counter = (
                self.abstained if finding.abstained else self.present if finding.present else self.absent
            )
            _count(counter, clause)

    def workload(self, run: RunFacts) -> Workload:
        """Return what went through, for the return on investment."""
        return Workload(
            files=self.files,
            copies=self.copies,
            accepted=self.route["accept"],
            routed=self.routed,
            failed=self.failed,
            seconds=Decimal(str(run.seconds)),
            model_usd=run.cost_usd,
        )

    def risks(self) -> list[Bar]:
        """Return the segments of the risk bar, the most urgent first."""
        return _stacked(self.risk, RISKS, "risk")

    def routes(self) -> list[Bar]:
        """Return the segments of the route bar, the most urgent first."""
        return _stacked(self.route, ROUTES, "route")

    def document_types(self) -> list[Bar]:
        """Return the most frequent document types."""
        return _bars(self.types.most_common(10), "type", self.reviewed)

    def governing_laws(self) -> list[Bar]:
        """Return the most frequent governing laws."""
        return _bars(self.laws.most_common(10), "law", self.reviewed)

    def frequent_deviations(self) -> list[Bar]:
        """Return the rules most often deviated from, or whose clause is most often missing."""
        both = self.deviations + self.missing
        return _bars(both.most_common(10), "deviation", self.reviewed)

    def clauses(self) -> tuple[list[ClauseShare], list[ClauseShare]]:
        """Return the core clauses and the others, most frequent first."""
        names = set(self.present) | set(self.abstained) | set(self.absent)
        shares = sorted((self._clause(name) for name in names), key=lambda each: (-each.present, each.clause))
        core = [each for each in shares if each.clause in CORE_CLAUSES]
        return core, [each for each in shares if each.clause not in CORE_CLAUSES][:60]

    def _clause(self, name: str) -> ClauseShare:
        counts = (self.present[name], self.abstained[name], self.absent[name])
        total = sum(counts)
        return ClauseShare(name, counts[0] / total, counts[1] / total, counts[2] / total)


def _count(counter: Counter[str], name: str) -> None:
    if name in counter or len(counter) < _NAMES:
        counter[name] += 1


def _bars(counts: Iterable[tuple[str, int]], field_name: str, total: int) -> list[Bar]:
    pairs = list(counts)
    longest = max((count for _, count in pairs), default=1)
    return [
        Bar(name, count, count / max(1, total), round(100 * count / longest, 2), _href(field_name, name))
        for name, count in pairs
    ]


def _stacked(counter: Counter[str], order: tuple[str, ...], field_name: str) -> list[Bar]:
    total = max(1, counter.total())
    segments: list[Bar] = []
    x = 0.0
    names = [*order, *sorted(set(counter) - set(order))]
    for name in names:
        share = counter[name] / total
        tone = name.replace(" ", "-")
        segments.append(
            Bar(
                name,
                counter[name],
                share,
                round(100 * share, 3),
                _href(field_name, name),
                tone=tone,
                x=round(x, 3),
            )
        )
        x += 100 * share
    return segments


def _href(field_name: str, name: str) -> str:
    return f"#/contracts?{field_name}={quote(name, safe='', errors='replace')}"
