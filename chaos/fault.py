"""What a proxy does to the connections that go through it, as data and as a word on a command line."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["pass", "latency", "hang", "refuse", "reset", "cut", "garbage", "slow"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; made by the functions below, or from a word by `parse_fault`."""

    kind: Kind = "pass"
    seconds: float = 0.0
    jitter: float = 0.0
    after_bytes: int = 0
    bytes_per_second: float = math.inf


def passing() -> Fault:
    """Forward everything."""
    return Fault()


def latency(by: float, jitter: float = 0.0) -> Fault:
    """Let answers come `by` seconds later, give or take up to `jitter`, in order."""
    if not (math.isfinite(by) and 0 <= jitter <= by):
        raise ValueError(
            f"latency({by!r}, {jitter!r}): expected seconds, and no more jitter than that, as in 0.2, 0.05"
        )
    return Fault("latency", seconds=by, jitter=jitter)


def hang() -> Fault:
    """Accept, and forward nothing either way; what waits goes on with the next fault, if its caller is still there."""
    return Fault("hang")


def refuse() -> Fault:
    """Refuse new connections; those that are open go on."""
    return Fault("refuse")


def reset() -> Fault:
    """Reset every connection, open or new."""
    return Fault("reset")


def cut(after_bytes: int) -> Fault:
    """End each connection once `after_bytes` more of its answers have passed."""
    if after_bytes < 0:
        raise ValueError(f"cut({after_bytes!r}): expected a number of bytes, such as 100, or 0")
    return Fault("cut", after_bytes=after_bytes)


def garbage() -> Fault:
    """Put random bytes of the same length in the place of answers."""
    return Fault("garbage")


def slow(bytes_per_second: float) -> Fault:
    """Let answers through at this rate."""
    if not (math.isfinite(bytes_per_second) and bytes_per_second > 0):
        raise ValueError(f"slow({bytes_per_second!r}): expected bytes a second, such as 1000")
    return Fault("slow", bytes_per_second=bytes_per_second)


_PLAIN: dict[str, Callable[[], Fault]] = {
    "pass": passing,
    "hang": hang,
    "refuse": refuse,
    "reset": reset,
    "garbage": garbage,
}


def parse_fault(text: str) -> Fault:
    """Read `hang`, `latency:0.2,0.05`, `cut:100` or the like; ValueError if it is none."""
    kind, _, given = text.partition(":")
    with suppress(ValueError):
        if kind in _PLAIN and not given:
            return _PLAIN[kind]()
        if kind == "latency":
            return latency(*map(float, given.split(",", 1)))
        if kind == "cut":
            return cut(int(given))
        if kind == "slow":
            return slow(float(given))
    raise ValueError(
        f"fault {text!r}: expected one of {', '.join(get_args(Kind))}, with figures as in latency:0.2,0.05, cut:100 "
        "or slow:1000"
    )
