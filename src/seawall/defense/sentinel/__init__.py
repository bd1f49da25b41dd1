"""A model asked whether a text is an attack: the last guard, where the cheaper ones are in doubt."""

from seawall.defense.sentinel.allowance import Allowance, Allowed, Budget
from seawall.defense.sentinel.sentinel import Sentinel, sentinel

__all__ = ["Allowance", "Allowed", "Budget", "Sentinel", "sentinel"]
