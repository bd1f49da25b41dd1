"""What the ledger holds of one person: their pseudonym on rows that stay, as accounts have to, and lead to nobody then."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from seawall.foundation.economics.ledger import LEDGER, Ledger, of_person
from seawall.foundation.storage.database import begin_write, settle
from seawall.foundation.subjects.personal import Whose

ERASED = "erased"
_AT_ONCE = 2_000


class LedgerRecords:
    """The `PersonalRecords` of a ledger."""

    name = "ledger"
    how = "pseudonym taken out of the rows; amounts stay as accounts"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._engine = ledger.engine

    async def count(self, whose: Whose) -> int:
        """Return how many rows bear the person's pseudonym."""

        def work() -> int:
            query = sa.select(sa.func.count()).select_from(LEDGER).where(of_person(whose))
            with self._engine.connect() as connection:
                return connection.execute(query).scalar_one()

        return await asyncio.to_thread(work)

    async def erase(self, whose: Whose) -> int:
        """Take the pseudonym out of all of them."""
        await asyncio.to_thread(self._ledger.flush)
        some = sa.select(LEDGER.c.id).where(of_person(whose)).limit(_AT_ONCE)

        def work() -> int:
            with self._engine.begin() as connection:
                begin_write(connection)
                return connection.execute(
                    sa.update(LEDGER).where(LEDGER.c.id.in_(some)).values(subject=ERASED)
                ).rowcount

        erased = 0
        while done := await asyncio.to_thread(work):
            erased += done
        return erased

    async def export(self, whose: Whose) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the rows."""
        for row in await asyncio.to_thread(list, self._ledger.rows(whose)):
            yield asdict(row) | {"cost_usd": None if row.cost_usd is None else str(row.cost_usd)}

    async def settle(self) -> None:
        """Have the pseudonyms be gone from the file."""
        await asyncio.to_thread(settle, self._engine, [LEDGER.name])
