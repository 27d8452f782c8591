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
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="`key:<id>` or `cli`"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "detail", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_table(
        "brokers",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="`id:<bExternalId>` or `token:<SHA-256 of bToken>`"),
        sa.Column("delivery_id", sa.Uuid(), nullable=False, comment="the first delivery that named it"),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_brokers")),
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
        sa.PrimaryKeyConstraint("id", "source_id", name=op.f("pk_deliveries")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(op.f("ix_deliveries_source_id_id"), "deliveries", ["source_id", "id"], unique=False)
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
        sa.Column("state", sa.Text(), server_default="announced", nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
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
    op.create_index(op.f("ix_documents_inquiry_id"), "documents", ["inquiry_id"], unique=False)
    op.create_index(op.f("ix_documents_last_received_at_id"), "documents", ["last_received_at", "id"], unique=False)
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
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="the item as sent, masked"),
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
    op.create_index(op.f("ix_events_type_id"), "events", ["type", "id"], unique=False)
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
    op.create_index(op.f("ix_inquiries_customer_record_id"), "inquiries", ["customer_record_id"], unique=False)
    op.create_index(op.f("ix_inquiries_inquiry_id"), "inquiries", ["inquiry_id"], unique=False)
    op.create_index(op.f("ix_inquiries_last_received_at_id"), "inquiries", ["last_received_at", "id"], unique=False)
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
    op.create_table(
        "installation",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_installation")),
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
        sa.PrimaryKeyConstraint("delivery_id", "source_id", name=op.f("pk_outcomes")),
        postgresql_partition_by="RANGE (delivery_id)",
    )
    op.create_index(op.f("ix_outcomes_seq"), "outcomes", ["seq"], unique=False)
    op.create_index(op.f("ix_outcomes_status_delivery_id"), "outcomes", ["status", "delivery_id"], unique=False)
    op.create_table(
        "seen",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_seen")),
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
    op.drop_index(op.f("ix_submissions_state_id"), table_name="submissions")
    op.drop_table("submissions")
    op.drop_index(
        "ix_submission_keys_waiting", table_name="submission_keys", postgresql_where=sa.text("matched_at IS NULL")
    )
    op.drop_table("submission_keys")
    op.drop_table("sources")
    op.drop_table("seen")
    op.drop_index(op.f("ix_outcomes_status_delivery_id"), table_name="outcomes")
    op.drop_index(op.f("ix_outcomes_seq"), table_name="outcomes")
    op.drop_table("outcomes")
    op.drop_index("ix_leads_search_whole", table_name="leads", postgresql_using="gin")
    op.drop_index("ix_leads_search_open", table_name="leads", postgresql_using="gin")
    op.drop_index(op.f("ix_leads_party_id"), table_name="leads")
    op.drop_index(op.f("ix_leads_lead_id"), table_name="leads")
    op.drop_index(op.f("ix_leads_last_received_at_id"), table_name="leads")
    op.drop_table("leads")
    op.drop_table("installation")
    op.drop_index(op.f("ix_inquiries_status_id"), table_name="inquiries")
    op.drop_index("ix_inquiries_search_open", table_name="inquiries", postgresql_using="gin")
    op.drop_index(op.f("ix_inquiries_last_received_at_id"), table_name="inquiries")
    op.drop_index(op.f("ix_inquiries_inquiry_id"), table_name="inquiries")
    op.drop_index(op.f("ix_inquiries_customer_record_id"), table_name="inquiries")
    op.drop_index(op.f("ix_inquiries_broker_external_id_id"), table_name="inquiries")
    op.drop_table("inquiries")
    op.drop_table("inbox")
    op.drop_index(op.f("ix_events_type_id"), table_name="events")
    op.drop_index(op.f("ix_events_source_id_subject_order_key"), table_name="events")
    op.drop_index(op.f("ix_events_seq"), table_name="events")
    op.drop_index(op.f("ix_events_record_id_order_key"), table_name="events")
    op.drop_index(op.f("ix_events_customer_id_id"), table_name="events")
    op.drop_index("ix_events_answers", table_name="events", postgresql_where=sa.text("submission_id IS NOT NULL"))
    op.drop_table("events")
    op.drop_index("ix_documents_search_whole", table_name="documents", postgresql_using="gin")
    op.drop_index("ix_documents_search_open", table_name="documents", postgresql_using="gin")
    op.drop_index(op.f("ix_documents_last_received_at_id"), table_name="documents")
    op.drop_index(op.f("ix_documents_inquiry_id"), table_name="documents")
    op.drop_table("documents")
    op.drop_index(op.f("ix_deliveries_source_id_id"), table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index("ix_customers_search_whole", table_name="customers", postgresql_using="gin")
    op.drop_index("ix_customers_search_open", table_name="customers", postgresql_using="gin")
    op.drop_index(op.f("ix_customers_last_received_at_id"), table_name="customers")
    op.drop_index(op.f("ix_customers_external_id"), table_name="customers")
    op.drop_index(op.f("ix_customers_customer_id"), table_name="customers")
    op.drop_table("customers")
    op.drop_table("brokers")
    op.drop_table("audit")
    op.drop_table("api_keys")
    op.drop_table("aliases")
