"""Tier 1: where a caller comes in and becomes a Principal: a terminal on one machine, or HTTP.

What work other than an agent's needs to be served: `Served` and `Answer`, and for routes of its own `Site`, `create_run`,
`documented` and `Unreadable`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seawall.edge.new_run import create_run
    from seawall.edge.refusals import Unreadable
    from seawall.edge.requests import Run
    from seawall.edge.route_docs import documented
    from seawall.edge.served import Answer, Served
    from seawall.edge.site import Site

# Loaded for who serves: a terminal needs no web framework.
_SERVING = {
    "Answer": "served",
    "Run": "requests",
    "Served": "served",
    "Site": "site",
    "Unreadable": "refusals",
    "create_run": "new_run",
    "documented": "route_docs",
}

__all__ = ["Answer", "Run", "Served", "Site", "Unreadable", "create_run", "documented"]


def __getattr__(name: str) -> object:
    """Load a part of the service."""
    if name in _SERVING:
        return getattr(import_module(f"seawall.edge.{_SERVING[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
