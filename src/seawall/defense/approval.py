"""A tool call that waits for somebody's word, and who gives it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class PendingCall:
    """What an approver decides on: the tool, what it would do, and its arguments (content: not printed).

    `why` is a code: `tainted` says that the run has read untrusted text, which may be what asks for the call.
    """

    transaction_id: str
    tenant: str
    tool: str
    effects: tuple[str, ...]
    why: str
    arguments: Mapping[str, Any] = field(repr=False)


Approver = Callable[[PendingCall], Awaitable[bool]]
