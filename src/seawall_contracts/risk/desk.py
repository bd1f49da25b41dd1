"""Asks the risk agent about one review at a time, and knows when it is of use to ask."""

from collections.abc import Callable

from seawall import Hardened, Principal
from seawall_contracts.risk.founded import founded
from seawall_contracts.risk.joined import RiskResult, RiskTransaction
from seawall_contracts.risk.question import Answer, write_question
from seawall_contracts.schema import ReviewedRow


class RiskDesk:
    """The risk agent and its principal. Stands in the main process, so that one breaker sees all its calls."""

    def __init__(self, agent: Hardened[None, Answer], principal: Principal, model: str) -> None:
        self._agent = agent
        self._principal = principal
        self.model = model
        # The models' breakers; a guard that fails is no reason not to ask.
        self._circuits = [one for name, one in agent.circuits.items() if name.startswith("model ")]

    def when_changed(self, told: Callable[[], object]) -> None:
        """Have `told` called whenever a breaker changes its state."""
        for circuit in self._circuits:
            circuit.listen(lambda _: told())

    @property
    def well(self) -> bool:
        """Whether the agent answers, as far as its circuit knows."""
        return all(circuit.state == "closed" for circuit in self._circuits)

    def room(self, most: int) -> int:
        """How many may be asked about at once: `most` while all is well, one to find out, none while calls are refused."""
        if self.well:
            return most
        return 0 if self.rest() else 1

    def rest(self) -> float:
        """Seconds until it is of use to ask, as the breaker last said; infinite while an operator holds it open."""
        waits = [circuit.snapshot().retry_after for circuit in self._circuits]
        return max((float("inf") if wait is None else wait for wait in waits), default=0.0)

    async def assess(self, body: str) -> RiskResult:
        """Ask about the review whose row is `body`, once, without waiting for better times.

        Raises what `Hardened.run` raises.
        """
        question = write_question(ReviewedRow.model_validate_json(body))
        result = await self._agent.run(question.prompt, deps=None, principal=self._principal)
        row = result.transaction
        return RiskResult(
            assessment=founded(question, result.output, row.model),
            transaction=RiskTransaction(
                id=row.id,
                cost_usd=None if row.cost_usd is None else float(row.cost_usd),
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                seconds=round(row.seconds, 4),
            ),
        )
