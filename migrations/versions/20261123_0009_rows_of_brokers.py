"""Let keys with a wall by broker find the rows of theirs in the order of a list or feed, however few they are.

Without these indexes the rows of all other brokers were gone through for them. Receiving goes on while they are made;
processing waits, and so does fetching documents.
"""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_LOCK: Final = "LOCK TABLE customers, documents, events, outcomes IN {} MODE"
_FIRST: Final = "(brokers[1])"
_INDEXES: Final[Sequence[tuple[str, str, str, str, str, Sequence[str]]]] = (
    ("ix_events_broker_id", "events", "broker", "id", "broker IS NOT NULL", ["source_id"]),
    ("ix_events_broker_seq", "events", "broker", "seq", "broker IS NOT NULL", ["source_id", "id"]),
    ("ix_outcomes_of_broker_seq", "outcomes", _FIRST, "seq", "cardinality(brokers) > 0", []),
    (
        *("ix_documents_broker_external_id_id", "documents", "broker_external_id", "id"),
        *("broker_external_id IS NOT NULL", ["source_id"]),
    ),
    ("ix_customers_of_broker", "customers", _FIRST, "id", f"{_FIRST} IS NOT NULL", []),
)
"""Of each index its name and table, the broker, what its rows are in order of, which they are, and what it includes."""


def upgrade() -> None:
    """Make the indexes; the tables are locked in the order in which processing writes them, or one would end the other."""
    op.execute(_LOCK.format("SHARE"))
    for name, table, broker, place, held, included in _INDEXES:
        where = sa.text(held)
        op.create_index(name, table, [sa.text(broker), place], postgresql_include=[*included], postgresql_where=where)


def downgrade() -> None:
    """Drop them."""
    op.execute(_LOCK.format("ACCESS EXCLUSIVE"))
    for name, table, *_ in _INDEXES:
        op.drop_index(name, table_name=table)
