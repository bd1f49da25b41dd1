"""What a run can afford: the most that its next model request can cost is set aside, or its budgets' owner decides."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_ai.models import Model

from seawall.defense.approval import Approver, PendingCall
from seawall.defense.estimate import price
from seawall.defense.limits import BudgetExceeded, Reservation, Spend
from seawall.defense.meter import Meter
from seawall.defense.run_state import RunState
from seawall.foundation.events import ApprovalDecided

_TOOL = "model request"


@dataclass(frozen=True, slots=True)
class Affordable:
    """Reserves for a request; where a budget refuses does what it says: refuses, degrades or asks."""

    meter: Meter
    models: Sequence[Model]
    approver: Approver | None

    async def reserve(self, run: RunState, counted: tuple[int, int]) -> Reservation:
        """Set aside the most that a request with so many input and output tokens can cost; BudgetExceeded, RateLimited.

        A run that is left with one model keeps it, and one that somebody let go on goes on.
        """
        while True:
            models = self.models if run.only is None else [run.only]
            try:
                return await self._set_aside(run, models, counted)
            except BudgetExceeded as refusal:
                at_limit = self.meter.at_limit(refusal.decision.name)
                if at_limit == "degrade" and run.only is None:
                    return await self._degrade(run, counted, refusal)
                if at_limit != "ask" or not await self._ask(run, refusal):
                    raise

    async def _set_aside(
        self, run: RunState, models: Sequence[Model], counted: tuple[int, int], *, patient: bool = True
    ) -> Reservation:
        usd = price(models, *counted) if self.meter.counts_dollars else 0
        most = Spend(requests=0, tokens=sum(counted), usd=usd)
        return await self.meter.reserve(run.caller, most, run.id, granted=run.granted, patient=patient)

    async def _degrade(self, run: RunState, counted: tuple[int, int], refusal: BudgetExceeded) -> Reservation:
        """Leave the run with the dearest model that there is enough for; the refusal where it is enough for none."""
        for model in sorted(self.models, key=lambda one: price([one], *counted), reverse=True):
            try:
                reservation = await self._set_aside(run, [model], counted, patient=False)
            except BudgetExceeded:
                continue
            run.only = model
            return reservation
        raise refusal

    async def _ask(self, run: RunState, refusal: BudgetExceeded) -> bool:
        """Whether somebody lets the run go beyond the budget; what it spends is counted all the same."""
        assert self.approver is not None, "harden() refuses a budget that asks nobody"
        budget = refusal.decision.name
        pending = PendingCall(
            run.id, run.caller.tenant, _TOOL, ("spends",), "budget", {"budget": budget, "why": str(refusal)}
        )
        approved = (await self.approver(pending)) is True
        run.note_verdict(f"budget:{'allow' if approved else 'deny'}")
        run.events.publish(ApprovalDecided(run.id, run.caller.tenant, run.actor, _TOOL, approved))
        if approved:
            run.granted = run.granted | {budget}
        return approved
