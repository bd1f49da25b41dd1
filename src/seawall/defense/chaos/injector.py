"""Decides which calls meet a fault."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random

from seawall.defense.chaos.config import Chaos, Fault, Kind
from seawall.defense.chaos.plan import Plan
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.units import seconds

_MOST_NAMES = 1024
_log = logging.getLogger("seawall.chaos")


@dataclass(frozen=True, slots=True)
class Injected:
    """How often one fault of the configuration was injected."""

    kind: Kind
    target: str
    times: int


class _Route:
    """The faults that the calls of one dependency may meet, each with the end of its share of [0, 1)."""

    __slots__ = ("ends", "random")

    def __init__(self, ends: list[tuple[float, int]], random: Callable[[], float]) -> None:
        self.ends = ends
        self.random = random


class Injector:
    """One chaos at work, from when it was made; for use from one event loop.

    `random` gives numbers in [0, 1); without one each dependency has a sequence of its own from the seed, so that what
    its n-th call meets does not depend on the calls of others.
    """

    def __init__(
        self, chaos: Chaos, clock: Clock = SYSTEM_CLOCK, random: Callable[[], float] | None = None
    ) -> None:
        self.chaos = chaos
        self._faults: tuple[Fault, ...] = tuple(chaos.faults)
        self._clock = clock
        self._now = clock.monotonic
        self._until = self._now() + seconds(chaos.until)
        self._random = random
        # For names beyond those that are remembered, together.
        self._others = random or self._sequence("")
        self._routes: dict[str, _Route | None] = {}
        self._times = [0] * len(self._faults)
        _log.warning("chaos is on for %s: %d faults, seed %d", chaos.until, len(self._faults), chaos.seed)

    @property
    def active(self) -> bool:
        """Whether its time is not over."""
        return self._now() < self._until

    def plan(self, name: str) -> Plan | None:
        """Decide what the next call of the dependency `name` meets; None, as mostly, where it is left alone."""
        try:
            route = self._routes[name]
        except KeyError:
            route = self._route(name)
        if route is None:
            return None
        left = self._until - self._now()
        if left <= 0:
            return None
        drawn = route.random()
        for end, index in route.ends:
            if drawn < end:
                self._times[index] += 1
                return Plan(self._faults[index], name, left, route.random(), self._clock)
        return None

    def stats(self) -> tuple[Injected, ...]:
        """Return how often each fault was injected, in the order of the configuration."""
        return tuple(
            Injected(fault.kind, fault.target, times)
            for fault, times in zip(self._faults, self._times, strict=True)
        )

    def _route(self, name: str) -> _Route | None:
        ends: list[tuple[float, int]] = []
        end = 0.0
        for index, fault in enumerate(self._faults):
            if fault.rate and fnmatchcase(name, fault.target):
                end += fault.rate
                ends.append((end, index))
        if len(self._routes) >= _MOST_NAMES:
            return _Route(ends, self._others) if ends else None
        route = self._routes[name] = _Route(ends, self._random or self._sequence(name)) if ends else None
        return route

    def _sequence(self, name: str) -> Callable[[], float]:
        # Repeatable on purpose; it protects nothing.
        return Random(f"{self.chaos.seed} {name}").random  # noqa: S311
