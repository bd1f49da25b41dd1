"""What is left of a caller's share, on every answer: `RateLimit` and `RateLimit-Policy`.

Source: draft-ietf-httpapi-ratelimit-headers-11, on structured fields (RFC 9651).
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from math import ceil

from seawall.defense.limits import Decision, RateLimit, SlidingWindow
from seawall.edge.http.problems import whole_seconds
from seawall.foundation.units import seconds

# Money is counted in whole micro-dollars: in decisions, and so in what is left.
_UNITS = {
    "requests": b"",
    "tokens": b';qu="tokens"',
    "tool_calls": b';qu="tool-calls"',
    "usd": b';qu="micro-usd"',
}
# Whole numbers of structured fields have 15 digits at most.
_MOST = 10**15 - 1


def policy_header(limits: Sequence[RateLimit | SlidingWindow]) -> tuple[bytes, bytes]:
    """Return `RateLimit-Policy` for limits: name, quota, window in whole seconds, and unit where it is not requests."""
    items = [
        _name(limit.name)
        + b";q=%d;w=%d" % (_quota(limit), max(1, ceil(seconds(limit.per))))
        + _UNITS[limit.of]
        for limit in limits
    ]
    return (b"ratelimit-policy", b", ".join(items))


def state_header(decision: Decision) -> tuple[bytes, bytes]:
    """Return `RateLimit` of the limit that has the least left: what remains, and seconds until it is whole again.

    Of a refusal, seconds until the next may pass: the same as in its `Retry-After`.
    """
    if decision.ok or decision.retry_after is None:
        wait = max(0, ceil(decision.reset_after))
    else:
        wait = whole_seconds(decision.retry_after)
    left = max(0, min(decision.remaining, _MOST))
    return (b"ratelimit", _name(decision.name) + b";r=%d;t=%d" % (left, min(wait, _MOST)))


def _quota(limit: RateLimit | SlidingWindow) -> int:
    amount = Decimal(limit.limit) * 1_000_000 if limit.of == "usd" else limit.limit
    return min(int(amount), _MOST)


@lru_cache(maxsize=1024)
def _name(name: str) -> bytes:
    # Strings of structured fields are printable ASCII.
    plain = "".join(sign if " " <= sign <= "~" else "?" for sign in name)
    return b'"' + plain.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
