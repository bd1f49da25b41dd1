"""Streaming that holds a model's words back until their verdict; `HeldStream` is the mount, the rest decides."""

from seawall.defense.streaming.checkpoint import Checkpoint
from seawall.defense.streaming.held_stream import HeldStream, Terms
from seawall.defense.streaming.spoken import as_text, judge_response
from seawall.defense.streaming.upstream import Upstream

__all__ = ["Checkpoint", "HeldStream", "Terms", "Upstream", "as_text", "judge_response"]
