"""The tables of what we asked the platforms for."""

from sqlalchemy import Column, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from app.storage.models.columns import at_, metadata, now_

submissions = Table(
    "submissions",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("source_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("request", JSONB, nullable=False, comment="masked"),
    Column("answer", JSONB, comment="masked"),
    Column("problem", JSONB),
    Column("platform_ids", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("external_reference", Text),
    Column("broker", Text),
    Column("idempotency_key", Text),
    Column("request_sha256", LargeBinary, nullable=False),
    now_("created_at"),
    at_("sent_at"),
    at_("answered_at"),
    at_("due_at"),
    at_("closed_at"),
    Column("first_event_id", Uuid),
    PrimaryKeyConstraint("id", "source_id"),
    UniqueConstraint("source_id", "idempotency_key"),
    Index(None, "state", "id"),
)

submission_keys = Table(
    "submission_keys",
    metadata,
    Column("source_id", Uuid, nullable=False),
    Column("key", Text, nullable=False, comment="by which a callback names what was asked for, such as `inquiry:7`"),
    Column("submission_id", Uuid, nullable=False),
    at_("matched_at"),
    PrimaryKeyConstraint("source_id", "key", "submission_id"),
    Index("ix_submission_keys_waiting", "source_id", postgresql_where=text("matched_at IS NULL")),
)
