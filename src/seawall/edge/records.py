"""What a service keeps of what happened: people and their keys, the ledger, the audit log; for the service and for commands."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from seawall.edge.settings import Settings
from seawall.foundation.audit.log import AuditLog
from seawall.foundation.audit.trail import AuditTrail
from seawall.foundation.clock import SYSTEM_CLOCK, Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.retention import Retention
from seawall.foundation.economics.ledger import Ledger
from seawall.foundation.events import EventBus
from seawall.foundation.subjects.book import SubjectBook

# How long a record of the audit log may wait for others to be written with it: what a crash can lose.
_GROUP_SECONDS = 0.05
_SYNC_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Records:
    """The stores, and the event stream that the ledger and the audit trail hear."""

    events: EventBus
    people: SubjectBook
    ledger: Ledger
    audit: AuditLog
    trail: AuditTrail


@contextmanager
def open_records(
    settings: Settings, keyring: Keyring, clock: Clock = SYSTEM_CLOCK, events: EventBus | None = None
) -> Generator[Records]:
    """Open them where the settings say; at the end what waits is written."""
    bus, where, sync = events or EventBus(), settings.where, settings.audit.sync
    with ExitStack() as stack:
        people = SubjectBook(where, keyring, clock=clock)
        stack.callback(people.close)
        keeps = settings.retention.seconds_of
        ledger = Ledger(
            where if isinstance(where, str) else where / "ledger.db",
            events=bus,
            clock=clock,
            keeps=lambda tenant: keeps("ledger", tenant),
        )
        stack.callback(ledger.close)
        group = _SYNC_SECONDS if sync else _GROUP_SECONDS
        audit = AuditLog(
            where,
            keyring,
            people,
            events=bus,
            clock=clock,
            keeps=lambda tenant: keeps("audit", tenant),
            group_seconds=group,
        )
        stack.callback(audit.close)
        trail = AuditTrail(audit, clock=clock, every=sync)
        stack.callback(trail.close)
        bus.subscribe(ledger, trail)
        yield Records(bus, people, ledger, audit, trail)


def sweep_records(records: Records, retention: Retention) -> dict[str, int]:
    """Delete the rows whose time is over and whose people are not held; how many of each store went."""
    rows = records.ledger.sweep(records.people.held_names())
    now = records.people.clock.time()
    pruned = sum(
        records.audit.prune(tenant, now - retention.seconds_of("audit", tenant))
        for tenant in records.audit.tenants()
    )
    return {"ledger": rows, "audit": pruned}
