"""A claim, and what shows that it holds: run in this process, on the code that is installed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Coverage = Literal["covered", "partial", "not covered"]
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Probe:
    """Something that must happen; `run` is true where it did."""

    what: str
    run: Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a catalogue: what is claimed of it, what shows it, and what is left to others."""

    id: str
    title: str
    coverage: Coverage
    by: str
    left: str
    probes: Sequence[Probe] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A line, and which of its probes held: what each tries, whether it did, and the error's type where one was raised."""

    line: Line
    held: Sequence[tuple[str, bool, str]]

    @property
    def holds(self) -> bool:
        """Whether every probe did."""
        return all(ok for _, ok, _ in self.held)


async def show(lines: Sequence[Line]) -> list[Shown]:
    """Run every probe of every line, one after another."""
    return [Shown(line, [await _tried(probe) for probe in line.probes]) for line in lines]


async def _tried(probe: Probe) -> tuple[str, bool, str]:
    try:
        async with asyncio.timeout(_SECONDS):
            return probe.what, await probe.run(), ""
    except Exception as error:  # noqa: BLE001  a probe that fails in any way has not held
        return probe.what, False, type(error).__name__
