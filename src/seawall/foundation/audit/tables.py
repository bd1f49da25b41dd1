"""The tables of the audit log."""

import sqlalchemy as sa

METADATA = sa.MetaData()
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Index("audit_of_subject", "tenant", "subject"),
)
HEADS = sa.Table(
    "audit_heads",
    METADATA,
    # The one without a tenant's name is the service's own; the roster of all is under ROSTER.
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("base_seq", sa.BigInteger, nullable=False),
    sa.Column("base_hash", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)
CHECKPOINTS = sa.Table(
    "audit_checkpoints",
    METADATA,
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)
# No tenant is called that: names have no line feeds.
ROSTER = "\nroster"
