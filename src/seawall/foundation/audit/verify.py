"""Look for any change in an audit log: what was edited, deleted, moved or cut off, and the first record where it shows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from seawall.foundation.audit.chain import (
    CHECKPOINT_EACH,
    Head,
    Link,
    checkpoint,
    hash_of,
    roster_hash,
    signed_part,
)
from seawall.foundation.audit.tables import AUDIT, CHECKPOINTS, HEADS, ROSTER
from seawall.foundation.compliance.signing import Signer


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was changed: whose chain, the first record that does not fit (0: the whole), and what is wrong."""

    tenant: str
    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at an audit log came to. `heads` are hashes to keep elsewhere, and to give to the next look."""

    records: int
    findings: tuple[Finding, ...]
    heads: Mapping[str, tuple[int, str]]


def verify(
    connection: sa.Connection, signer: Signer, expected: Mapping[str, tuple[int, str]] | None = None
) -> Verified:
    """Check every chain. `expected` are heads that an earlier look returned, which must still be in their chains.

    Without them a database that was put back whole to an earlier state cannot be told from one that is of that time.
    """
    rows = connection.execute(sa.select(HEADS)).all()
    signatures = {row[0]: row[5] for row in rows}
    heads = {row[0]: Head(*row[:5]) for row in rows}
    findings = [
        Finding(_shown(tenant), 0, "the end of the chain is not signed by this service")
        for tenant, head in heads.items()
        if not signer.verify(signed_part(head), signatures[tenant])
    ]
    roster = heads.pop(ROSTER, None)
    findings += _missing(connection, heads, roster)
    counted = 0
    for tenant, head in sorted(heads.items()):
        wanted = dict([expected[tenant]] if expected and tenant in expected else [])
        for finding in _chain(connection, signer, head, wanted):
            if isinstance(finding, int):
                counted += finding
            else:
                findings.append(finding)
    findings += [
        Finding(tenant, seq, "this chain was there before, and is gone")
        for tenant, (seq, _) in (expected or {}).items()
        if tenant not in heads
    ]
    ends = {tenant: (head.seq, head.hash.hex()) for tenant, head in heads.items()}
    return Verified(counted, tuple(findings), ends)


def _missing(connection: sa.Connection, heads: Mapping[str, Head], roster: Head | None) -> Iterator[Finding]:
    """Compare who has a chain with who is said to have one."""
    for table in (AUDIT, CHECKPOINTS):
        for tenant in connection.execute(sa.select(table.c.tenant).distinct()).scalars():
            if tenant not in heads:
                yield Finding(tenant, 0, "the end of the chain is missing")
    known = list(heads)
    if (heads and roster is None) or (
        roster is not None and (roster.seq, roster.hash) != (len(known), roster_hash(known))
    ):
        yield Finding(
            "", 0, "the list of all chains is not the one that was signed: one was added or removed"
        )


def _chain(
    connection: sa.Connection, signer: Signer, head: Head, expected: dict[int, str]
) -> Iterator[Finding | int]:
    """Walk one chain; yield how many records were read, and the first thing that does not fit."""
    shown, previous, seq = _shown(head.tenant), head.base_hash, head.base_seq
    mine = sa.select(CHECKPOINTS).where(CHECKPOINTS.c.tenant == head.tenant)
    points = {row.seq: row for row in connection.execute(mine)}
    query = sa.select(AUDIT).where(AUDIT.c.tenant == head.tenant).order_by(AUDIT.c.seq)
    with connection.execution_options(yield_per=1_000).execute(query) as rows:
        for row in rows:
            link = Link(*row)
            seq += 1
            if link.seq != seq:
                yield Finding(shown, seq, f"record {seq} is missing; the next one there is {link.seq}")
                return
            previous = hash_of(previous, link)
            wrong = _wrong(link, previous, expected.pop(seq, None)) or _unlike(
                link, points.pop(seq, None), signer
            )
            if wrong:
                yield Finding(shown, seq, wrong)
                return
    yield seq - head.base_seq
    if (seq, previous) != (head.seq, head.hash):
        cut = f"the chain ends at record {seq} and was signed at {head.seq}: records were cut off or added"
        yield Finding(shown, seq + 1, cut)
    elif points:
        yield Finding(shown, min(points), "a checkpoint was signed of a record that is not there")
    else:
        gone = [one for one in expected if one > head.base_seq]
        yield from (Finding(shown, seq + 1, f"record {one} was there before, and is gone") for one in gone)


def _wrong(link: Link, hashed: bytes, before: str | None) -> str:
    if link.hash != hashed:
        return "the record, or the one before it, is not what was written"
    if before is not None and before != link.hash.hex():
        return "the record is not the one that was there before"
    return ""


def _unlike(link: Link, point: Any, signer: Signer) -> str:
    if point is None:
        return "" if link.seq % CHECKPOINT_EACH else "the checkpoint of the record is missing"
    if point.hash != link.hash:
        return "the record is not the one of which a checkpoint was signed"
    if not signer.verify(checkpoint(link.tenant, link.seq, point.hash, point.at_us), point.signature):
        return "the checkpoint is not signed by this service"
    return ""


def _shown(tenant: str) -> str:
    return "the list of chains" if tenant == ROSTER else tenant
