"""The tables of people and of the keys above theirs."""

import sqlalchemy as sa

METADATA = sa.MetaData()
TENANT_KEYS = sa.Table(
    "tenant_keys",
    METADATA,
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
)
SUBJECTS = sa.Table(
    "subjects",
    METADATA,
    # Random, and not made from the person: after an erasure it leads back to nobody.
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("key_version", sa.Integer, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("restricted_at", sa.Double, nullable=True),
    sa.Column("held_at", sa.Double, nullable=True),
    # Why there is a legal hold, sealed under the person's key.
    sa.Column("hold_reason", sa.LargeBinary, nullable=True),
    sa.Index("subjects_by_key", "tenant", "key_version"),
    sa.Index("subjects_restricted", "restricted_at"),
    sa.Index("subjects_held", "held_at"),
)
ALIASES = sa.Table(
    "subject_aliases",
    METADATA,
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("alias", sa.String, primary_key=True),
    sa.Column("subject_id", sa.String, nullable=False, index=True),
)
ERASURES = sa.Table(
    "erasures",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("asked_at", sa.Double, nullable=False),
    sa.Column("done_at", sa.Double, nullable=True),
    # Whose data is to be erased, sealed; empty once it is done.
    sa.Column("journal", sa.LargeBinary, nullable=False),
    sa.Column("receipt", sa.JSON, nullable=True),
)
CHANGES = sa.Table(
    "subject_changes",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, nullable=False),
)
GRANTS = sa.Table(
    "access_grants",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("operator", sa.String, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double, nullable=True),
    # Sealed: it may name who is looked for.
    sa.Column("reason", sa.LargeBinary, nullable=False),
    sa.Column("alerted", sa.Boolean, nullable=False),
)
