"""Break-glass access: an operator may read content for a reason, for a short time, and not unseen.

Source: 45 CFR 164.312(a)(2)(ii), emergency access procedure.
"""

from dataclasses import dataclass, field

import sqlalchemy as sa

from seawall.foundation.clock import Clock
from seawall.foundation.compliance.keyring import Keyring
from seawall.foundation.compliance.sealing import Sealer
from seawall.foundation.errors import ConfigError, SeawallError
from seawall.foundation.ids import new_id
from seawall.foundation.subjects.book import SubjectBook
from seawall.foundation.subjects.tables import GRANTS
from seawall.foundation.units import Period, seconds

_LONGEST = "4h"
_LEAST_REASON = 10


class NoAccess(SeawallError):
    """There is no grant that allows this now."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to read one tenant's content, from one moment to another (seconds since the epoch)."""

    id: str
    tenant: str
    operator: str
    opened_at: float
    until: float
    ended_at: float | None
    reason: str = field(repr=False)

    def holds(self, now: float) -> bool:
        """Whether it allows anything now."""
        return self.ended_at is None and self.opened_at <= now < self.until


class AccessGrants:
    """All grants, beside the people of a `SubjectBook`. Every call may block."""

    def __init__(self, book: SubjectBook, keyring: Keyring) -> None:
        self._engine = book.engine
        self._clock: Clock = book.clock
        self._sealer = Sealer(keyring, "grants")

    def open(self, tenant: str, operator: str, reason: str, lasts: Period = "15m") -> Grant:
        """Give an operator leave, at most for four hours; ConfigError without a reason that says something."""
        if len(reason.strip()) < _LEAST_REASON:
            raise ConfigError(
                f"access to content needs a reason of at least {_LEAST_REASON} characters, such as the number of the "
                "incident and what is looked for"
            )
        if seconds(lasts) > seconds(_LONGEST):
            raise ConfigError(f"access lasts {_LONGEST} at most, not {lasts}; ask again when it has ended")
        now = self._clock.time()
        grant = Grant(new_id("acc"), tenant, operator, now, now + seconds(lasts), None, reason)
        row = {
            "id": grant.id,
            "tenant": tenant,
            "operator": operator,
            "opened_at": now,
            "until": grant.until,
            "ended_at": None,
            "reason": self._sealer.seal(reason.encode(), grant.id.encode()),
            "alerted": False,
        }
        with self._engine.begin() as connection:
            connection.execute(sa.insert(GRANTS).values(row))
        return grant

    def check(self, grant_id: str, tenant: str, operator: str) -> Grant:
        """Return a grant that holds now, for this tenant and operator; NoAccess where there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(GRANTS).where(GRANTS.c.id == grant_id)).one_or_none()
        grant = None if row is None else self._grant(row)
        if grant is None or (grant.tenant, grant.operator) != (tenant, operator):
            raise NoAccess(
                "no grant of this id is yours for this tenant; make one with `seawall access open`"
            )
        if not grant.holds(self._clock.time()):
            raise NoAccess("the grant is over; make another with `seawall access open`, and say why")
        return grant

    def end(self, grant_id: str) -> bool:
        """End a grant before its time; whether it held."""
        now = self._clock.time()
        which = sa.and_(GRANTS.c.id == grant_id, GRANTS.c.ended_at.is_(None), GRANTS.c.until > now)
        with self._engine.begin() as connection:
            return bool(connection.execute(sa.update(GRANTS).where(which).values(ended_at=now)).rowcount)

    def all(self, tenant: str | None = None) -> list[Grant]:
        """Return every grant there was, or a tenant's, the oldest first."""
        query = sa.select(GRANTS).order_by(GRANTS.c.id)
        if tenant is not None:
            query = query.where(GRANTS.c.tenant == tenant)
        with self._engine.connect() as connection:
            return [self._grant(row) for row in connection.execute(query)]

    def unalerted(self) -> list[Grant]:
        """Return the grants that nobody has raised an alarm for, and note that somebody does now."""
        query = sa.select(GRANTS).where(GRANTS.c.alerted.is_(sa.false()))
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return []
        mine: list[Grant] = []
        with self._engine.begin() as connection:
            for row in rows:
                which = sa.and_(GRANTS.c.id == row.id, GRANTS.c.alerted.is_(sa.false()))
                # Of several processes one is the first.
                if connection.execute(sa.update(GRANTS).where(which).values(alerted=True)).rowcount:
                    mine.append(self._grant(row))
        return mine

    def _grant(self, row: sa.Row[tuple[object, ...]]) -> Grant:
        reason = self._sealer.open(row.reason, row.id.encode()).decode()
        return Grant(row.id, row.tenant, row.operator, row.opened_at, row.until, row.ended_at, reason)
