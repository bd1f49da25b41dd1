"""Tier 4: what an agent holds. Untrusted text fenced off in the prompt, and quotations that are checked."""

from seawall.agents.quotes import locate_quote
from seawall.agents.spotlight import Block, fence, unfence

__all__ = ["Block", "fence", "locate_quote", "unfence"]
