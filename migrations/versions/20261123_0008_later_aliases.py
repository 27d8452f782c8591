"""Remember what later items say of where a key leads, for when the first does not say so any more.

What was said so far is read out of the events. Receiving goes on while this runs; processing waits.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_RECEIPT = 38
"""So many characters at the end of an order key are the receipt."""

_SAID_SO_FAR = f"""
INSERT INTO later_aliases (source_id, kind, key, target, order_key)
SELECT a.source_id, a.kind, a.key, said.target, min(right(e.order_key, {_RECEIPT}) COLLATE "C")
FROM events e
CROSS JOIN LATERAL (
    SELECT part ->> 'kind' AS kind, part -> 'keys' ->> 0 AS target, jsonb_array_elements_text(part -> 'keys') AS key
    FROM jsonb_array_elements(e.parts) AS part WHERE jsonb_array_length(part -> 'keys') > 1
) said
JOIN aliases a ON (a.source_id, a.kind, a.key) = (e.source_id, said.kind, said.key)
WHERE said.target <> a.target AND said.target <> said.key
GROUP BY a.source_id, a.kind, a.key, said.target
"""  # noqa: S608 - our own number


def upgrade() -> None:
    """Make the table, and fill it."""
    op.create_table(
        "later_aliases",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("order_key", sa.Text(collation="C"), nullable=False, comment="of the first item that said so"),
        sa.PrimaryKeyConstraint("source_id", "kind", "key", "target", name=op.f("pk_later_aliases")),
        comment="where keys would lead if no earlier item had said otherwise",
    )
    op.execute("LOCK TABLE aliases IN SHARE MODE")
    op.execute(_SAID_SO_FAR)


def downgrade() -> None:
    """Drop it: where keys lead stands in `aliases`."""
    op.drop_table("later_aliases")
