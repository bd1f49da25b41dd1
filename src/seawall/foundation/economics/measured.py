"""What the ledger says of cost and outcome, for calculations that would otherwise have to assume it."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from seawall.foundation.economics.roi import standard_error
from seawall.foundation.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Measured:
    """Transactions of a span: how many, how many answered, what they cost, and how far the mean cost may be off.

    `unpriced` are those whose price nobody knows: they are in no sum.
    """

    transactions: int
    answered: int
    unpriced: int
    usd: Decimal
    usd_error: float
    tokens_saved: int
    seconds: float

    @property
    def usd_per_outcome(self) -> Decimal | None:
        """Dollars for one answer, failures and refusals paid for with it; None where no price is known."""
        priced = self.transactions - self.unpriced
        if not priced or not self.answered:
            return None
        return self.usd / self.answered * self.transactions / priced


def measure(rows: Iterable[Transaction], *, agent: str | None = None, tenant: str | None = None) -> Measured:
    """Add the rows of an agent and a tenant up, or all."""
    costs: list[float] = []
    usd, count, answered, saved, seconds = Decimal(0), 0, 0, 0, 0.0
    for row in rows:
        if (agent is not None and row.agent != agent) or (tenant is not None and row.tenant != tenant):
            continue
        count += 1
        answered += row.outcome == "ok"
        saved += row.tokens_saved
        seconds += row.seconds
        if row.cost_usd is not None:
            usd += row.cost_usd
            costs.append(float(row.cost_usd))
    return Measured(count, answered, count - len(costs), usd, standard_error(costs), saved, seconds)
