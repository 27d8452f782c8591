"""The tables. What may stand in a record's columns is told in `app.processing.records`.

Deliveries, outcomes and events are partitioned by month over a UUIDv7, which carries the time; see `partitions`.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.storage import searched

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_AT = DateTime(timezone=True)


def _at(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, _AT, nullable=nullable)


def _now(name: str) -> Column[object]:
    return Column(name, _AT, nullable=False, server_default=text("clock_timestamp()"))


# --- Accounts at the providers -------------------------------------------------------------------------------------

sources = Table(
    "sources",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("provider", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("recipe", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _at("recipe_proven_at"),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _now("created_at"),
    _now("updated_at"),
    _at("disabled_at"),
)

source_tokens = Table(
    "source_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source_id", ForeignKey("sources.id"), nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("token_sha256", LargeBinary, nullable=False, unique=True),
    Column("token_encrypted", LargeBinary, nullable=False),
    _now("created_at"),
    _at("revoked_at"),
    _at("last_used_at"),
)

source_secrets = Table(
    "source_secrets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source_id", ForeignKey("sources.id"), nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("value_encrypted", LargeBinary, nullable=False),
    _now("created_at"),
    _at("revoked_at"),
)

source_credentials = Table(
    "source_credentials",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source_id", ForeignKey("sources.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("value_encrypted", LargeBinary, nullable=False),
    _now("created_at"),
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
    _now("created_at"),
    _at("expires_at"),
    _at("revoked_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _now("at"),
    Column("actor", Text, nullable=False, comment="`key:<id>` or `cli`"),
    Column("action", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
)

installation = Table(
    "installation",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# --- What came -----------------------------------------------------------------------------------------------------

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("source_id", Uuid, nullable=False),
    Column("token_id", Uuid),
    _at("received_at", nullable=False),
    _now("stored_at"),
    Column("via", SmallInteger, nullable=False),
    Column("method", SmallInteger, nullable=False),
    Column("answered", SmallInteger, nullable=False),
    Column("verdict", SmallInteger, nullable=False, comment="at receipt, the worst item's"),
    Column("size", Integer, nullable=False),
    Column("judged", LargeBinary, nullable=False, comment="at receipt: a byte for each item, see app.ingest.judged"),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("remote_addr", LargeBinary, nullable=False),
    Column("query", LargeBinary, nullable=False),
    Column("headers", LargeBinary, nullable=False, comment="JSON list of pairs, Latin-1 as on the wire"),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("id", "source_id"),
    Index(None, "source_id", "id"),
    postgresql_partition_by="RANGE (id)",
)

inbox = Table(
    "inbox",
    metadata,
    Column("delivery_id", Uuid, nullable=False),
    Column("source_id", Uuid, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("delivery_id", "source_id"),
    postgresql_with={"fillfactor": "70"},
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("delivery_id", Uuid, nullable=False),
    Column("source_id", Uuid, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text),
    Column("items", JSONB, nullable=False),
    Column("brokers", ARRAY(Text), nullable=False, comment="of all items: the wall must know them all"),
    _at("processed_at", nullable=False),
    PrimaryKeyConstraint("delivery_id", "source_id"),
    Index(None, "seq"),
    Index(None, "status", "delivery_id"),
    postgresql_partition_by="RANGE (delivery_id)",
)

events = Table(
    "events",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("source_id", Uuid, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("delivery_id", Uuid, nullable=False),
    Column("item_index", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("order_key", Text(collation="C"), nullable=False),
    Column("record_kind", Text),
    Column("record_id", Uuid),
    Column("customer_key", Text, comment="the customer's own key in this item, strongest first"),
    Column("customer_id", Uuid, comment="the customer record it belongs to now"),
    Column("broker", Text),
    _at("received_at", nullable=False),
    _at("occurred_at"),
    Column("occurred_on", Date),
    Column("verdict", Text, nullable=False),
    Column("repeat_key", Text),
    Column("duplicate_of", Uuid),
    Column("stale", Boolean, nullable=False),
    Column("changes", JSONB, nullable=False),
    Column("warnings", JSONB, nullable=False),
    Column("parts", JSONB, nullable=False, comment="what it says about each record, as read"),
    Column("data", JSONB, nullable=False, comment="the item as sent, masked"),
    _at("revised_at"),
    Column("submission_id", Uuid, comment="the call of ours that it answers"),
    PrimaryKeyConstraint("id", "source_id"),
    Index(None, "seq"),
    Index(None, "source_id", "subject", "order_key"),
    Index(None, "record_id", "order_key"),
    Index(None, "customer_id", "id"),
    Index(None, "type", "id"),
    Index("ix_events_answers", "submission_id", "id", postgresql_where=text("submission_id IS NOT NULL")),
    postgresql_partition_by="RANGE (id)",
)

seen = Table(
    "seen",
    metadata,
    Column("source_id", Uuid, nullable=False),
    Column("key", Text, nullable=False),
    Column("event_id", Uuid, nullable=False),
    PrimaryKeyConstraint("source_id", "key"),
)

brokers = Table(
    "brokers",
    metadata,
    Column("source_id", Uuid, nullable=False),
    Column("key", Text, nullable=False, comment="`id:<bExternalId>` or `token:<SHA-256 of bToken>`"),
    Column("delivery_id", Uuid, nullable=False, comment="the first delivery that named it"),
    PrimaryKeyConstraint("source_id", "key"),
)

# --- What is known -------------------------------------------------------------------------------------------------

aliases = Table(
    "aliases",
    metadata,
    Column("source_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("target", Text, nullable=False, comment="the stronger key of the same record"),
    Column("order_key", Text(collation="C"), nullable=False, comment="of the item that said so; the lowest decides"),
    PrimaryKeyConstraint("source_id", "kind", "key"),
)


def _record(name: str, *columns: Column[object] | Index) -> Table:
    """Return the table of a kind of record: its own columns and those that every record has."""
    return Table(
        name,
        metadata,
        Column("id", Uuid, nullable=False),
        Column("source_id", Uuid, nullable=False),
        Column("identity", Text, nullable=False, comment="the platform's id, unique within source and kind"),
        *columns,
        Column("head_key", Text(collation="C"), nullable=False, comment="the highest order key of its events"),
        Column("head_receipt", Text(collation="C"), nullable=False, comment="the highest receipt of its events"),
        Column("last_change_id", Uuid, comment="the event that changed it last"),
        Column("field_keys", JSONB, nullable=False, comment="by path, where it is not head_key"),
        Column("folded", JSONB, nullable=False, comment="text without case and accents, by field"),
        _at("first_received_at", nullable=False),
        _at("last_received_at", nullable=False),
        _at("changed_at"),
        Column("event_count", Integer, nullable=False),
        PrimaryKeyConstraint("id", "source_id"),
        UniqueConstraint("source_id", "identity"),
        Index(None, "last_received_at", "id"),
        postgresql_with={"fillfactor": "85"},
    )


def _map(name: str) -> Column[object]:
    return Column(name, JSONB, nullable=False, server_default=text("'{}'::jsonb"))


inquiries = _record(
    "inquiries",
    Column("inquiry_id", BigInteger),
    Column("status", Integer),
    Column("product_id", BigInteger),
    Column("product_name", Text),
    Column("industry_id", BigInteger),
    Column("industry_name", Text),
    Column("profession_id", BigInteger),
    Column("profession_name", Text),
    Column("broker_external_id", Text),
    Column("broker_founded_on", Date),
    Column("customer_key", Text),
    Column("customer_record_id", Uuid),
    Column("insurer_id", BigInteger),
    Column("insurer_name", Text),
    Column("insurer_external_id", Text),
    Column("agency_number_external_id", Text),
    Column("premium_yearly_cents", BigInteger),
    Column("coverage_cents", BigInteger),
    Column("coverage_text", Text),
    Column("deductible_cents", BigInteger),
    Column("revenue_cents", BigInteger),
    Column("tax_percent", Numeric),
    Column("contract_start_on", Date),
    Column("contract_payment_on", Date),
    Column("contract_years", Integer),
    Column("payment_interval_months", Integer),
    Column("employees_full", Integer),
    Column("employees_part", Integer),
    Column("digital_order_available", Boolean),
    Column("digital_order_success", Boolean),
    Column("created_on", Date),
    Column("updated_on", Date),
    _at("confirmed_at"),
    _map("external_references"),
    _map("documents"),
    _map("customer_said"),
    Index(None, "inquiry_id"),
    Index(None, "status", "id"),
    Index(None, "broker_external_id", "id"),
    Index(None, "customer_record_id"),
)

customers = _record(
    "customers",
    Column("customer_id", BigInteger),
    Column("external_id", Text),
    Column("salutation", Text),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("birth_date", Date),
    Column("email", Text),
    Column("phone", Text),
    Column("website", Text),
    Column("company", Text),
    Column("private_is_company_address", Boolean),
    _map("address"),
    _map("company_address"),
    _map("external_references"),
    Column("brokers", ARRAY(Text), nullable=False, comment="all that named it; the wall must know them all"),
    Column("merged_into", Uuid, comment="the record that it turned out to be"),
    Index(None, "customer_id"),
    Index(None, "external_id"),
)

documents = _record(
    "documents",
    Column("inquiry_id", BigInteger),
    Column("hash", Text),
    Column("name", Text),
    Column("full_name", Text),
    Column("purpose", Text),
    Column("broker_external_id", Text),
    _at("token_expires_at"),
    Column("link_encrypted", LargeBinary),
    Column("token_encrypted", LargeBinary),
    Column("state", Text, nullable=False, server_default="announced"),
    _at("archived_at"),
    Column("size", BigInteger),
    Column("sha256", Text),
    Column("content_type", Text),
    Index(None, "inquiry_id"),
)

leads = _record(
    "leads",
    Column("lead_id", Text),
    Column("party_id", Text),
    Column("kind", Text),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("language", Text),
    Column("birth_date", Date),
    _map("address"),
    Column("origin", Text),
    Column("backref", Text),
    Column("lead_source", Text),
    Column("status", Text),
    Column("distribution_id", Text),
    _map("external_references"),
    Column("risk_objects", JSONB),
    Column("policy_packages", JSONB),
    Column("insurance_policies", JSONB),
    Column("merged_into", Uuid, comment="the record that it turned out to be"),
    Index(None, "lead_id"),
    Index(None, "party_id"),
)

# --- What we asked for ---------------------------------------------------------------------------------------------

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
    _now("created_at"),
    _at("sent_at"),
    _at("answered_at"),
    _at("due_at"),
    _at("closed_at"),
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
    _at("matched_at"),
    PrimaryKeyConstraint("source_id", "key", "submission_id"),
    Index("ix_submission_keys_waiting", "source_id", postgresql_where=text("matched_at IS NULL")),
)

for _table in (inquiries, customers, documents, leads):
    for _name, _texts in (("search_open", searched.OPEN), ("search_whole", searched.WHOLE)):
        if _table.name in _texts:
            _words = text(searched.words_of(_texts[_table.name]))
            Index(f"ix_{_table.name}_{_name}", _words, postgresql_using="gin", _table=_table)

RECORDS = {"inquiry": inquiries, "customer": customers, "document": documents, "lead": leads}
"""The table of each kind of record."""

PARTITIONED = (deliveries, outcomes, events)
