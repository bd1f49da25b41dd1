"""Erase a person from every store, and prove it: the key first, then the records, then a look, then a signed receipt.

Source: GDPR, Articles 12(3), 17 and 19; NIST SP 800-88 Rev. 1, cryptographic erase.
"""

import asyncio
import json
from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from seawall.foundation.clock import Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.sealing import Sealer
from seawall.foundation.compliance.signing import Signer
from seawall.foundation.errors import StoreError
from seawall.foundation.ids import new_id
from seawall.foundation.storage.database import settle
from seawall.foundation.subjects.book import SubjectBook
from seawall.foundation.subjects.personal import PersonalRecords, Whose
from seawall.foundation.subjects.scan import scan
from seawall.foundation.subjects.tables import ALIASES, ERASURES, SUBJECTS

RECEIPT = "seawall.erasure.receipt/1"
NOT_COVERED = (
    "logs and caches of model providers: ask each one that the ledger names",
    "backups and replicas of the databases: what they hold is unreadable without the key that was destroyed, unless "
    "they hold the database of subjects too; delete those by the due date",
    "answers that callers were given, and exports that were made before",
    "answers kept in the memory of running processes, until they expire there",
    "folders of batch reviews, which belong to whoever ran the batch",
)
_POSTGRES = "write-ahead log and free pages of Postgres until it reuses them"


