"""The tables of what came and what it said.

Deliveries, outcomes and events are partitioned by month over a UUIDv7, which carries the time; see `partitions`.
"""

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.storage.models.columns import at_, metadata, now_

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("source_id", Uuid, nullable=False),
    Column("token_id", Uuid),
    at_("received_at", nullable=False),
    now_("stored_at"),
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
    # Statistics read these without the wide rows, which would take ten times as long.
    PrimaryKeyConstraint("id", "source_id", postgresql_include=["received_at", "via", "verdict"]),
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
    at_("processed_at", nullable=False),
    PrimaryKeyConstraint(
        "delivery_id", "source_id", postgresql_include=["status", "verdict", "reason", "processed_at"]
    ),
    Index(None, "seq"),
    Index(None, "status", "delivery_id"),
    # For keys with a wall by broker; the many that are accepted have no part in it.
    Index(
        "ix_outcomes_first_broker",
        text("(brokers[1])"),
        "delivery_id",
        postgresql_where=text("status <> 'accepted'"),
    ),
    # For the same keys' statistics, lists and feeds.
    Index(
        "ix_outcomes_of_broker",
        text("(brokers[1])"),
        "delivery_id",
        postgresql_where=text("cardinality(brokers) > 0"),
    ),
    Index(
        "ix_outcomes_of_broker_seq",
        text("(brokers[1])"),
        "seq",
        postgresql_where=text("cardinality(brokers) > 0"),
    ),
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
    at_("received_at", nullable=False),
    at_("occurred_at"),
    Column("occurred_on", Date),
    Column("verdict", Text, nullable=False),
    Column("repeat_key", Text),
    Column("duplicate_of", Uuid),
    Column("stale", Boolean, nullable=False),
    Column("changes", JSONB, nullable=False),
    Column("warnings", JSONB, nullable=False),
    Column("parts", JSONB, nullable=False, comment="what it says about each record, as read"),
    # Only ever shown as it stands, so that it is not taken apart: jsonb would cost a tenth of processing.
    Column("data", JSON, nullable=False, comment="the item as sent, masked"),
    at_("revised_at"),
    Column("submission_id", Uuid, comment="the call of ours that it answers"),
    # Keys with a wall by broker find the events of a page by it, without the rows of all brokers; so by type.
    PrimaryKeyConstraint("id", "source_id", postgresql_include=["received_at", "broker"]),
    Index(None, "seq"),
    Index(None, "source_id", "subject", "order_key"),
    Index(None, "record_id", "order_key"),
    Index(None, "customer_id", "id"),
    Index(
        None,
        *("type", "id"),
        postgresql_include=["source_id", "record_id", "occurred_on", "occurred_at", "received_at", "broker"],
    ),
    # The same keys find what is theirs, however little of all it is; see `app.query.of_brokers`.
    Index(
        *(None, "broker", "id"),
        postgresql_include=["source_id"],
        postgresql_where=text("broker IS NOT NULL"),
    ),
    Index(
        *(None, "broker", "seq"),
        postgresql_include=["source_id", "id"],
        postgresql_where=text("broker IS NOT NULL"),
    ),
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

closed_months = Table(
    "closed_months",
    metadata,
    Column("id", Uuid, primary_key=True),
    at_("begins_at", nullable=False),
    at_("ends_at", nullable=False),
    Column("folded_until", Uuid, nullable=False, comment="the last event that is in the baselines"),
    at_("folded_at"),
    at_("dropped_at"),
    comment="the months whose deliveries and events are dropped, or about to be",
)
