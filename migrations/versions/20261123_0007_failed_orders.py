"""Let the orders that failed be told without reading all that were ordered.

Processing waits while the index is made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NAME = "ix_inquiries_order_failed"


def upgrade() -> None:
    """Make the index over the inquiries that were ordered in vain."""
    op.create_index(
        _NAME,
        "inquiries",
        ["source_id"],
        postgresql_include=["broker_external_id", "last_received_at"],
        postgresql_where=sa.text("status = 6 AND digital_order_success IS FALSE"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index(_NAME, table_name="inquiries")
