"""Let keys with a wall by broker find the events and inquiries of a page without reading the rows of all brokers.

Processing waits while the indexes are made anew, and so do questions about events and inquiries.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KEY: Final = "pk_events"
_COUNTED: Final = ("source_id", "record_id", "occurred_on", "occurred_at", "received_at")
_INDEXES: Final[Mapping[str, tuple[str, Sequence[str], Sequence[str], Sequence[str]]]] = {
    "ix_events_type_id": ("events", ["type", "id"], _COUNTED, [*_COUNTED, "broker"]),
    "ix_inquiries_status_id": ("inquiries", ["status", "id"], [], ["source_id", "broker_external_id"]),
}
"""Of each index its table and columns, and what it includes without and with this migration."""


def upgrade() -> None:
    """Have the indexes hold the brokers."""
    _replace_key(["received_at", "broker"])
    for name, (table, columns, _, included) in _INDEXES.items():
        _replace(name, table, columns, included)


def downgrade() -> None:
    """Have them as they were."""
    for name, (table, columns, included, _) in _INDEXES.items():
        _replace(name, table, columns, included)
    _replace_key([])


def _replace_key(included: Sequence[str]) -> None:
    op.drop_constraint(_KEY, "events", type_="primary")
    more = f" INCLUDE ({', '.join(included)})" if included else ""
    op.execute(f"ALTER TABLE events ADD CONSTRAINT {_KEY} PRIMARY KEY (id, source_id){more}")


def _replace(name: str, table: str, columns: Sequence[str], included: Sequence[str]) -> None:
    op.drop_index(name, table_name=table)
    op.create_index(name, table, [*columns], postgresql_include=[*included])
