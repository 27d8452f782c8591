"""Make the first tables.

The monthly partitions are made by `app.storage.partitions`; only the default ones stand here.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:  # noqa: PLR0915 - a statement for each table and index
    """Make them."""
    op.create_table(
        "aliases",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False, comment="the stronger key of the same record"),
        sa.Column(
            "order_key", sa.Text(collation="C"), nullable=False, comment="of the item that said so; the lowest decides"
        ),
        sa.PrimaryKeyConstraint("source_id", "kind", "key", name=op.f("pk_aliases")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("source_ids", sa.ARRAY(sa.Uuid()), nullable=True, comment="the wall by source; null: none"),
        sa.Column("brokers", sa.ARRAY(sa.Text()), nullable=True, comment="the wall by bExternalId; null: none"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_sha256", name=op.f("uq_api_keys_key_sha256")),
    )
    op.create_table(
        "api_requests",
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("request_sha256", sa.LargeBinary(), nullable=False),
        sa.Column(
            "answer",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what was made, without what is shown once",
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("actor", "idempotency_key", name=op.f("pk_api_requests")),
        comment="what administrators had made over the API under an `Idempotency-Key`",
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="`key:<id>` or `cli`"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "detail", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_action_id"), "audit", ["action", "id"], unique=False)
    op.create_index(op.f("ix_audit_actor_id"), "audit", ["actor", "id"], unique=False)
    op.create_table(
        "audit_seals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("row_ids", sa.ARRAY(sa.Uuid()), nullable=False, comment="the entries that it covers, lowest first"),
        sa.Column("row_macs", sa.LargeBinary(), nullable=False, comment="16 bytes for each of them"),
        sa.Column(
            "digest", sa.LargeBinary(), nullable=False, comment="HMAC-SHA256 over the seal before and all of this"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_seals")),
    )
    op.create_table(
        "baselines",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column(
            "month_id",
            sa.Uuid(),
            nullable=False,
            comment="the closing of a month that it was made by; nothing until then",
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="the record's own key in these events, as in `parts`"),
        sa.Column("broker", sa.Text(), nullable=True, comment="the events'"),
        sa.Column("record_id", sa.Uuid(), nullable=False, comment="the record that it belongs to now"),
        sa.Column(
            "said",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="by order key: what is not overwritten by a higher one",
        ),
        sa.Column("head_key", sa.Text(), nullable=False),
        sa.Column("head_receipt", sa.Text(), nullable=False),
        sa.Column(
            "last_change_key",
            sa.Text(),
            nullable=False,
            comment="of the highest event that changed the record; or empty",
        ),
        sa.Column("first_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=True, comment="the last call of ours that the events answered"),
        sa.PrimaryKeyConstraint("id", "source_id", name=op.f("pk_baselines")),
        comment="what the events of dropped months said of the records: from there these are folded anew",
    )
    op.create_index(op.f("ix_baselines_month_id"), "baselines", ["month_id"], unique=False)
    op.create_index(op.f("ix_baselines_record_id"), "baselines", ["record_id"], unique=False)
    op.create_table(
        "brokers",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="`id:<bExternalId>` or `token:<SHA-256 of bToken>`"),
        sa.Column("delivery_id", sa.Uuid(), nullable=False, comment="the first delivery that named it"),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_brokers")),
    )
    op.create_table(
        "closed_months",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("folded_until", sa.Uuid(), nullable=False, comment="the last event that is in the baselines"),
        sa.Column("folded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closed_months")),
        comment="the months whose deliveries and events are dropped, or about to be",
    )
    op.create_table(
        "customers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False, comment="the platform's id, unique within source and kind"),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("salutation", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("website", sa.Text(), nullable=True),
        sa.Column("company", sa.Text(), nullable=True),
        sa.Column("private_is_company_address", sa.Boolean(), nullable=True),
        sa.Column(
            "address", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "company_address",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "external_references",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "brokers", sa.ARRAY(sa.Text()), nullable=False, comment="all that named it; the wall must know them all"
        ),
        sa.Column("merged_into", sa.Uuid(), nullable=True, comment="the record that it turned out to be"),
        sa.Column("head_key", sa.Text(collation="C"), nullable=False, comment="the highest order key of its events"),
        sa.Column("head_receipt", sa.Text(collation="C"), nullable=False, comment="the highest receipt of its events"),
        sa.Column("last_change_id", sa.Uuid(), nullable=True, comment="the event that changed it last"),
        sa.Column(
            "field_keys",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="by path, where it is not head_key",
        ),
        sa.Column(
            "folded",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="text without case and accents, by field",
        ),
        sa.Column("first_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", "source_id", name=op.f("pk_customers")),
        sa.UniqueConstraint("source_id", "identity", name=op.f("uq_customers_source_id_identity")),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index(op.f("ix_customers_changed_at_id"), "customers", ["changed_at", "id"], unique=False)
    op.create_index(op.f("ix_customers_customer_id"), "customers", ["customer_id"], unique=False)
    op.create_index(op.f("ix_customers_external_id"), "customers", ["external_id"], unique=False)
    op.create_index(op.f("ix_customers_last_received_at_id"), "customers", ["last_received_at", "id"], unique=False)
    op.create_index(
        "ix_customers_search_open",
        "customers",
        [
            sa.literal_column(
                "array_to_tsvector(array_remove(string_to_array(regexp_replace(regexp_replace(replace(regexp_replace(replace(replace(replace(replace(translate(regexp_replace(lower(normalize(lower(left((((COALESCE(customer_id::text, '') || ' ') || COALESCE(external_id, '')) || ' ') || COALESCE(jsonb_path_query_array(external_references, '$.*.value')::text, ''), 10000)), NFKD)), '[\\u0300-\\u036f]', '', 'g'), 'øłđðħ', 'olddh'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), '([aou])e', '\\1', 'g'), 'ij', 'y'), '[\\x01-/:-@\\[-`{-\\x7f]+', ' ', 'g'), '([^ ]{100})[^ ]+', '\\1', 'g'), ' '), ''))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_customers_search_whole",
        "customers",
        [
            sa.literal_column(
                "array_to_tsvector(array_remove(string_to_array(regexp_replace(regexp_replace(replace(regexp_replace(replace(replace(replace(replace(translate(regexp_replace(lower(normalize(lower(left((((((((((((((((((((((((((((COALESCE(customer_id::text, '') || ' ') || COALESCE(external_id, '')) || ' ') || COALESCE(jsonb_path_query_array(external_references, '$.*.value')::text, '')) || ' ') || COALESCE(first_name, '')) || ' ') || COALESCE(last_name, '')) || ' ') || COALESCE(company, '')) || ' ') || COALESCE(email, '')) || ' ') || COALESCE(address ->> 'city', '')) || ' ') || COALESCE(address ->> 'postal_code', '')) || ' ') || COALESCE(address ->> 'street', '')) || ' ') || COALESCE(address ->> 'text', '')) || ' ') || COALESCE(company_address ->> 'city', '')) || ' ') || COALESCE(company_address ->> 'postal_code', '')) || ' ') || COALESCE(company_address ->> 'street', '')) || ' ') || COALESCE(company_address ->> 'text', ''), 10000)), NFKD)), '[\\u0300-\\u036f]', '', 'g'), 'øłđðħ', 'olddh'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), '([aou])e', '\\1', 'g'), 'ij', 'y'), '[\\x01-/:-@\\[-`{-\\x7f]+', ' ', 'g'), '([^ ]{100})[^ ]+', '\\1', 'g'), ' '), ''))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("via", sa.SmallInteger(), nullable=False),
        sa.Column("method", sa.SmallInteger(), nullable=False),
        sa.Column("answered", sa.SmallInteger(), nullable=False),
        sa.Column("verdict", sa.SmallInteger(), nullable=False, comment="at receipt, the worst item's"),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column(
            "judged",
            sa.LargeBinary(),
            nullable=False,
            comment="at receipt: a byte for each item, see app.ingest.judged",
        ),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("remote_addr", sa.LargeBinary(), nullable=False),
        sa.Column("query", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.LargeBinary(), nullable=False, comment="JSON list of pairs, Latin-1 as on the wire"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "id", "source_id", name=op.f("pk_deliveries"), postgresql_include=["received_at", "via", "verdict"]
        ),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(op.f("ix_deliveries_source_id_id"), "deliveries", ["source_id", "id"], unique=False)
    op.create_table(
        "delivery_counts",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("via", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False, comment="below 0: so many are taken back"),
        sa.Column(
            "spent", sa.LargeBinary(), nullable=False, comment="4 bytes of milliseconds and 4 of how often, for each"
        ),
        sa.Column("is_loose", sa.Boolean(), nullable=False, comment="to be put together with the others of its hour"),
        comment="processed deliveries by the hour (UTC) of their receipt: the sum of its rows counts",
    )
    op.create_index(op.f("ix_delivery_counts_hour"), "delivery_counts", ["hour"], unique=False)
    op.create_index(
        "ix_delivery_counts_loose", "delivery_counts", ["hour"], unique=False, postgresql_where=sa.text("is_loose")
    )
    op.create_table(
        "delivery_counts_end",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="up to here all are counted"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_delivery_counts_end")),
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False, comment="the platform's id, unique within source and kind"),
        sa.Column("inquiry_id", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("broker_external_id", sa.Text(), nullable=True),
        sa.Column("token_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("link_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("token_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("broker_token_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), server_default="announced", nullable=False),
        sa.Column(
            "attempts",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="since it was last announced anew",
        ),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="null: at once; while it is fetched: when its fetcher is given up",
        ),
        sa.Column(
            "last_error", sa.Text(), nullable=True, comment="why it is not archived: a word out of a closed list"
        ),
        sa.Column(
            "renewals",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how often a token was asked for",
        ),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fetched_by", sa.Text(), nullable=True, comment="the way on which it was had"),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("head_key", sa.Text(collation="C"), nullable=False, comment="the highest order key of its events"),
        sa.Column("head_receipt", sa.Text(collation="C"), nullable=False, comment="the highest receipt of its events"),
        sa.Column("last_change_id", sa.Uuid(), nullable=True, comment="the event that changed it last"),
        sa.Column(
            "field_keys",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="by path, where it is not head_key",
        ),
        sa.Column(
            "folded",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="text without case and accents, by field",
        ),
        sa.Column("first_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", "source_id", name=op.f("pk_documents")),
        sa.UniqueConstraint("source_id", "identity", name=op.f("uq_documents_source_id_identity")),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index(op.f("ix_documents_changed_at_id"), "documents", ["changed_at", "id"], unique=False)
    op.create_index(
        "ix_documents_due",
        "documents",
        ["source_id", sa.literal_column("coalesce(next_attempt_at, '-infinity'::timestamptz)")],
        unique=False,
        postgresql_where=sa.text("state IN ('announced', 'fetching')"),
    )
    op.create_index(op.f("ix_documents_inquiry_id"), "documents", ["inquiry_id"], unique=False)
    op.create_index(op.f("ix_documents_last_received_at_id"), "documents", ["last_received_at", "id"], unique=False)
    op.create_index(
        "ix_documents_lost",
        "documents",
        ["source_id", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('failed', 'expired')"),
    )
    op.create_index(
        "ix_documents_search_open",
        "documents",
        [
            sa.literal_column(
                "array_to_tsvector(array_remove(string_to_array(regexp_replace(regexp_replace(replace(regexp_replace(replace(replace(replace(replace(translate(regexp_replace(lower(normalize(lower(left(COALESCE(inquiry_id::text, ''), 10000)), NFKD)), '[\\u0300-\\u036f]', '', 'g'), 'øłđðħ', 'olddh'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), '([aou])e', '\\1', 'g'), 'ij', 'y'), '[\\x01-/:-@\\[-`{-\\x7f]+', ' ', 'g'), '([^ ]{100})[^ ]+', '\\1', 'g'), ' '), ''))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_documents_search_whole",
        "documents",
        [
            sa.literal_column(
                "array_to_tsvector(array_remove(string_to_array(regexp_replace(regexp_replace(replace(regexp_replace(replace(replace(replace(replace(translate(regexp_replace(lower(normalize(lower(left((((COALESCE(inquiry_id::text, '') || ' ') || COALESCE(name, '')) || ' ') || COALESCE(full_name, ''), 10000)), NFKD)), '[\\u0300-\\u036f]', '', 'g'), 'øłđðħ', 'olddh'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), '([aou])e', '\\1', 'g'), 'ij', 'y'), '[\\x01-/:-@\\[-`{-\\x7f]+', ' ', 'g'), '([^ ]{100})[^ ]+', '\\1', 'g'), ' '), ''))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(op.f("ix_documents_token_expires_at_id"), "documents", ["token_expires_at", "id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("item_index", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("order_key", sa.Text(collation="C"), nullable=False),
        sa.Column("record_kind", sa.Text(), nullable=True),
        sa.Column("record_id", sa.Uuid(), nullable=True),
        sa.Column(
            "customer_key", sa.Text(), nullable=True, comment="the customer's own key in this item, strongest first"
        ),
        sa.Column("customer_id", sa.Uuid(), nullable=True, comment="the customer record it belongs to now"),
        sa.Column("broker", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("occurred_on", sa.Date(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("repeat_key", sa.Text(), nullable=True),
        sa.Column("duplicate_of", sa.Uuid(), nullable=True),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("warnings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "parts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="what it says about each record, as read",
        ),
        sa.Column("data", sa.JSON(), nullable=False, comment="the item as sent, masked"),
        sa.Column("revised_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("submission_id", sa.Uuid(), nullable=True, comment="the call of ours that it answers"),
        sa.PrimaryKeyConstraint("id", "source_id", name=op.f("pk_events")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "ix_events_answers",
        "events",
        ["submission_id", "id"],
        unique=False,
        postgresql_where=sa.text("submission_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_events_customer_id_id"), "events", ["customer_id", "id"], unique=False)
    op.create_index(op.f("ix_events_record_id_order_key"), "events", ["record_id", "order_key"], unique=False)
    op.create_index(op.f("ix_events_seq"), "events", ["seq"], unique=False)
    op.create_index(
        op.f("ix_events_source_id_subject_order_key"), "events", ["source_id", "subject", "order_key"], unique=False
    )
    op.create_index(
        op.f("ix_events_type_id"),
        "events",
        ["type", "id"],
        unique=False,
        postgresql_include=["source_id", "record_id", "occurred_on", "occurred_at", "received_at"],
    )
    op.create_table(
        "gaps",
        sa.Column("id", sa.Uuid(), nullable=False, comment="of the event that filled it"),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("broker", sa.Text(), nullable=True),
        sa.Column("delivery_id", sa.Uuid(), nullable=False, comment="the pull that found it"),
        sa.Column("missed_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="as in `pulled`"),
        sa.Column("late_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", "source_id", name=op.f("pk_gaps")),
    )
    op.create_index(
        "ix_gaps_open", "gaps", ["source_id", "subject"], unique=False, postgresql_where=sa.text("late_at IS NULL")
    )
    op.create_table(
        "inbox",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "source_id", name=op.f("pk_inbox")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "inquiries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False, comment="the platform's id, unique within source and kind"),
        sa.Column("inquiry_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("product_id", sa.BigInteger(), nullable=True),
        sa.Column("product_name", sa.Text(), nullable=True),
        sa.Column("industry_id", sa.BigInteger(), nullable=True),
        sa.Column("industry_name", sa.Text(), nullable=True),
        sa.Column("profession_id", sa.BigInteger(), nullable=True),
        sa.Column("profession_name", sa.Text(), nullable=True),
        sa.Column("broker_external_id", sa.Text(), nullable=True),
        sa.Column("broker_founded_on", sa.Date(), nullable=True),
        sa.Column("customer_key", sa.Text(), nullable=True),
        sa.Column("customer_record_id", sa.Uuid(), nullable=True),
        sa.Column("insurer_id", sa.BigInteger(), nullable=True),
        sa.Column("insurer_name", sa.Text(), nullable=True),
        sa.Column("insurer_external_id", sa.Text(), nullable=True),
        sa.Column("agency_number_external_id", sa.Text(), nullable=True),
        sa.Column("premium_yearly_cents", sa.BigInteger(), nullable=True),
        sa.Column("coverage_cents", sa.BigInteger(), nullable=True),
        sa.Column("coverage_text", sa.Text(), nullable=True),
        sa.Column("deductible_cents", sa.BigInteger(), nullable=True),
        sa.Column("revenue_cents", sa.BigInteger(), nullable=True),
        sa.Column("tax_percent", sa.Numeric(), nullable=True),
        sa.Column("contract_start_on", sa.Date(), nullable=True),
        sa.Column("contract_payment_on", sa.Date(), nullable=True),
        sa.Column("contract_years", sa.Integer(), nullable=True),
        sa.Column("payment_interval_months", sa.Integer(), nullable=True),
        sa.Column("employees_full", sa.Integer(), nullable=True),
        sa.Column("employees_part", sa.Integer(), nullable=True),
        sa.Column("digital_order_available", sa.Boolean(), nullable=True),
        sa.Column("digital_order_success", sa.Boolean(), nullable=True),
        sa.Column("created_on", sa.Date(), nullable=True),
        sa.Column("updated_on", sa.Date(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "external_references",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "documents", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "customer_said",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("head_key", sa.Text(collation="C"), nullable=False, comment="the highest order key of its events"),
        sa.Column("head_receipt", sa.Text(collation="C"), nullable=False, comment="the highest receipt of its events"),
        sa.Column("last_change_id", sa.Uuid(), nullable=True, comment="the event that changed it last"),
        sa.Column(
            "field_keys",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="by path, where it is not head_key",
        ),
        sa.Column(
            "folded",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="text without case and accents, by field",
        ),
        sa.Column("first_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", "source_id", name=op.f("pk_inquiries")),
        sa.UniqueConstraint("source_id", "identity", name=op.f("uq_inquiries_source_id_identity")),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index(op.f("ix_inquiries_broker_external_id_id"), "inquiries", ["broker_external_id", "id"], unique=False)
    op.create_index(op.f("ix_inquiries_changed_at_id"), "inquiries", ["changed_at", "id"], unique=False)
    op.create_index(op.f("ix_inquiries_customer_record_id"), "inquiries", ["customer_record_id"], unique=False)
    op.create_index(
        op.f("ix_inquiries_first_received_at"),
        "inquiries",
        ["first_received_at"],
        unique=False,
        postgresql_include=["source_id", "status", "premium_yearly_cents"],
    )
    op.create_index(op.f("ix_inquiries_inquiry_id"), "inquiries", ["inquiry_id"], unique=False)
    op.create_index(op.f("ix_inquiries_last_received_at_id"), "inquiries", ["last_received_at", "id"], unique=False)
    op.create_index(
        op.f("ix_inquiries_premium_yearly_cents_id"), "inquiries", ["premium_yearly_cents", "id"], unique=False
    )
    op.create_index(
        "ix_inquiries_search_open",
        "inquiries",
        [
            sa.literal_column(
                "array_to_tsvector(array_remove(string_to_array(regexp_replace(regexp_replace(replace(regexp_replace(replace(replace(replace(replace(translate(regexp_replace(lower(normalize(lower(left((((((((COALESCE(inquiry_id::text, '') || ' ') || COALESCE(jsonb_path_query_array(external_references, '$.*.value')::text, '')) || ' ') || COALESCE(product_name, '')) || ' ') || COALESCE(insurer_name, '')) || ' ') || COALESCE(broker_external_id, ''), 10000)), NFKD)), '[\\u0300-\\u036f]', '', 'g'), 'øłđðħ', 'olddh'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), '([aou])e', '\\1', 'g'), 'ij', 'y'), '[\\x01-/:-@\\[-`{-\\x7f]+', ' ', 'g'), '([^ ]{100})[^ ]+', '\\1', 'g'), ' '), ''))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(op.f("ix_inquiries_status_id"), "inquiries", ["status", "id"], unique=False)
    op.create_index(op.f("ix_inquiries_updated_on_id"), "inquiries", ["updated_on", "id"], unique=False)
    op.create_table(
        "installation",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_installation")),
    )
    op.create_table(
        "job_errors",
        sa.Column("job_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("error", sa.Text(), nullable=False, comment="in our words, without what anybody sent"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_errors")),
    )
    op.create_table(
        "leads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False, comment="the platform's id, unique within source and kind"),
        sa.Column("lead_id", sa.Text(), nullable=True),
        sa.Column("party_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column(
            "address", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("backref", sa.Text(), nullable=True),
        sa.Column("lead_source", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("distribution_id", sa.Text(), nullable=True),
        sa.Column(
            "external_references",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("risk_objects", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("policy_packages", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("insurance_policies", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("merged_into", sa.Uuid(), nullable=True, comment="the record that it turned out to be"),
        sa.Column("head_key", sa.Text(collation="C"), nullable=False, comment="the highest order key of its events"),
        sa.Column("head_receipt", sa.Text(collation="C"), nullable=False, comment="the highest receipt of its events"),
        sa.Column("last_change_id", sa.Uuid(), nullable=True, comment="the event that changed it last"),
        sa.Column(
            "field_keys",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="by path, where it is not head_key",
        ),
        sa.Column(
            "folded",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="text without case and accents, by field",
        ),
        sa.Column("first_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", "source_id", name=op.f("pk_leads")),
        sa.UniqueConstraint("source_id", "identity", name=op.f("uq_leads_source_id_identity")),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index(op.f("ix_leads_changed_at_id"), "leads", ["changed_at", "id"], unique=False)
    op.create_index(op.f("ix_leads_first_received_at"), "leads", ["first_received_at"], unique=False)
    op.create_index(op.f("ix_leads_last_received_at_id"), "leads", ["last_received_at", "id"], unique=False)
    op.create_index(op.f("ix_leads_lead_id"), "leads", ["lead_id"], unique=False)
    op.create_index(op.f("ix_leads_party_id"), "leads", ["party_id"], unique=False)
    op.create_index(
        "ix_leads_search_open",
        "leads",
        [
            sa.literal_column(
                "array_to_tsvector(array_remove(string_to_array(regexp_replace(regexp_replace(replace(regexp_replace(replace(replace(replace(replace(translate(regexp_replace(lower(normalize(lower(left((((COALESCE(lead_id, '') || ' ') || COALESCE(party_id, '')) || ' ') || COALESCE(jsonb_path_query_array(external_references, '$.*.value')::text, ''), 10000)), NFKD)), '[\\u0300-\\u036f]', '', 'g'), 'øłđðħ', 'olddh'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), '([aou])e', '\\1', 'g'), 'ij', 'y'), '[\\x01-/:-@\\[-`{-\\x7f]+', ' ', 'g'), '([^ ]{100})[^ ]+', '\\1', 'g'), ' '), ''))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_leads_search_whole",
        "leads",
        [
            sa.literal_column(
                "array_to_tsvector(array_remove(string_to_array(regexp_replace(regexp_replace(replace(regexp_replace(replace(replace(replace(replace(translate(regexp_replace(lower(normalize(lower(left((((((((((((((((((((((((((((((COALESCE(lead_id, '') || ' ') || COALESCE(party_id, '')) || ' ') || COALESCE(jsonb_path_query_array(external_references, '$.*.value')::text, '')) || ' ') || COALESCE(first_name, '')) || ' ') || COALESCE(last_name, '')) || ' ') || COALESCE(name, '')) || ' ') || COALESCE(email, '')) || ' ') || COALESCE(backref, '')) || ' ') || COALESCE(address ->> 'city', '')) || ' ') || COALESCE(address ->> 'postal_code', '')) || ' ') || COALESCE(address ->> 'street', '')) || ' ') || COALESCE(address ->> 'text', '')) || ' ') || COALESCE(jsonb_path_query_array(risk_objects, '$[*].vin')::text, '')) || ' ') || COALESCE(jsonb_path_query_array(policy_packages, '$[*].package_nr')::text, '')) || ' ') || COALESCE(jsonb_path_query_array(insurance_policies, '$[*].policy_nr')::text, '')) || ' ') || COALESCE(jsonb_path_query_array(insurance_policies, '$[*].external_references[*].value')::text, ''), 10000)), NFKD)), '[\\u0300-\\u036f]', '', 'g'), 'øłđðħ', 'olddh'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), '([aou])e', '\\1', 'g'), 'ij', 'y'), '[\\x01-/:-@\\[-`{-\\x7f]+', ' ', 'g'), '([^ ]{100})[^ ]+', '\\1', 'g'), ' '), ''))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.create_table(
        "outcomes",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("items", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("brokers", sa.ARRAY(sa.Text()), nullable=False, comment="of all items: the wall must know them all"),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "delivery_id",
            "source_id",
            name=op.f("pk_outcomes"),
            postgresql_include=["status", "verdict", "reason", "processed_at"],
        ),
        postgresql_partition_by="RANGE (delivery_id)",
    )
    op.create_index(op.f("ix_outcomes_seq"), "outcomes", ["seq"], unique=False)
    op.create_index(op.f("ix_outcomes_status_delivery_id"), "outcomes", ["status", "delivery_id"], unique=False)
    op.create_table(
        "pulled",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column(
            "content",
            sa.LargeBinary(),
            nullable=False,
            comment="SHA-256 of the item without signature, tokens and links",
        ),
        sa.Column("signature", sa.LargeBinary(), nullable=True, comment="SHA-256 of its `sHash`"),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="SHA-256 of the item as it came"),
        sa.Column("delivery_id", sa.Uuid(), nullable=False, comment="the last pulled delivery of it"),
        sa.Column("pulled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deviated_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source_id", "subject", name=op.f("pk_pulled")),
        comment="what a pull last said of each subject",
    )
    op.create_table(
        "searches",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="`broker:` or `account:` and the SHA-256 of its token"),
        sa.Column("last_days", sa.Integer(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True, comment="why it failed last, in our words"),
        sa.Column("found", sa.Integer(), nullable=True, comment="items in the last answer"),
        sa.PrimaryKeyConstraint("source_id", "scope", "last_days", name=op.f("pk_searches")),
        comment="the searches that are made again and again, or were begun by hand",
    )
    op.create_table(
        "seen",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_seen")),
    )
    op.create_table(
        "shapes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="the beginning of the events' type, such as `thinksurance.inquiry`",
        ),
        sa.Column("path", sa.Text(), nullable=False, comment="empty: the items themselves"),
        sa.Column("type", sa.Text(), nullable=False, comment="of JSON; `overflow`: more paths than are kept"),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column(
            "items_before", sa.BigInteger(), nullable=False, comment="items of the kind before it was seen first"
        ),
        sa.Column("items_until", sa.BigInteger(), nullable=False, comment="items of the kind until it was seen last"),
        sa.Column("first_event_id", sa.Uuid(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shapes")),
        comment="which fields items have, by path and type; never a value",
    )
    op.create_index(
        op.f("ix_shapes_source_id_kind_path_type"), "shapes", ["source_id", "kind", "path", "type"], unique=True
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column(
            "recipe", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("recipe_proven_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("name", name=op.f("uq_sources_name")),
    )
    op.create_table(
        "spool_states",
        sa.Column("file", sa.Text(), nullable=False, comment="host and name of a spool file that is being emptied"),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("oldest_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("file", name=op.f("pk_spool_states")),
    )
    op.create_table(
        "submission_keys",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="by which a callback names what was asked for, such as `inquiry:7`",
        ),
        sa.Column("submission_id", sa.Uuid(), nullable=False),
        sa.Column("matched_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source_id", "key", "submission_id", name=op.f("pk_submission_keys")),
    )
    op.create_index(
        "ix_submission_keys_waiting",
        "submission_keys",
        ["source_id"],
        unique=False,
        postgresql_where=sa.text("matched_at IS NULL"),
    )
    op.create_table(
        "submissions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="masked"),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="masked"),
        sa.Column("problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "platform_ids",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("external_reference", sa.Text(), nullable=True),
        sa.Column("broker", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_sha256", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_event_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", "source_id", name=op.f("pk_submissions")),
        sa.UniqueConstraint("source_id", "idempotency_key", name=op.f("uq_submissions_source_id_idempotency_key")),
    )
    op.create_index(op.f("ix_submissions_state_id"), "submissions", ["state", "id"], unique=False)
    op.create_table(
        "wanted_pulls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False, comment="`notification`, `return`, `token`"),
        sa.Column("event_id", sa.Uuid(), nullable=True, comment="what made it wanted"),
        sa.Column("wanted_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", "source_id", name=op.f("pk_wanted_pulls")),
        sa.UniqueConstraint("source_id", "subject", "cause", name=op.f("uq_wanted_pulls_source_id_subject_cause")),
        comment="what is to be pulled soon; a row goes once that is done",
    )
    op.create_table(
        "audit_unsealed",
        sa.Column("audit_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["audit_id"], ["audit.id"], name=op.f("fk_audit_unsealed_audit_id")),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit_unsealed")),
        comment="entries that no seal covers yet; written with the entry, so that a late commit is not missed",
    )
    op.create_table(
        "source_credentials",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_credentials_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_credentials")),
    )
    op.create_index(op.f("ix_source_credentials_source_id"), "source_credentials", ["source_id"], unique=False)
    op.create_table(
        "source_secrets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("value_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_secrets_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_secrets")),
    )
    op.create_index(op.f("ix_source_secrets_source_id"), "source_secrets", ["source_id"], unique=False)
    op.create_table(
        "source_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("token_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_tokens_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_tokens")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_source_tokens_token_sha256")),
    )
    op.create_index(op.f("ix_source_tokens_source_id"), "source_tokens", ["source_id"], unique=False)
    op.execute("CREATE SEQUENCE feed_seq")
    for parent in ("deliveries", "outcomes", "events"):
        op.execute(f"CREATE TABLE {parent}_default PARTITION OF {parent} DEFAULT")


def downgrade() -> None:  # noqa: PLR0915 - a statement for each table and index
    """Drop them."""
    op.execute("DROP SEQUENCE feed_seq")
    op.drop_index(op.f("ix_source_tokens_source_id"), table_name="source_tokens")
    op.drop_table("source_tokens")
    op.drop_index(op.f("ix_source_secrets_source_id"), table_name="source_secrets")
    op.drop_table("source_secrets")
    op.drop_index(op.f("ix_source_credentials_source_id"), table_name="source_credentials")
    op.drop_table("source_credentials")
    op.drop_table("audit_unsealed")
    op.drop_table("wanted_pulls")
    op.drop_index(op.f("ix_submissions_state_id"), table_name="submissions")
    op.drop_table("submissions")
    op.drop_index(
        "ix_submission_keys_waiting", table_name="submission_keys", postgresql_where=sa.text("matched_at IS NULL")
    )
    op.drop_table("submission_keys")
    op.drop_table("spool_states")
    op.drop_table("sources")
    op.drop_index(op.f("ix_shapes_source_id_kind_path_type"), table_name="shapes")
    op.drop_table("shapes")
    op.drop_table("seen")
    op.drop_table("searches")
    op.drop_table("pulled")
    op.drop_index(op.f("ix_outcomes_status_delivery_id"), table_name="outcomes")
    op.drop_index(op.f("ix_outcomes_seq"), table_name="outcomes")
    op.drop_table("outcomes")
    op.drop_index("ix_leads_search_whole", table_name="leads", postgresql_using="gin")
    op.drop_index("ix_leads_search_open", table_name="leads", postgresql_using="gin")
    op.drop_index(op.f("ix_leads_party_id"), table_name="leads")
    op.drop_index(op.f("ix_leads_lead_id"), table_name="leads")
    op.drop_index(op.f("ix_leads_last_received_at_id"), table_name="leads")
    op.drop_index(op.f("ix_leads_first_received_at"), table_name="leads")
    op.drop_index(op.f("ix_leads_changed_at_id"), table_name="leads")
    op.drop_table("leads")
    op.drop_table("job_errors")
    op.drop_table("installation")
    op.drop_index(op.f("ix_inquiries_updated_on_id"), table_name="inquiries")
    op.drop_index(op.f("ix_inquiries_status_id"), table_name="inquiries")
    op.drop_index("ix_inquiries_search_open", table_name="inquiries", postgresql_using="gin")
    op.drop_index(op.f("ix_inquiries_premium_yearly_cents_id"), table_name="inquiries")
    op.drop_index(op.f("ix_inquiries_last_received_at_id"), table_name="inquiries")
    op.drop_index(op.f("ix_inquiries_inquiry_id"), table_name="inquiries")
    op.drop_index(
        op.f("ix_inquiries_first_received_at"),
        table_name="inquiries",
        postgresql_include=["source_id", "status", "premium_yearly_cents"],
    )
    op.drop_index(op.f("ix_inquiries_customer_record_id"), table_name="inquiries")
    op.drop_index(op.f("ix_inquiries_changed_at_id"), table_name="inquiries")
    op.drop_index(op.f("ix_inquiries_broker_external_id_id"), table_name="inquiries")
    op.drop_table("inquiries")
    op.drop_table("inbox")
    op.drop_index("ix_gaps_open", table_name="gaps", postgresql_where=sa.text("late_at IS NULL"))
    op.drop_table("gaps")
    op.drop_index(
        op.f("ix_events_type_id"),
        table_name="events",
        postgresql_include=["source_id", "record_id", "occurred_on", "occurred_at", "received_at"],
    )
    op.drop_index(op.f("ix_events_source_id_subject_order_key"), table_name="events")
    op.drop_index(op.f("ix_events_seq"), table_name="events")
    op.drop_index(op.f("ix_events_record_id_order_key"), table_name="events")
    op.drop_index(op.f("ix_events_customer_id_id"), table_name="events")
    op.drop_index("ix_events_answers", table_name="events", postgresql_where=sa.text("submission_id IS NOT NULL"))
    op.drop_table("events")
    op.drop_index(op.f("ix_documents_token_expires_at_id"), table_name="documents")
    op.drop_index("ix_documents_search_whole", table_name="documents", postgresql_using="gin")
    op.drop_index("ix_documents_search_open", table_name="documents", postgresql_using="gin")
    op.drop_index(
        "ix_documents_lost", table_name="documents", postgresql_where=sa.text("state IN ('failed', 'expired')")
    )
    op.drop_index(op.f("ix_documents_last_received_at_id"), table_name="documents")
    op.drop_index(op.f("ix_documents_inquiry_id"), table_name="documents")
    op.drop_index(
        "ix_documents_due", table_name="documents", postgresql_where=sa.text("state IN ('announced', 'fetching')")
    )
    op.drop_index(op.f("ix_documents_changed_at_id"), table_name="documents")
    op.drop_table("documents")
    op.drop_table("delivery_counts_end")
    op.drop_index("ix_delivery_counts_loose", table_name="delivery_counts", postgresql_where=sa.text("is_loose"))
    op.drop_index(op.f("ix_delivery_counts_hour"), table_name="delivery_counts")
    op.drop_table("delivery_counts")
    op.drop_index(op.f("ix_deliveries_source_id_id"), table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index("ix_customers_search_whole", table_name="customers", postgresql_using="gin")
    op.drop_index("ix_customers_search_open", table_name="customers", postgresql_using="gin")
    op.drop_index(op.f("ix_customers_last_received_at_id"), table_name="customers")
    op.drop_index(op.f("ix_customers_external_id"), table_name="customers")
    op.drop_index(op.f("ix_customers_customer_id"), table_name="customers")
    op.drop_index(op.f("ix_customers_changed_at_id"), table_name="customers")
    op.drop_table("customers")
    op.drop_table("closed_months")
    op.drop_table("brokers")
    op.drop_index(op.f("ix_baselines_record_id"), table_name="baselines")
    op.drop_index(op.f("ix_baselines_month_id"), table_name="baselines")
    op.drop_table("baselines")
    op.drop_table("audit_seals")
    op.drop_index(op.f("ix_audit_actor_id"), table_name="audit")
    op.drop_index(op.f("ix_audit_action_id"), table_name="audit")
    op.drop_table("audit")
    op.drop_table("api_requests")
    op.drop_table("api_keys")
    op.drop_table("aliases")
