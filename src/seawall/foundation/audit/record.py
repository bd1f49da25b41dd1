"""One thing that was decided or done."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Fact = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """What happened (`kind`, such as `guard.tripped`), to whom it belongs, who did it and what of it is to be known.

    `tenant` is empty for what concerns the service as a whole; `at` is seconds since the epoch; `actor` is a keyed
    pseudonym; `run_id` the run or transaction; `facts` are codes, names, counts and versions, never content.
    """

    tenant: str
    kind: str
    at: float
    actor: str = ""
    run_id: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict[str, Fact])
