"""The tables of what is known. What may stand in a record's columns is told in `app.processing.records`."""

from collections.abc import Sequence

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from app.storage.models.columns import AT, at_, metadata

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

later_aliases = Table(
    "later_aliases",
    metadata,
    Column("source_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("order_key", Text(collation="C"), nullable=False, comment="of the first item that said so"),
    PrimaryKeyConstraint("source_id", "kind", "key", "target"),
    comment="where keys would lead if no earlier item had said otherwise",
)

baselines = Table(
    "baselines",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("source_id", Uuid, nullable=False),
    Column("month_id", Uuid, nullable=False, comment="the closing of a month that it was made by; nothing until then"),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False, comment="the record's own key in these events, as in `parts`"),
    Column("broker", Text, comment="the events'"),
    Column("record_id", Uuid, nullable=False, comment="the record that it belongs to now"),
    Column("said", JSONB, nullable=False, comment="by order key: what is not overwritten by a higher one"),
    Column("head_key", Text, nullable=False),
    Column("head_receipt", Text, nullable=False),
    Column("last_change_key", Text, nullable=False, comment="of the highest event that changed the record; or empty"),
    at_("first_received_at", nullable=False),
    at_("last_received_at", nullable=False),
    at_("changed_at"),
    Column("event_count", Integer, nullable=False),
    Column("submission_id", Uuid, comment="the last call of ours that the events answered"),
    PrimaryKeyConstraint("id", "source_id"),
    Index(None, "record_id"),
    Index(None, "month_id"),
    comment="what the events of dropped months said of the records: from there these are folded anew",
)


def _record(name: str, *columns: Column[object] | Index, counted: Sequence[str] = ()) -> Table:
    """Return the table of a kind of record: its own columns and those that every record has.

    `counted` are what statistics by the time of change read without the rows.
    """
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
        Column("words", TSVECTOR, nullable=False, server_default=text("''"), comment="see app.processing.searched"),
        at_("first_received_at", nullable=False),
        at_("last_received_at", nullable=False),
        at_("changed_at"),
        Column("event_count", Integer, nullable=False),
        PrimaryKeyConstraint("id", "source_id"),
        UniqueConstraint("source_id", "identity"),
        Index(None, "last_received_at", "id"),
        Index(None, "changed_at", "id", postgresql_include=[*counted]),
        Index(f"ix_{name}_words", "words", postgresql_using="gin"),
        postgresql_with={"fillfactor": "85"},
    )


def _map(name: str) -> Column[object]:
    return Column(name, JSONB, nullable=False, server_default=text("'{}'::jsonb"))


_COUNTED = ("source_id", "status", "premium_yearly_cents")

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
    at_("confirmed_at"),
    _map("external_references"),
    _map("documents"),
    _map("customer_said"),
    Index(None, "inquiry_id"),
    # Keys with a wall by broker find the inquiries of a status without the rows of all brokers.
    Index(None, "status", "id", postgresql_include=["source_id", "broker_external_id"]),
    # The brokers are told, with the number of their inquiries and when the last was heard of, without these rows.
    Index(None, "broker_external_id", "id", postgresql_include=["source_id", "last_received_at"]),
    Index(None, "updated_on", "id"),
    Index(None, "premium_yearly_cents", "id"),
    # Each customer is shown with the number of its inquiries, which is told without these rows.
    Index(None, "customer_record_id", postgresql_include=["source_id", "broker_external_id"]),
    # Few are ordered in vain, and whoever asks what needs attention asks for them.
    Index(
        "ix_inquiries_order_failed",
        "source_id",
        postgresql_include=["broker_external_id", "last_received_at"],
        postgresql_where=text("status = 6 AND digital_order_success IS FALSE"),
    ),
    counted=_COUNTED,
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
    # Keys with a wall by broker find what is theirs, however little of all it is; documents, too.
    Index("ix_customers_of_broker", text("(brokers[1])"), "id", postgresql_where=text("(brokers[1]) IS NOT NULL")),
)

documents = _record(
    "documents",
    Column("inquiry_id", BigInteger),
    Column("hash", Text),
    Column("name", Text),
    Column("full_name", Text),
    Column("purpose", Text),
    Column("broker_external_id", Text),
    at_("token_expires_at"),
    Column("link_encrypted", LargeBinary),
    Column("token_encrypted", LargeBinary),
    Column("broker_token_encrypted", LargeBinary),
    Column("state", Text, nullable=False, server_default="announced"),
    Column("attempts", Integer, nullable=False, server_default=text("0"), comment="since it was last announced anew"),
    at_("attempted_at"),
    Column("next_attempt_at", AT, comment="null: at once; while it is fetched: when its fetcher is given up"),
    Column("last_error", Text, comment="why it is not archived: a word out of a closed list"),
    Column("renewals", Integer, nullable=False, server_default=text("0"), comment="how often a token was asked for"),
    at_("renewed_at"),
    at_("archived_at"),
    Column("fetched_by", Text, comment="the way on which it was had"),
    Column("size", BigInteger),
    Column("sha256", Text),
    Column("content_type", Text),
    Index(None, "inquiry_id"),
    Index(
        *(None, "broker_external_id", "id"),
        postgresql_include=["source_id"],
        postgresql_where=text("broker_external_id IS NOT NULL"),
    ),
    Index(None, "token_expires_at", "id"),
    Index(
        "ix_documents_due",
        "source_id",
        text("coalesce(next_attempt_at, '-infinity'::timestamptz)"),
        postgresql_where=text("state IN ('announced', 'fetching')"),
    ),
    Index("ix_documents_lost", "source_id", "id", postgresql_where=text("state IN ('failed', 'expired')")),
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

# By which statistics count. Text may be too long for an index, so that none is kept beside it but what has a bound.
Index(None, inquiries.c.first_received_at, postgresql_include=["id", *_COUNTED])
Index(None, leads.c.first_received_at)
