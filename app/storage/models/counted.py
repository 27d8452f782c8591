"""The tables of what statistics need not count again; how they are kept is told in `app.storage.counting`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from app.storage.models.columns import at_, metadata

delivery_counts = Table(
    "delivery_counts",
    metadata,
    Column("source_id", Uuid, nullable=False),
    at_("hour", nullable=False),
    Column("via", SmallInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text),
    Column("number", Integer, nullable=False, comment="below 0: so many are taken back"),
    Column("spent", LargeBinary, nullable=False, comment="4 bytes of milliseconds and 4 of how often, for each"),
    Column("is_loose", Boolean, nullable=False, comment="to be put together with the others of its hour"),
    Index(None, "hour"),
    Index("ix_delivery_counts_loose", "hour", postgresql_where=text("is_loose")),
    comment="processed deliveries by the hour (UTC) of their receipt: the sum of its rows counts",
)

delivery_counts_end = Table(
    "delivery_counts_end",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="up to here all are counted"),
)
