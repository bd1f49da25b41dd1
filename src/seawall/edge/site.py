"""What one worker process of a service works with."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from seawall.defense import Stores
from seawall.defense.load import AdmissionControl
from seawall.edge.auth.authenticate import Authenticator
from seawall.edge.live_stream import LiveStream
from seawall.edge.metrics import Metrics
from seawall.edge.records import Records
from seawall.edge.served import Served
from seawall.edge.service_limits import ServiceLimits
from seawall.edge.settings import Settings
from seawall.foundation.clock import Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.events import EventBus
from seawall.foundation.subjects.book import SubjectBook
from seawall.orchestration.idempotency import KeyNames
from seawall.orchestration.idempotency_store import SqlIdempotencyStore
from seawall.orchestration.run_store import SqlRunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The parts, for use from one event loop. `live` are the streams under way; `wake` is set when a run was queued."""

    settings: Settings
    clock: Clock
    keyring: Keyring
    records: Records
    stores: Stores
    admission: AdmissionControl
    metrics: Metrics
    limits: ServiceLimits
    served: Mapping[str, Served]
    authenticator: Authenticator
    runs: SqlRunStore
    idempotency: SqlIdempotencyStore
    key_names: KeyNames
    live: dict[str, LiveStream] = field(default_factory=dict[str, LiveStream])
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def events(self) -> EventBus:
        """The stream of what happens."""
        return self.records.events

    @property
    def people(self) -> SubjectBook:
        """Whose data is kept."""
        return self.records.people

    def keep(self, live: LiveStream) -> None:
        """Have a stream found by its run's id for as long as it may be read."""
        self.live[live.run_id] = live
        live.when_gone(lambda: self.live.pop(live.run_id, None))

    def end(self, run_id: str) -> None:
        """Have a stream of this process end, if there is one."""
        live = self.live.get(run_id)
        if live is not None:
            live.end()
