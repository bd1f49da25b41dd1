"""The one stream of facts: mechanisms publish, the ledger and every later observer subscribe."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from seawall.foundation.transaction import Transaction

_log = logging.getLogger("seawall.events")


@dataclass(frozen=True, slots=True)
class TransactionFinished:
    """A run ended, well or not."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class GuardTripped:
    """A guard let something not pass as it was; holds codes only, never the content. `subject` is a pseudonym."""

    transaction_id: str
    tenant: str
    guard: str
    outcome: str
    reason_code: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A limit, a bulkhead or a breaker turned work away; before there was a transaction, its id is empty."""

    transaction_id: str
    tenant: str
    by: str
    retry_after: float | None
    subject: str = ""


@dataclass(frozen=True, slots=True)
class BudgetWarned:
    """A share of a budget is spent that its owner wanted to hear of: once for each caller's key, span and process."""

    budget: str
    tenant: str
    share: float


@dataclass(frozen=True, slots=True)
class WorkShed:
    """The service did not begin work, for want of room: so many requests within a second, for one `reason`."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A run called a tool, with these effects on the world (`egress`, `side_effect`); whether it came back."""

    transaction_id: str
    tenant: str
    subject: str
    tool: str
    effects: str
    outcome: str


@dataclass(frozen=True, slots=True)
class ApprovalDecided:
    """Somebody was asked whether a tool may be called, and said so or not."""

    transaction_id: str
    tenant: str
    subject: str
    tool: str
    approved: bool


@dataclass(frozen=True, slots=True)
class ContentRead:
    """Somebody read what is kept of a run: `reader` is a caller's pseudonym or an operator, `why` a code or a grant's id."""

    run_id: str
    tenant: str
    reader: str
    why: str


@dataclass(frozen=True, slots=True)
class OperatorActed:
    """An operator changed something, or a changed file of settings took effect: `act` is a code such as `key.revoked`."""

    operator: str
    act: str
    tenant: str
    about: str


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A circuit breaker went from one state to another."""

    dependency: str
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class StoreChanged:
    """A shared store stopped answering, or answers again; until it does, its callers do what they do without it."""

    store: str
    healthy: bool
    why: str


@dataclass(frozen=True, slots=True)
class TrustChanged:
    """A caller went from one step of trust to another: `trusted`, `watched`, `cooling` or `banned`.

    `scope` is `subject` or `tenant`; `caller` is a keyed digest. `seconds` is how long the step lasts unless more
    happens; `by` is `guards`, or the operator who said so.
    """

    tenant: str
    scope: str
    caller: str
    before: str
    after: str
    seconds: float
    by: str


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """Somebody was not let in.

    `reason` is a code; `ip_hash` a keyed digest of the address. `key_id` names the API key that was tried, where one has
    that id, which is not to say that the caller held it; else it is empty.
    """

    reason: str
    ip_hash: str
    key_id: str


Event = (
    TransactionFinished
    | GuardTripped
    | Refused
    | WorkShed
    | BudgetWarned
    | ToolCalled
    | ApprovalDecided
    | ContentRead
    | OperatorActed
    | BreakerChanged
    | StoreChanged
    | TrustChanged
    | LoginFailed
)
Subscriber = Callable[[Event], None]


class EventBus:
    """Hands each event to every subscriber, in order, on the caller's thread.

    A subscriber must be quick and must not block; one that raises is logged and does not stop the others,
    nor the work that the event tells of.
    """

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = list(subscribers)

    def subscribe(self, *subscribers: Subscriber) -> None:
        """Add observers; they see events from now on."""
        self._subscribers.extend(subscribers)

    def publish(self, event: Event) -> None:
        """Tell every subscriber."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:  # noqa: BLE001  an observer must never take down what it observes
                _log.exception("event subscriber %r failed on %s", subscriber, type(event).__name__)