@dataclass(frozen=True, slots=True)
class Erasures:
    """Erases people, one after another; call it from one process or several, and again after a crash.

    `folder` is where the files of the databases are, if on this machine. `told` hears of each step as it begins. Every
    method may take long: what it does to a database is done in steps.
    """

    book: SubjectBook
    records: Sequence[PersonalRecords]
    keyring: Keyring
    folder: Path | None = None
    told: Callable[[str], object] = str

    @property
    def signer(self) -> Signer:
        """What receipts are signed with."""
        return Signer(self.keyring, "receipts")

    async def erase(self, tenant: str, value: str, *, reference: str = "") -> dict[str, Any]:
        """Erase somebody and return the receipt; LegalHold where their data must be kept.

        `reference` is how the request is known to whoever asked. Where an erasure of the same person was cut off, that one
        is finished.
        """
        names = self.book.names(tenant, value)
        for erasure_id, journal in await asyncio.to_thread(self._unfinished, tenant):
            if set(names) & set(journal["names"]):
                return await self._finish(erasure_id, journal)
        whose = await asyncio.to_thread(self._whose, tenant, value)
        self.told("count")
        before = {store.name: await store.count(whose) for store in self.records}
        journal = {
            "tenant": tenant,
            "ids": whose.ids,
            "names": whose.names,
            "value": value,
            "reference": reference,
            "before": before,
            "asked_at": self._clock.time(),
        }
        self.told("shred")
        erasure_id = await asyncio.to_thread(self._shred, journal)
        return await self._finish(erasure_id, journal)

    async def resume(self) -> list[dict[str, Any]]:
        """Finish every erasure that was cut off; their receipts."""
        unfinished = await asyncio.to_thread(self._unfinished, None)
        return [await self._finish(erasure_id, journal) for erasure_id, journal in unfinished]

    async def export(self, tenant: str, value: str) -> dict[str, Any]:
        """Return everything that is kept of somebody, by store, as JSON (GDPR, Articles 15 and 20)."""
        whose = await asyncio.to_thread(self._whose, tenant, value)
        kept = {store.name: [dict(one) async for one in store.export(whose)] for store in self.records}
        return {"tenant": tenant, "subject": value, "exported_at": _time(self._clock.time()), "records": kept}

    async def receipts(self, tenant: str) -> list[dict[str, Any]]:
        """Return the receipts of a tenant's erasures, the oldest first."""

        def work() -> list[dict[str, Any]]:
            query = sa.select(ERASURES.c.receipt).where(
                ERASURES.c.tenant == tenant, ERASURES.c.state == "done"
            )
            with self.book.engine.connect() as connection:
                return [dict(row) for row in connection.execute(query.order_by(ERASURES.c.id)).scalars()]

        return await asyncio.to_thread(work)

    @property
    def _clock(self) -> Clock:
        return self.book.clock

    @property
    def _sealer(self) -> Sealer:
        return Sealer(self.keyring, "erasures")

    def _whose(self, tenant: str, value: str) -> Whose:
        found = self.book.find(tenant, value)
        return Whose(tenant, value, tuple(one.id for one in found), self.book.names(tenant, value))

    def _shred(self, journal: Mapping[str, Any]) -> str:
        """Destroy the keys and note what is still to be done, both or neither."""
        erasure_id = new_id("era")

        def note(connection: sa.Connection) -> None:
            row = {
                "id": erasure_id,
                "tenant": journal["tenant"],
                "state": "shredded",
                "asked_at": journal["asked_at"],
                "done_at": None,
                # Sealed: it names the person until all else of them is gone.
                "journal": self._sealer.seal(json.dumps(journal).encode(), erasure_id.encode()),
                "receipt": None,
            }
            connection.execute(sa.insert(ERASURES).values(row))

        self.book.shred(journal["tenant"], journal["ids"], note)
        return erasure_id

    def _unfinished(self, tenant: str | None) -> list[tuple[str, dict[str, Any]]]:
        query = sa.select(ERASURES.c.id, ERASURES.c.journal).where(ERASURES.c.state != "done")
        if tenant is not None:
            query = query.where(ERASURES.c.tenant == tenant)
        with self.book.engine.connect() as connection:
            rows = connection.execute(query.order_by(ERASURES.c.id)).all()
        return [(row.id, json.loads(self._sealer.open(row.journal, row.id.encode()))) for row in rows]

    async def _finish(self, erasure_id: str, journal: dict[str, Any]) -> dict[str, Any]:
        whose = Whose(journal["tenant"], journal["value"], tuple(journal["ids"]), tuple(journal["names"]))
        left: dict[str, int] = {}
        for store in self.records:
            self.told(f"erase {store.name}")
            await store.erase(whose)
        for store in self.records:
            self.told(f"settle {store.name}")
            await store.settle()
            left[store.name] = await store.count(whose)
        self.told("look")
        looked = await asyncio.to_thread(self._looked, journal)
        self.told("sign")
        receipt = self._receipt(erasure_id, journal, left, looked)
        await asyncio.to_thread(self._done, erasure_id, receipt)
        self.told("done")
        if any(left.values()) or (looked or {}).get("found_in"):
            raise StoreError(
                f"erasure {erasure_id} is not complete: something of the person was found afterwards, see its receipt; "
                "end what still writes for them, and erase again"
            )
        return receipt

    def _looked(self, journal: Mapping[str, Any]) -> dict[str, Any] | None:
        settle(self.book.engine, [SUBJECTS.name, ALIASES.name])
        if self.folder is None:
            return None
        seen = scan(self.folder, [text.encode() for text in (journal["value"], *journal["names"])])
        return {
            "files": seen.files,
            "bytes": seen.size,
            "markers": seen.markers,
            "found_in": list(seen.found),
        }

    def _receipt(
        self,
        erasure_id: str,
        journal: Mapping[str, Any],
        left: Mapping[str, int],
        looked: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        before = journal["before"]
        stores = [
            {"store": one.name, "held": before.get(one.name, 0), "left": left[one.name], "how": one.how}
            for one in self.records
        ]
        receipt = {
            "type": RECEIPT,
            "id": erasure_id,
            "tenant": journal["tenant"],
            "reference": journal["reference"],
            "asked_at": _time(journal["asked_at"]),
            "done_at": _time(self._clock.time()),
            "due_at": _month_after(journal["asked_at"]),
            "keys_destroyed": len(journal["ids"]),
            "stores": stores,
            "raw_files": looked or "not on this machine: not looked through",
            "not_covered": [*NOT_COVERED, *([] if self.folder is not None else [_POSTGRES])],
        }
        return self.signer.sign_document(receipt)

    def _done(self, erasure_id: str, receipt: Mapping[str, Any]) -> None:
        values = {"state": "done", "done_at": self._clock.time(), "journal": b"", "receipt": dict(receipt)}
        with self.book.engine.begin() as connection:
            connection.execute(sa.update(ERASURES).where(ERASURES.c.id == erasure_id).values(values))


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _month_after(at: float) -> str:
    """Return the same day of the next month, or its last (Regulation 1182/71, Article 3)."""
    then = datetime.fromtimestamp(at, UTC)
    year, month = then.year + then.month // 12, then.month % 12 + 1
    day = min(then.day, monthrange(year, month)[1])
    return then.replace(year=year, month=month, day=day).date().isoformat()
