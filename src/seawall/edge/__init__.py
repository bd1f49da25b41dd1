"""Tier 1: where a caller comes in and becomes a Principal. So far the local edge: a terminal on one machine."""
