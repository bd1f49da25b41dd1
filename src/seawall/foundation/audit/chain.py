"""A chain of hashes over what is stored of the records: whoever changes one has to change all after it.

Each record's hash covers the one before it, its place, and its body as encrypted. So the chain can be checked without
reading a body, and holds when the key to one is destroyed. Source: Schneier and Kelsey, Secure Audit Logs to Support
Computer Forensics (1999); here the last hash is signed with Ed25519.
"""

import json
from hashlib import sha256
from typing import NamedTuple

# How many records lie between two signed checkpoints of a chain.
CHECKPOINT_EACH = 1_000


class Link(NamedTuple):
    """A record as stored. `at_us` is microseconds since the epoch, `subject` the id of the person it is sealed for."""

    tenant: str
    seq: int
    at_us: int
    kind: str
    subject: str
    sealed: bytes
    hash: bytes


class Head(NamedTuple):
    """Where a tenant's chain stands: its last record, and the last that was deleted because its time was over."""

    tenant: str
    seq: int
    hash: bytes
    base_seq: int
    base_hash: bytes


def beginning(tenant: str) -> Head:
    """Return the head of a chain without records."""
    first = sha256(b"seawall.audit.1\n" + tenant.encode()).digest()
    return Head(tenant, 0, first, 0, first)


def hash_of(previous: bytes, link: Link) -> bytes:
    """Return the hash that a record has after this one; `link.hash` is not looked at."""
    # As JSON, so that no two records read the same.
    place = json.dumps([link.tenant, link.seq, link.at_us, link.kind, link.subject]).encode()
    return sha256(previous + sha256(place).digest() + link.sealed).digest()


def signed_part(head: Head) -> bytes:
    """Return what of a head is signed."""
    return json.dumps(
        ["seawall.audit.head", head.tenant, head.seq, head.hash.hex(), head.base_seq, head.base_hash.hex()]
    ).encode()


def checkpoint(tenant: str, seq: int, hashed: bytes, at_us: int) -> bytes:
    """Return what of a checkpoint is signed."""
    return json.dumps(["seawall.audit.checkpoint", tenant, seq, hashed.hex(), at_us]).encode()


def roster_hash(tenants: list[str]) -> bytes:
    """Return one hash for the list of all tenants that have a chain, so that none can go missing as a whole."""
    return sha256(json.dumps(sorted(tenants)).encode()).digest()
