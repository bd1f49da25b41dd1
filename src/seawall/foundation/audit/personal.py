"""What the audit log holds of one person: records that stay, as the chain needs them, and that nobody can read any more."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import sqlalchemy as sa

from seawall.foundation.audit.log import AuditLog
from seawall.foundation.audit.tables import AUDIT
from seawall.foundation.storage.database import settle
from seawall.foundation.subjects.book import Erased
from seawall.foundation.subjects.personal import Whose


class AuditedRecords:
    """The `PersonalRecords` of an audit log."""

    name = "audit log"
    how = "unreadable without the key that was destroyed; the chain of their hashes still verifies"

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def count(self, whose: Whose) -> int:
        """Return how many records of the person can still be read."""

        def work() -> int:
            readable = [one for one in whose.ids if self._readable(whose.tenant, one)]
            which = sa.and_(AUDIT.c.tenant == whose.tenant, AUDIT.c.subject.in_(readable))
            with self._log.engine.connect() as connection:
                return connection.execute(
                    sa.select(sa.func.count()).select_from(AUDIT).where(which)
                ).scalar_one()

        return await asyncio.to_thread(work)

    async def erase(self, whose: Whose) -> int:
        """Write what waits; the key is destroyed already, and with it the records."""
        await asyncio.to_thread(self._log.flush)
        return 0

    async def export(self, whose: Whose) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the records of what the person did."""
        for subject in whose.ids:
            for record in await asyncio.to_thread(list, self._log.read(whose.tenant, subject=subject)):
                yield record

    async def settle(self) -> None:
        """Write the log's own log down."""
        await asyncio.to_thread(settle, self._log.engine, [AUDIT.name])

    def _readable(self, tenant: str, subject_id: str) -> bool:
        try:
            self._log.people.get(tenant, subject_id)
        except Erased:
            return False
        return True
