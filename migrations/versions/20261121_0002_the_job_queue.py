"""Make the tables of the job queue.

They are procrastinate's own, by the SQL of the installed package; later versions of it are brought in by
`app.storage.queue` whenever `callbox migrate` runs.
"""

from typing import Any

from alembic import op

from app.storage.queue import create_queue, drop_queue

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    create_queue(_driver())


def downgrade() -> None:
    """Drop them, and with them what waits to be done: it is seen again in the tables that say what is due."""
    drop_queue(_driver())


def _driver() -> Any:
    """Return psycopg's connection: the package's SQL is many statements, and has signs that SQLAlchemy would read."""
    return op.get_bind().connection.driver_connection
