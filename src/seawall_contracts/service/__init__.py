"""The contract reviewer behind HTTP: what `seawall serve` serves where nothing else is named."""

from seawall import Seawall
from seawall_contracts.agent import NAME, build_policy
from seawall_contracts.service.reviewer import open_reviewer
from seawall_contracts.service.routes import CONTRACTS, contract_routes

app = Seawall(title="Seawall contracts")
app.offer(
    NAME,
    open_reviewer,
    policy=build_policy(concurrency=1),
    description="Reviews commercial contracts: clauses, facts, risks and a quotation for each.",
)
app.include(contract_routes, uploads=[CONTRACTS])

__all__ = ["app"]
