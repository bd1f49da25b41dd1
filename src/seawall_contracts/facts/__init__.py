"""What rules read out of a contract: its type, parties, governing law, dates, periods and amounts."""

from seawall_contracts.facts.read import read_facts

__all__ = ["read_facts"]
