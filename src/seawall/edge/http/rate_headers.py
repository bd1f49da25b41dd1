"""What is left of a caller's share, on every answer: `RateLimit` and `RateLimit-Policy`.

Source: draft-ietf-httpapi-ratelimit-headers-11, on structured fields (RFC 9651).
"""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil

from seawall.defense.limits import Decision, RateLimit, SlidingWindow
from seawall.foundation.units import seconds

_UNITS = {"requests": b"", "tokens": b';qu="tokens"', "tool_calls": b';qu="tool-calls"', "usd": b';qu="usd"'}


def policy_header(limits: Sequence[RateLimit | SlidingWindow]) -> tuple[bytes, bytes]:
    """Return `RateLimit-Policy` for limits: name, quota, window in whole seconds, and unit where it is not requests."""
    items = [
        _name(limit.name)
        + b";q=%d;w=%d" % (int(limit.limit), max(1, ceil(seconds(limit.per))))
        + _UNITS[limit.of]
        for limit in limits
    ]
    return (b"ratelimit-policy", b", ".join(items))


def state_header(decision: Decision) -> tuple[bytes, bytes]:
    """Return `RateLimit` of the limit that has the least left: what remains, and seconds until it is whole again."""
    wait = decision.reset_after if decision.ok or decision.retry_after is None else decision.retry_after
    return (
        b"ratelimit",
        _name(decision.name) + b";r=%d;t=%d" % (max(0, decision.remaining), max(0, ceil(wait))),
    )


@lru_cache(maxsize=1024)
def _name(name: str) -> bytes:
    # Strings of structured fields are printable ASCII.
    plain = "".join(sign if " " <= sign <= "~" else "?" for sign in name)
    return b'"' + plain.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
