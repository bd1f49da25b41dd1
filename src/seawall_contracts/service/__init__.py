"""The contract reviewer behind HTTP: what `seawall serve` serves where nothing else is named."""

from seawall import Seawall
from seawall_contracts.agent import NAME
from seawall_contracts.service.reviewer import open_reviewer
from seawall_contracts.service.routes import CONTRACTS, contract_routes

app = Seawall(title="Seawall contracts")
app.offer(NAME, open_reviewer)
app.include(contract_routes, uploads=[CONTRACTS])

__all__ = ["app"]
