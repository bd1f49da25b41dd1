"""What tests of Seawall, and of what is built on it, stand on: clocks that a test turns."""

from seawall.testing.clock import FakeClock

__all__ = ["FakeClock"]
