"""Let keys with a wall by broker count their deliveries without going through those of all brokers.

And let the brokers be told without reading all inquiries. Receiving goes on while this runs; processing waits, for outcomes
and inquiries cannot be written meanwhile.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NAME = "ix_outcomes_of_broker"
_BROKERS = "ix_inquiries_broker_external_id_id"


def upgrade() -> None:
    """Make the index over all outcomes that name a broker, and that of inquiries by broker anew."""
    op.create_index(
        _NAME,
        "outcomes",
        [sa.text("(brokers[1])"), "delivery_id"],
        postgresql_where=sa.text("cardinality(brokers) > 0"),
    )
    _replace(["source_id", "last_received_at"])


def downgrade() -> None:
    """Make the index of inquiries as it was, and drop the other."""
    _replace([])
    op.drop_index(_NAME, table_name="outcomes")


def _replace(included: list[str]) -> None:
    op.drop_index(_BROKERS, table_name="inquiries")
    op.create_index(_BROKERS, "inquiries", ["broker_external_id", "id"], postgresql_include=included)
