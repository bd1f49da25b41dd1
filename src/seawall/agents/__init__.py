"""Tier 4: what an agent holds. Untrusted text fenced off in the prompt, quotations that are checked, tools with marks."""

from seawall.agents.permissions import (
    Effect,
    agent_marks,
    agent_of,
    describes_itself,
    effects_of,
    marks,
    may_be_called_again,
    result_is_trusted,
)
from seawall.agents.quotes import locate_quote
from seawall.agents.spotlight import Block, fence, unfence

__all__ = [
    "Block",
    "Effect",
    "agent_marks",
    "agent_of",
    "describes_itself",
    "effects_of",
    "fence",
    "locate_quote",
    "marks",
    "may_be_called_again",
    "result_is_trusted",
    "unfence",
]
