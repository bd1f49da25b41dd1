"""What tests of Seawall, and of what is built on it, stand on: clocks that a test turns, a provider that it scripts."""

from seawall.testing.clock import FakeClock
from seawall.testing.provider import MockProvider, Mode, Reply, call_output_tool, say

__all__ = ["FakeClock", "MockProvider", "Mode", "Reply", "call_output_tool", "say"]
