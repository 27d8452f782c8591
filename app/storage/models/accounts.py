"""The tables of accounts at the providers, and of who may read."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.storage.models.columns import at_, metadata, now_

sources = Table(
    "sources",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("provider", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("recipe", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    at_("recipe_proven_at"),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    now_("created_at"),
    now_("updated_at"),
    at_("disabled_at"),
)

source_tokens = Table(
    "source_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source_id", ForeignKey("sources.id"), nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("token_sha256", LargeBinary, nullable=False, unique=True),
    Column("token_encrypted", LargeBinary, nullable=False),
    now_("created_at"),
    at_("revoked_at"),
    at_("last_used_at"),
)

source_secrets = Table(
    "source_secrets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source_id", ForeignKey("sources.id"), nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("value_encrypted", LargeBinary, nullable=False),
    now_("created_at"),
    at_("revoked_at"),
)

source_credentials = Table(
    "source_credentials",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source_id", ForeignKey("sources.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("value_encrypted", LargeBinary, nullable=False),
    now_("created_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("key_sha256", LargeBinary, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("source_ids", ARRAY(Uuid), comment="the wall by source; null: none"),
    Column("brokers", ARRAY(Text), comment="the wall by bExternalId; null: none"),
    now_("created_at"),
    at_("expires_at"),
    at_("revoked_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    now_("at"),
    Column("actor", Text, nullable=False, comment="`key:<id>` or `cli`"),
    Column("action", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Index(None, "actor", "id"),
    Index(None, "action", "id"),
)

audit_unsealed = Table(
    "audit_unsealed",
    metadata,
    Column("audit_id", ForeignKey("audit.id"), primary_key=True),
    comment="entries that no seal covers yet; written with the entry, so that a late commit is not missed",
)

audit_seals = Table(
    "audit_seals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    at_("sealed_at", nullable=False),
    Column("row_ids", ARRAY(Uuid), nullable=False, comment="the entries that it covers, lowest first"),
    Column("row_macs", LargeBinary, nullable=False, comment="16 bytes for each of them"),
    Column("digest", LargeBinary, nullable=False, comment="HMAC-SHA256 over the seal before and all of this"),
)

api_requests = Table(
    "api_requests",
    metadata,
    Column("actor", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("request_sha256", LargeBinary, nullable=False),
    Column("answer", JSONB, comment="what was made, without what is shown once"),
    now_("created_at"),
    PrimaryKeyConstraint("actor", "idempotency_key"),
    comment="what administrators had made over the API under an `Idempotency-Key`",
)

installation = Table(
    "installation",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
