"""Ways to change an audit log behind its back: each returns the first record that it touched, 0 where there is none."""

import random
from typing import Any

import sqlalchemy as sa

from seawall.foundation.audit.tables import AUDIT, CHECKPOINTS, HEADS


def _some(connection: sa.Connection, rng: random.Random) -> Any:
    query = sa.select(AUDIT.c.tenant, AUDIT.c.seq).order_by(AUDIT.c.tenant, AUDIT.c.seq)
    return rng.choice(connection.execute(query).all())


def _at(row: Any) -> sa.ColumnElement[bool]:
    return sa.and_(AUDIT.c.tenant == row.tenant, AUDIT.c.seq == row.seq)


def edit(connection: sa.Connection, rng: random.Random) -> int:
    """Change a byte or a number of a record."""
    row = _some(connection, rng)
    old = connection.execute(sa.select(AUDIT).where(_at(row))).mappings().one()
    column = rng.choice(["at_us", "kind", "subject", "sealed", "hash"])
    value = old[column]
    if isinstance(value, bytes):
        place = rng.randrange(len(value))
        changed: Any = value[:place] + bytes([value[place] ^ (1 << rng.randrange(8))]) + value[place + 1 :]
    else:
        changed = value + 1 if isinstance(value, int) else value + "x"
    connection.execute(sa.update(AUDIT).where(_at(row)).values({column: changed}))
    return row.seq


def delete(connection: sa.Connection, rng: random.Random) -> int:
    """Take a record out."""
    row = _some(connection, rng)
    connection.execute(sa.delete(AUDIT).where(_at(row)))
    return row.seq


def swap(connection: sa.Connection, rng: random.Random) -> int:
    """Have two records change places."""
    one = _some(connection, rng)
    mine = AUDIT.c.tenant == one.tenant
    seqs = connection.execute(sa.select(AUDIT.c.seq).where(mine, AUDIT.c.seq != one.seq)).scalars().all()
    other = rng.choice(seqs)
    for before, after in ((one.seq, 10**9), (other, one.seq), (10**9, other)):
        connection.execute(sa.update(AUDIT).where(mine, AUDIT.c.seq == before).values(seq=after))
    return min(one.seq, other)


def truncate(connection: sa.Connection, rng: random.Random) -> int:
    """Cut off the end."""
    row = _some(connection, rng)
    which = sa.and_(AUDIT.c.tenant == row.tenant, AUDIT.c.seq >= row.seq)
    connection.execute(sa.delete(AUDIT).where(which))
    return row.seq


def cut_the_beginning(connection: sa.Connection, rng: random.Random) -> int:
    """Cut off the beginning, and half the time say that it was pruned."""
    row = _some(connection, rng)
    which = sa.and_(AUDIT.c.tenant == row.tenant, AUDIT.c.seq <= row.seq)
    connection.execute(sa.delete(AUDIT).where(which))
    if rng.random() < 0.5:
        base = sa.update(HEADS).where(HEADS.c.tenant == row.tenant).values(base_seq=row.seq)
        connection.execute(base)
        return 0
    return 1


def end_earlier(connection: sa.Connection, rng: random.Random) -> int:
    """Cut off the end, and say that it ends there."""
    row = _some(connection, rng)
    which = sa.and_(AUDIT.c.tenant == row.tenant, AUDIT.c.seq > row.seq)
    if not connection.execute(sa.delete(AUDIT).where(which)).rowcount:
        return truncate(connection, rng)
    head = sa.update(HEADS).where(HEADS.c.tenant == row.tenant).values(seq=row.seq)
    connection.execute(head)
    return 0


def remove_a_tenant(connection: sa.Connection, rng: random.Random) -> int:
    """Take a whole chain out."""
    row = _some(connection, rng)
    for table in (AUDIT, HEADS, CHECKPOINTS):
        connection.execute(sa.delete(table).where(table.c.tenant == row.tenant))
    return 0


def move(connection: sa.Connection, rng: random.Random) -> int:
    """Give a record to another tenant."""
    row = _some(connection, rng)
    connection.execute(sa.update(AUDIT).where(_at(row)).values(tenant=f"{row.tenant}x"))
    return row.seq


def forget_a_checkpoint(connection: sa.Connection, rng: random.Random) -> int:
    """Take a checkpoint out, or change its time."""
    point = rng.choice(connection.execute(sa.select(CHECKPOINTS.c.tenant, CHECKPOINTS.c.seq)).all())
    which = sa.and_(CHECKPOINTS.c.tenant == point.tenant, CHECKPOINTS.c.seq == point.seq)
    if rng.random() < 0.5:
        connection.execute(sa.delete(CHECKPOINTS).where(which))
    else:
        connection.execute(sa.update(CHECKPOINTS).where(which).values(at_us=CHECKPOINTS.c.at_us + 1))
    return point.seq


WAYS = (
    edit,
    edit,
    delete,
    swap,
    truncate,
    cut_the_beginning,
    end_earlier,
    remove_a_tenant,
    move,
    forget_a_checkpoint,
)
