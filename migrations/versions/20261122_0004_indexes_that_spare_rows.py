"""Let keys with a wall by broker find what is theirs in quarantine, and counts of inquiries do without the rows.

Receiving goes on while this runs; processing waits, for outcomes and inquiries cannot be written meanwhile.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FIRST_BROKER: Final = "ix_outcomes_first_broker"
_COUNTED: Final = ("source_id", "status", "premium_yearly_cents")
_INDEXES: Final[Mapping[str, tuple[Sequence[str], Sequence[str], Sequence[str]]]] = {
    "ix_inquiries_changed_at_id": (["changed_at", "id"], [], _COUNTED),
    "ix_inquiries_first_received_at": (["first_received_at"], _COUNTED, ["id", *_COUNTED]),
    "ix_inquiries_customer_record_id": (["customer_record_id"], [], ["source_id", "broker_external_id"]),
}
"""Of each index its columns, and what it includes without and with this migration."""


def upgrade() -> None:
    """Make the index over what was not accepted, and those of inquiries anew."""
    op.create_index(
        _FIRST_BROKER,
        "outcomes",
        [sa.text("(brokers[1])"), "delivery_id"],
        postgresql_where=sa.text("status <> 'accepted'"),
    )
    for name, (columns, _, included) in _INDEXES.items():
        _replace(name, columns, included)


def downgrade() -> None:
    """Make the indexes of inquiries as they were, and drop the other."""
    for name, (columns, included, _) in _INDEXES.items():
        _replace(name, columns, included)
    op.drop_index(_FIRST_BROKER, table_name="outcomes")


def _replace(name: str, columns: Sequence[str], included: Sequence[str]) -> None:
    op.drop_index(name, table_name="inquiries")
    op.create_index(name, "inquiries", [*columns], postgresql_include=[*included])
