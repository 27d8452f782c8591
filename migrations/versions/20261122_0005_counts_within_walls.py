"""Let keys with a wall by broker count their deliveries without going through those of all brokers.

Receiving goes on while this runs; processing waits, for outcomes cannot be written meanwhile.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NAME = "ix_outcomes_of_broker"


def upgrade() -> None:
    """Make the index over all outcomes that name a broker."""
    op.create_index(
        _NAME,
        "outcomes",
        [sa.text("(brokers[1])"), "delivery_id"],
        postgresql_where=sa.text("cardinality(brokers) > 0"),
    )


def downgrade() -> None:
    """Drop it again."""
    op.drop_index(_NAME, table_name="outcomes")
