"""Names for a request: its own, and its place in the trace that it is part of.

Source: W3C Trace Context, level 1 (`traceparent`).
"""

import secrets
from dataclasses import dataclass

from seawall.foundation.ids import new_id
from seawall.foundation.patterns import compile_pattern

_SANE = compile_pattern(r"[A-Za-z0-9._~-]{8,64}")
# What a later version adds comes behind these four.
_PARENT = compile_pattern(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_VERSION, _NO_VERSION = "00", "ff"
# The one flag of level 1; the others are not passed on.
_SAMPLED = 1
_FLAGS = "00"


@dataclass(frozen=True, slots=True)
class Trace:
    """A place in a trace; `parent` is "" where this request begins it."""

    trace_id: str
    span_id: str
    parent: str = ""
    flags: str = _FLAGS

    def __str__(self) -> str:
        """Return it as `traceparent` has it."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def request_id(given: bytes | None) -> str:
    """Return the caller's own name for the request if it can be one, else a new one."""
    text = "" if given is None else given.decode("latin-1")
    return text if _SANE.fullmatch(text) else new_id("req")


def trace_of(given: bytes | None) -> Trace:
    """Go on with the trace of `traceparent`; a new one where there is none, or it is none."""
    text = "" if given is None else given.decode("latin-1").strip()
    span = secrets.token_hex(8)
    if _PARENT.fullmatch(text):
        version, trace_id, parent, flags, *later = text.split("-", 4)
        sound = version != _NO_VERSION and not (later and version == _VERSION)
        if sound and trace_id.strip("0") and parent.strip("0"):
            return Trace(trace_id, span, parent, f"{int(flags, 16) & _SAMPLED:02x}")
    return Trace(secrets.token_hex(16), span)
