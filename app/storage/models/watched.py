"""The tables of what is watched: how the items of each source look, and what waits in spools."""

from sqlalchemy import BigInteger, Column, Index, Table, Text, Uuid

from app.storage.models.columns import at_, metadata, now_

shapes = Table(
    "shapes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False, comment="the beginning of the events' type, such as `thinksurance.inquiry`"),
    Column("path", Text, nullable=False, comment="empty: the items themselves"),
    Column("type", Text, nullable=False, comment="of JSON; `overflow`: more paths than are kept"),
    Column("count", BigInteger, nullable=False),
    Column("items_before", BigInteger, nullable=False, comment="items of the kind before it was seen first"),
    Column("items_until", BigInteger, nullable=False, comment="items of the kind until it was seen last"),
    Column("first_event_id", Uuid, nullable=False),
    at_("first_seen_at", nullable=False),
    at_("last_seen_at", nullable=False),
    Index(None, "source_id", "kind", "path", "type", unique=True),
    comment="which fields items have, by path and type; never a value",
)

spool_states = Table(
    "spool_states",
    metadata,
    Column("file", Text, primary_key=True, comment="host and name of a spool file that is being emptied"),
    Column("host", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    at_("oldest_at", nullable=False),
    now_("noted_at"),
)
