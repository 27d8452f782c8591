"""The tables of what Callbox fetches by itself: when it pulled, what it is to pull, what had been missed.

The queue's own tables are procrastinate's, see `app.storage.queue`.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from app.storage.models.columns import at_, metadata, now_

searches = Table(
    "searches",
    metadata,
    Column("source_id", Uuid, nullable=False),
    Column("scope", Text, nullable=False, comment="`broker:` or `account:` and the SHA-256 of its token"),
    Column("last_days", Integer, nullable=False),
    at_("begun_at"),
    at_("done_at"),
    at_("failed_at"),
    Column("error", Text, comment="why it failed last, in our words"),
    Column("found", Integer, comment="items in the last answer"),
    PrimaryKeyConstraint("source_id", "scope", "last_days"),
    comment="the searches that are made again and again, or were begun by hand",
)

pulled = Table(
    "pulled",
    metadata,
    Column("source_id", Uuid, nullable=False),
    Column("subject", Text, nullable=False),
    Column("content", LargeBinary, nullable=False, comment="SHA-256 of the item without signature, tokens and links"),
    Column("signature", LargeBinary, comment="SHA-256 of its `sHash`"),
    Column("body", LargeBinary, nullable=False, comment="SHA-256 of the item as it came"),
    Column("delivery_id", Uuid, nullable=False, comment="the last pulled delivery of it"),
    at_("pulled_at", nullable=False),
    at_("deviated_at"),
    PrimaryKeyConstraint("source_id", "subject"),
    comment="what a pull last said of each subject",
)

wanted_pulls = Table(
    "wanted_pulls",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("source_id", Uuid, nullable=False),
    Column("subject", Text, nullable=False),
    Column("cause", Text, nullable=False, comment="`notification`, `return`, `token`"),
    Column("event_id", Uuid, comment="what made it wanted"),
    now_("wanted_at"),
    PrimaryKeyConstraint("id", "source_id"),
    UniqueConstraint("source_id", "subject", "cause"),
    comment="what is to be pulled soon; a row goes once that is done",
)

gaps = Table(
    "gaps",
    metadata,
    Column("id", Uuid, nullable=False, comment="of the event that filled it"),
    Column("source_id", Uuid, nullable=False),
    Column("subject", Text, nullable=False),
    Column("broker", Text),
    Column("delivery_id", Uuid, nullable=False, comment="the pull that found it"),
    at_("missed_since", nullable=False),
    at_("found_at", nullable=False),
    Column("content", LargeBinary, nullable=False, comment="as in `pulled`"),
    at_("late_at"),
    PrimaryKeyConstraint("id", "source_id"),
    Index("ix_gaps_open", "source_id", "subject", postgresql_where=text("late_at IS NULL")),
)

job_errors = Table(
    "job_errors",
    metadata,
    Column("job_id", BigInteger, primary_key=True, autoincrement=False),
    now_("at"),
    Column("error", Text, nullable=False, comment="in our words, without what anybody sent"),
)
