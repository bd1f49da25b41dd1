"""Tier 5: records and provides, decides nothing. Clock, errors, events, ids, storage, compliance, economics."""

from seawall.foundation.patterns import Match, Pattern, compile_pattern

__all__ = ["Match", "Pattern", "compile_pattern"]
