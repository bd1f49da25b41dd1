"""Idempotency keys in the database of the runs: claimed in one write, before the work begins."""

import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from seawall.foundation.compliance.retention import expires_at
from seawall.foundation.errors import ConfigError, StoreError
from seawall.foundation.storage.database import insert_new
from seawall.foundation.units import Period, seconds, size
from seawall.orchestration.idempotency import (
    Claim,
    ClaimLost,
    Conflict,
    Fresh,
    InFlight,
    KeyName,
    KeyRow,
    Outcome,
    Replay,
    decide,
)
from seawall.orchestration.run_database import KEYS, Place, RunDatabase, to_bytes
from seawall.orchestration.runs import known_id

_TRIES = 3


class SqlIdempotencyStore:
    """An `IdempotencyStore` beside a run store: `SqlIdempotencyStore(runs.database)`.

    A key is kept for `ttl`, which may be a function of the tenant, from its last claim, and again from its answer. A claimant of whom nothing is heard for
    `lease` loses it. The answer is sealed to its key and tenant; `most_bytes` bounds it. The sweep of the run store
    deletes what expired.
    """

    def __init__(
        self,
        database: RunDatabase,
        *,
        ttl: Period | Callable[[str], Period] = "24h",
        lease: Period = "60s",
        most_bytes: int | str = "4 MiB",
    ) -> None:
        self._database = database
        self._clock = database.clock
        self._ttl: Callable[[str], Period] = ttl if callable(ttl) else lambda _tenant: ttl
        self._lease = seconds(lease)
        self._most_bytes = size(most_bytes)
        if not callable(ttl) and seconds(ttl) < self._lease:
            raise ConfigError(f"keys must be kept longer than the lease of {lease}; set ttl to '24h', say")

    async def claim(self, name: KeyName, fingerprint: str, run_id: str) -> Outcome:
        """Ask, before the work, whether it is to be done; where it is, `run_id` is bound to the key in the same write.

        Where the caller is cancelled before it hears, the key is given back.
        """
        if not known_id(run_id):
            raise ConfigError("a run's id has 1 to 64 letters, digits, _ and -; make one with new_id('run')")

        def work(connection: sa.Connection) -> Outcome:
            return self._claim(connection, name, fingerprint, run_id)

        return await self._database.write(work, self._give_back)

    async def renew(self, claim: Claim) -> Claim:
        """Keep the key for another lease time while the work goes on; ClaimLost where another has it."""

        def work(connection: sa.Connection) -> Claim:
            now = self._clock.time()
            until = now + self._lease
            self._change(
                connection, claim, {"lease_until": until, "expires_at": self._expiry(claim.name, now)}
            )
            return Claim(claim.name, claim.token, until)

        return await self._database.write(work)

    async def complete(
        self, claim: Claim, status: int, headers: Sequence[tuple[str, str]], body: bytes
    ) -> None:
        """Record the answer, before it is sent; ClaimLost where another has the key, StoreError where it is too long."""

        def work(connection: sa.Connection) -> None:
            head = to_bytes([list(pair) for pair in headers], self._most_bytes)
            if len(body) > self._most_bytes:
                raise StoreError(
                    f"an answer of {len(body)} bytes is too long to keep for retries, at most {self._most_bytes}; "
                    "answer with a reference to it"
                )
            # No JSON has a bare line feed in it, so the first one ends the headers.
            whose = self._whose(connection, claim)
            reply = self._database.seal(_place(claim.name, whose), head + b"\n" + body)
            expiry = self._expiry(claim.name, self._clock.time())
            self._change(connection, claim, {"status": status, "reply": reply, "expires_at": expiry})

        await self._database.write(work)

    async def release(self, claim: Claim) -> None:
        """Give the key back where nothing was done, so that a retry may do it. What an earlier claimant began stays bound."""

        def work(connection: sa.Connection) -> None:
            self._release(connection, claim)

        await self._database.write(work)

    def _claim(self, connection: sa.Connection, name: KeyName, fingerprint: str, run_id: str) -> Outcome:
        now = self._clock.time()
        claim = Claim(name, secrets.token_hex(8), now + self._lease)
        people = self._database.people
        new: dict[str, Any] = {
            "name": name.digest,
            "tenant": name.tenant,
            "subject": people.meet_named(name.tenant, [name.subject])[name.subject].id,
            "fingerprint": fingerprint,
            "run_id": run_id,
            "token": claim.token,
            "claims": 1,
            "lease_until": claim.until,
            "expires_at": self._expiry(name, now),
            "status": None,
            "reply": None,
        }
        for _ in range(_TRIES):
            # First the insert, which only one can do; a look before it would be out of date.
            if insert_new(connection, KEYS, new):
                return Fresh(claim, run_id, again=False)
            query = sa.select(KEYS).where(KEYS.c.name == name.digest).with_for_update()
            found = connection.execute(query).mappings().one_or_none()
            # Where rows are locked one by one (not on SQLite) a sweep may come in between.
            if found is not None:
                return self._known(connection, dict(found), new, claim)
        raise StoreError(
            "an idempotency key came and went three times during one claim; send the request again"
        )

    def _known(
        self, connection: sa.Connection, row: dict[str, Any], new: dict[str, Any], claim: Claim
    ) -> Outcome:
        decision = decide(_key_row(row), new["fingerprint"], self._clock.time())
        this = sa.update(KEYS).where(KEYS.c.name == row["name"])
        match decision:
            case "new":
                connection.execute(this.values(**new))
                return Fresh(claim, new["run_id"], again=False)
            case "again":
                bound = {"run_id": row["run_id"], "claims": row["claims"] + 1}
                connection.execute(this.values(**new | bound))
                return Fresh(claim, row["run_id"], again=True)
            case "busy":
                return InFlight(row["run_id"], row["lease_until"] - self._clock.time())
            case "answered":
                return self._replay(claim.name, row)
            case "conflict":
                return Conflict()

    def _replay(self, name: KeyName, row: dict[str, Any]) -> Replay:
        content = self._database.unseal(_place(name, row["subject"]), row["reply"])
        head, _, body = content.partition(b"\n")
        headers = tuple((field, value) for field, value in json.loads(head))
        return Replay(row["status"], headers, body, row["run_id"])

    def _expiry(self, name: KeyName, now: float) -> float:
        return max(expires_at(now, self._ttl(name.tenant)), now + self._lease)

    def _whose(self, connection: sa.Connection, claim: Claim) -> str:
        """Return whose a key is; ClaimLost where it is not this claimant's."""
        found = connection.execute(sa.select(KEYS.c.subject).where(*self._held(claim))).scalar_one_or_none()
        if found is None:
            raise _lost()
        return found

    def _change(self, connection: sa.Connection, claim: Claim, values: dict[str, Any]) -> None:
        if connection.execute(sa.update(KEYS).where(*self._held(claim)).values(**values)).rowcount != 1:
            raise _lost()

    def _release(self, connection: sa.Connection, claim: Claim) -> None:
        """Forget the key; where an earlier claimant died over it, free it only, for its run may have begun."""
        held = self._held(claim)
        if connection.execute(sa.delete(KEYS).where(*held, KEYS.c.claims == 1)).rowcount == 0:
            connection.execute(sa.update(KEYS).where(*held).values(lease_until=0.0))

    def _give_back(self, connection: sa.Connection, outcome: Outcome) -> None:
        if isinstance(outcome, Fresh):
            self._release(connection, outcome.claim)

    def _held(self, claim: Claim) -> tuple[sa.ColumnElement[bool], ...]:
        return (
            KEYS.c.name == claim.name.digest,
            KEYS.c.token == claim.token,
            KEYS.c.status.is_(None),
            KEYS.c.expires_at > self._clock.time(),
        )


def _lost() -> ClaimLost:
    return ClaimLost(
        "the idempotency key is no longer this request's: it took longer than its lease and another took over, or it was "
        "answered; renew the claim while the work goes on"
    )


def _place(name: KeyName, subject: str) -> Place:
    return Place(name.tenant, subject, name.digest, "reply")


def _key_row(row: dict[str, Any]) -> KeyRow:
    return KeyRow(
        fingerprint=row["fingerprint"],
        run_id=row["run_id"],
        token=row["token"],
        claims=row["claims"],
        lease_until=row["lease_until"],
        expires_at=row["expires_at"],
        answered=row["status"] is not None,
    )
